"""The base class of a discriminator's wrappers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, discriminate, takes_labels


class Wrapper(nn.Module):
    """A discriminator around another one.

    A subclass transforms the samples before `network` scores them, or adds to its output. One that reads the labels
    itself sets `takes_labels` to True after this constructor; any other passes them to `network`.

    Args:
        network: the wrapped discriminator.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.takes_labels = takes_labels(network)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return the output of the wrapped network for samples (batch, ...) and their classes (batch,)."""
        return discriminate(self.network, samples, labels)


def wrapped(network: nn.Module, wrappers: Mapping[str, Callable[[nn.Module], nn.Module] | None]) -> nn.Module:
    """Return `network` in all of `wrappers`, the first of them innermost; None is one that was switched off."""
    for wrap in wrappers.values():
        network = wrap(network) if wrap else network
    return network


@torch.no_grad()
def width_of_features(network: nn.Module, shape: Sequence[int]) -> int:
    """Return the number of values of the features for a sample of `shape`; a ValueError if there are none.

    The discriminator is called with two samples of zeros, in evaluation mode, which leaves no trace.
    """
    was_training = network.training
    zeros = torch.zeros(2, *shape)
    output = discriminate(network.eval(), zeros, torch.zeros(2, dtype=torch.int64))
    network.train(was_training)
    if output.features is None:
        raise ValueError(
            "the discriminator returns no features, which a head reads: choose a model that does, such as model=dcgan"
        )
    return output.features[0].numel()
