"""Projection discriminator: the class enters as an inner product with the features (Miyato and Koyama 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, discriminate
from gan_lightning.models.layers import flat
from gan_lightning.models.normalization import spectrally_normalised
from gan_lightning.variants.cgan import require_classes
from gan_lightning.wrappers.base import Wrapper, width_of_features


class Projection(Wrapper):
    """D(x, y) = psi(phi(x)) + <V_y, phi(x)> (their eq. 3), psi(phi(x)) being the wrapped network's logit.

    phi(x) are the network's features after the last activation, as its own score reads them: summed over places in
    residual networks, as published, flat in DCGAN. V_y is a learned vector for each class: the log-likelihood ratio of
    the classes, where psi is that of the samples whatever their class.

    Args:
        network: the wrapped discriminator, which returns features.
        shape: of one sample.
        num_classes: how many classes there are; None, where the data have none, raises a ValueError.
        spectral_norm: divide V, (num_classes, features), by its largest singular value, as the paper does with every
            weight of its discriminator.
    """

    def __init__(
        self, network: nn.Module, shape: Sequence[int], num_classes: int | None, spectral_norm: bool = False
    ) -> None:
        super().__init__(network)
        self.takes_labels = True
        self.embed = nn.Embedding(require_classes(num_classes), width_of_features(network, shape))
        # Small, for features are many, and the class must not drown the rest. Under spectral norm only the direction
        # counts.
        nn.init.normal_(self.embed.weight, 0.0, 0.02)
        if spectral_norm:
            spectrally_normalised(self.embed)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return the network's output for samples (batch, ...), with <V_y, phi(x)> of their `labels` in the logits."""
        assert labels is not None  # `discriminate` sees to it
        output = discriminate(self.network, samples, labels)
        assert output.features is not None  # or `width_of_features` had raised
        projected = (self.embed(labels).float() * flat(output.features).float()).sum(dim=1)
        return replace(output, logits=output.logits.float() + projected)
