"""The averaged generator: an exponential moving average of the generator's weights over training."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from gan_lightning.utils.checks import check_finite

Network = TypeVar("Network", bound=nn.Module)


class Averaging:
    """The decay of the averaged generator.

    After `half_life_images` further real images a weight's share in the average has halved. Early on, when fewer images
    than that were seen, the half-life is `ramp_up` times the images seen, so that the average does not drag the random
    initial weights along (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data").

    Args:
        half_life_images: half-life in real images; 0 keeps a plain copy of the generator.
        ramp_up: the half-life as a share of the images seen so far; None starts with the whole half-life.
    """

    def __init__(self, half_life_images: float, ramp_up: float | None = 0.05) -> None:
        if check_finite("ema.half_life_images", half_life_images) < 0:
            raise ValueError(f"ema.half_life_images must be 0 or more images, not {half_life_images}")
        if ramp_up is not None and check_finite("ema.ramp_up", ramp_up) <= 0:
            raise ValueError(f"ema.ramp_up must be above 0 (or null to switch it off), not {ramp_up}")
        self.half_life_images, self.ramp_up = half_life_images, ramp_up

    def decay(self, images: int, step_images: int) -> float:
        """Return the old average's share after an update on `step_images` images, of `images` seen in all."""
        half_life = self.half_life_images
        if self.ramp_up is not None:
            half_life = min(half_life, self.ramp_up * images)
        return 0.5 ** (step_images / half_life) if half_life > 0 else 0.0


def frozen_copy(network: Network) -> Network:
    """Return a copy in evaluation mode that takes no gradient."""
    return deepcopy(network).eval().requires_grad_(False)


class MovingAverage:
    """Moves one network's weights towards another's; made once both stand on their device.

    Args:
        average: the network that is moved.
        network: the network that it follows, of the same architecture.
    """

    def __init__(self, average: nn.Module, network: nn.Module) -> None:
        self.averaged: list[Tensor] = [*average.parameters()]
        self.weights: list[Tensor] = [*network.parameters()]
        self.buffers = [*zip(average.buffers(), network.buffers(), strict=True)]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Set parameters to ``decay * old + (1 - decay) * new`` and copy buffers."""
        if self.weights:
            torch._foreach_lerp_(self.averaged, self.weights, 1.0 - decay)
        for kept, current in self.buffers:
            kept.copy_(current)
