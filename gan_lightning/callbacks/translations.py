"""Pictures of images that are translated into the other domain and back."""

from __future__ import annotations

from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from gan_lightning.callbacks.periodic import Periodic, playing
from gan_lightning.callbacks.samples import folder
from gan_lightning.figures.images import MOST_FRAMES, Pixels, Reel, log_picture, save_animation, save_picture, tile
from gan_lightning.gan import GAN
from gan_lightning.models.cyclegan import TwoTranslators
from gan_lightning.randomness import generator_for


class Translations(Periodic):
    """Writes ``samples/iteration_<n>.png`` in the run directory, and logs it where images are taken.

    The rows are a, G(a), F(G(a)), then b, F(b), G(F(b)), of the averaged translators; the columns are source images,
    always the same. At the end ``samples/evolution.gif`` shows how the translations came to be.

    Args:
        every: iterations between two pictures.
        count: source images of each domain, at least 1.

    Attributes:
        last_path: the newest picture; None before the first, and on all ranks but the first.
    """

    def __init__(self, every: int, count: int = 10) -> None:
        super().__init__(every, at_start=True)
        if count < 1:
            raise ValueError(f"callbacks.samples.count must be at least 1 image, not {count}")
        self.count = count
        self.last_path: Path | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        gan = playing(pl_module)
        self.reel: Reel[Pixels] = Reel(gan.max_iterations / MOST_FRAMES)
        if trainer.is_global_zero:
            folder(trainer).mkdir(parents=True, exist_ok=True)
        super().on_train_start(trainer, gan)

    def act(self, trainer: Trainer, gan: GAN) -> None:
        if not trainer.is_global_zero:
            return
        z = gan.prior.sample(self.count, generator_for(gan.seed, "samples", device=gan.device)).z
        picture = tile(there_and_back(gan, z), columns=self.count)
        self.last_path = folder(trainer) / f"iteration_{gan.iterations:06d}.png"
        save_picture(picture, self.last_path)
        log_picture(trainer.loggers, "translations", picture, gan.iterations)
        self.reel.add(gan.iterations, picture)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.last_path is not None and self.reel.frames:
            save_animation(self.reel.frames, len(self.reel.frames), folder(trainer) / "evolution.gif")


@torch.no_grad()
def there_and_back(gan: GAN, z: Tensor) -> Tensor:
    """a, G(a), F(G(a)), b, F(b), G(F(b)), (6 * count, channels, size, size), of pairs z (count, 2 * channels, ...).

    Raises:
        ValueError: the generator does not translate.
    """
    networks = gan.averaged_generator
    if not isinstance(networks, TwoTranslators):
        raise ValueError("callbacks=translations shows translators: choose model=cyclegan, or callbacks=images")
    networks.eval()
    with torch.autocast(gan.device.type, enabled=False):
        a, b = z.chunk(2, dim=1)
        fake_a, fake_b = networks.b_to_a(b), networks.a_to_b(a)
        return torch.cat([a, fake_b, networks.b_to_a(fake_b), b, fake_a, networks.a_to_b(fake_a)])
