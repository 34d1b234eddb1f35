"""Spectral norm of weights, conditional batch norm and virtual batch norm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Network = TypeVar("Network", bound=nn.Module)

REFERENCE_SIZE = 64
"""Samples in the reference batch of virtual batch norm; more are less noisy and make each pass slower."""


def spectrally_normalised(network: Network, spared: Iterable[nn.Module] = ()) -> Network:
    """Apply spectral norm to every convolution, linear layer and embedding of `network` in place, and return it.

    The modules in `spared`, with all their submodules, keep their weights as they are.

    Miyato et al. 2018, algorithm 1: a weight is taken as a matrix of one row for each output (a transposed convolution
    by its own axis of outputs), and its largest singular value sigma follows by one step of the power method for each
    pass in training mode. The gradient of sigma is kept; in evaluation mode nothing moves. Weights are initialised
    before this, for it is their direction that counts.

    The vectors of the power method are buffers: checkpoints hold them and the averaged generator gets copies. They
    depend on the weights and the number of passes alone, which all devices share, so that averaging them over devices
    takes the mean of equal numbers.

    Compiled, the second of two passes before a backward pass overwrites what the first has kept. Under
    `trainer.compile` the networks therefore run uncompiled, and the log says so.

    It wraps any model: ``_target_: gan_lightning.models.normalization.spectrally_normalised`` with the model
    as its ``network``.
    """
    kept = {part for module in spared for part in module.modules()}
    for module in network.modules():
        weighted = isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding)
        if weighted and module not in kept:
            spectral_norm(module)
    return network


class ConditionalBatchNorm(nn.Module):
    """Batch norm of feature maps with a gain and bias that are functions of each sample's condition.

    gain = 1 + A c and bias = B c, linear in the condition c (Brock et al. 2019, section 3 and appendix B). Where c is a
    class as a one-hot vector, each class has a gain, from 1, and a bias, from 0, of its own (Dumoulin et al. 2017;
    Miyato and Koyama 2018). The batch is normalised as a whole, whatever its conditions.

    A and B start at 0. Spectral norm takes no weights that are 0: they are set before it, or spared.

    Args:
        channels: of the feature maps.
        condition_dim: length of a condition.
    """

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(condition_dim, channels, bias=False)
        self.bias = nn.Linear(condition_dim, channels, bias=False)
        nn.init.zeros_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, maps: Tensor, condition: Tensor) -> Tensor:
        """Normalise maps (batch, channels, height, width), conditioned on `condition` (batch, condition_dim)."""
        gain, bias = 1 + self.gain(condition), self.bias(condition)
        return torch.addcmul(bias[..., None, None], self.norm(maps), gain[..., None, None])


class VirtualBatchNorm(nn.Module):
    """Batch norm of feature maps by a reference batch and the sample itself (Salimans et al. 2016, section 3.5).

    The first `REFERENCE_SIZE` rows of each batch are the reference, made from inputs that never change; they are
    normalised by their own statistics. Each further row is normalised by the statistics of the reference and itself,
    in which it counts as one of ``REFERENCE_SIZE + 1`` samples. So no sample depends on the others beside it, in
    training and evaluation alike, and there is no running statistic: the reference is computed anew in each pass, with
    the current weights.

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
        """Map (REFERENCE_SIZE + batch, channels, height, width) to the same shape."""
        reference, others = maps.float().split([REFERENCE_SIZE, len(maps) - REFERENCE_SIZE])
        reference_variance, reference_mean = torch.var_mean(reference, (0, 2, 3), correction=0, keepdim=True)
        own_variance, own_mean = torch.var_mean(others, (2, 3), correction=0, keepdim=True)
        share = 1 / (REFERENCE_SIZE + 1)
        mean = torch.lerp(reference_mean, own_mean, share)
        variance = torch.lerp(
            reference_variance + (reference_mean - mean).square(), own_variance + (own_mean - mean).square(), share
        )
        normalised = torch.cat(
            [
                (reference - reference_mean) * (reference_variance + self.eps).rsqrt(),
                (others - mean) * (variance + self.eps).rsqrt(),
            ]
        )
        return (normalised * self.weight[:, None, None] + self.bias[:, None, None]).to(maps.dtype)
