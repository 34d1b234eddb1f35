"""Normalisations that act otherwise than batch norm: on the weights, or by a batch that stays the same."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Network = TypeVar("Network", bound=nn.Module)

REFERENCE_SIZE = 64
"""Samples in the reference batch of virtual batch norm; more make it steadier and each pass dearer."""


def spectrally_normalised(network: Network) -> Network:
    """`network` with every convolution, linear layer and embedding divided by its largest singular value, in place.

    Miyato et al. 2018, algorithm 1: a weight is taken as a matrix of one row for each output (a transposed convolution
    by its own axis of outputs), and its largest singular value sigma follows by one step of the power method for each
    pass in training mode. The gradient of sigma is kept; in evaluation mode nothing moves. Weights are initialised
    before this, for it is their direction that counts.

    The vectors of the power method are buffers: checkpoints hold them and the averaged generator gets copies. They
    depend on the weights and the number of passes alone, which all devices share, so that averaging them over devices
    takes the mean of equal numbers.

    Compiled, the second of two passes before a backward pass overwrites what the first has kept. Under
    `trainer.compile` the networks therefore run as they were written, after a line that says so.

    It may stand around any model: ``_target_: gan_lightning.models.normalization.spectrally_normalised`` with the model
    as its ``network``.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            spectral_norm(module)
    return network


class VirtualBatchNorm(nn.Module):
    """Batch norm of feature maps by a reference batch and the sample itself (Salimans et al. 2016, section 3.4).

    The first `REFERENCE_SIZE` rows of each batch are the reference, made from inputs that never change; they are
    normalised by their own statistics. Each further row is normalised by the statistics of the reference and itself,
    in which it counts as one of ``REFERENCE_SIZE + 1`` samples. So no sample depends on the others beside it, in
    training and evaluation alike, and there is no running statistic: the reference is computed anew in each pass, with
    the weights of now.

    The generator that uses it puts the reference before its batch and drops it from the result. It keeps the inputs of
    the reference in a buffer, drawn when it is built.

    Args:
        channels: of the feature maps.
    """

    eps = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """(REFERENCE_SIZE + batch, channels, height, width) to the same."""
        reference, others = maps.float().split([REFERENCE_SIZE, len(maps) - REFERENCE_SIZE])
        known_variance, known_mean = torch.var_mean(reference, (0, 2, 3), correction=0, keepdim=True)
        own_variance, own_mean = torch.var_mean(others, (2, 3), correction=0, keepdim=True)
        share = 1 / (REFERENCE_SIZE + 1)
        mean = torch.lerp(known_mean, own_mean, share)
        variance = torch.lerp(
            known_variance + (known_mean - mean).square(), own_variance + (own_mean - mean).square(), share
        )
        normalised = torch.cat(
            [
                (reference - known_mean) * (known_variance + self.eps).rsqrt(),
                (others - mean) * (variance + self.eps).rsqrt(),
            ]
        )
        return (normalised * self.weight[:, None, None] + self.bias[:, None, None]).to(maps.dtype)
