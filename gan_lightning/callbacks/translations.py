"""Pictures of images that are translated into the other domain and back."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_lightning.callbacks.samples import Pictures
from gan_lightning.figures.images import Pixels, make_image_grid
from gan_lightning.gan import GAN
from gan_lightning.models.cyclegan import CycleGANGenerators
from gan_lightning.randomness import generator_for


class Translations(Pictures):
    """The rows are a, G(a), F(G(a)), then b, F(b), G(F(b)), of the averaged translators.

    The columns are source images, always the same.

    Args:
        every: iterations between two pictures.
        count: source images of each domain, at least 1.
    """

    def __init__(self, every: int, count: int = 10) -> None:
        super().__init__(every, count)

    def draw(self, gan: GAN) -> tuple[Pixels, Pixels]:
        z = gan.prior.sample(self.count, generator_for(gan.seed, "samples", device=gan.device)).z
        picture = make_image_grid(there_and_back(gan, z), columns=self.count)
        return picture, picture


@torch.no_grad()
def there_and_back(gan: GAN, z: Tensor) -> Tensor:
    """a, G(a), F(G(a)), b, F(b), G(F(b)), (6 * count, channels, size, size), of pairs z (count, 2 * channels, ...).

    Raises:
        ValueError: the generator does not translate.
    """
    networks = gan.averaged_generator
    if not isinstance(networks, CycleGANGenerators):
        raise ValueError("callbacks=translations shows translators: choose model=cyclegan, or callbacks=images")
    networks.eval()
    with torch.autocast(gan.device.type, enabled=False):
        a, b = z.chunk(2, dim=1)
        fake_a, fake_b = networks.b_to_a(b), networks.a_to_b(a)
        return torch.cat([a, fake_b, networks.b_to_a(fake_b), b, fake_a, networks.a_to_b(fake_a)])
