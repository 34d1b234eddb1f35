"""PacGAN: the discriminator scores several samples together, so that it sees a lack of variety (Lin et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, takes_labels
from gan_lightning.utils.checks import check_int
from gan_lightning.wrappers.base import Wrapper


class PackedDiscriminator(Wrapper):
    """A discriminator of packs: `pack` samples, all real or all fake, behind each other as channels.

    The samples of pack i are neighbours in the batch, rows ``i * pack`` to ``(i + 1) * pack - 1``. The order of data is
    random and every latent is drawn by itself, so they are independent. There is one logit, and one row of features,
    for each pack; losses take means over packs, so that any loss will do.

    Args:
        network: the wrapped discriminator, built for `pack` times the channels of a sample. A class-conditional one
            raises a ValueError: a pack has several classes.
        pack: m, samples in a pack, at least 1, which changes nothing.
    """

    def __init__(self, network: nn.Module, pack: int = 2) -> None:
        super().__init__(network)
        self.pack = check_int("wrappers.pacgan.pack", pack)
        if takes_labels(network):
            raise ValueError(
                "variant=pacgan packs several samples, which have no one class, and this discriminator is "
                "class-conditional: choose a discriminator that is not, or another variant"
            )

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return the output for packs of the samples (batch, channels, ...), with logits (batch / pack,).

        Raises a ValueError if the batch does not divide into packs.
        """
        batch, channels, *places = samples.shape
        if batch % self.pack:
            raise ValueError(
                f"{batch} samples, the batch of a device or a micro-batch of it, do not divide into packs of "
                f"wrappers.pacgan.pack={self.pack}: choose a data.batch_size that does"
            )
        return super().forward(samples.reshape(batch // self.pack, self.pack * channels, *places))
