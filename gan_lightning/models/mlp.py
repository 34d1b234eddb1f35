"""Multilayer perceptrons for data of any shape: toy distributions, digits as vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent
from gan_lightning.models.layers import dense
from gan_lightning.utils.checks import check_int, check_positive


class MLPGenerator(nn.Module):
    """Hidden layers of one width, then a linear layer to a sample.

    Args:
        latent_dim: length of the noise z.
        shape: of one sample, such as (2,) or (1, 28, 28).
        value_range: of the data. (-1, 1): the output passes through tanh. None, unbounded data: it stays linear.
        width: units in a hidden layer.
        depth: hidden layers.
        activation: see `layers.dense`.
        batch_norm: normalise in the hidden layers.
        init_std: weights start from N(0, init_std^2), biases from 0; None: as `torch.nn.Linear` starts.
        latent_std: the first layer reads z / latent_std, as layers start out for inputs of about unit size; None: z.

    Raises:
        ValueError: no hidden layer, no units, an unknown activation, another range of values, or a standard deviation
            that is not positive.
    """

    def __init__(
        self,
        latent_dim: int,
        shape: Sequence[int],
        value_range: Sequence[float] | None,
        width: int = 128,
        depth: int = 2,
        activation: str = "ReLU",
        batch_norm: bool = False,
        init_std: float | None = None,
        latent_std: float | None = None,
    ) -> None:
        super().__init__()
        if value_range is not None and tuple(value_range) != (-1, 1):
            raise ValueError(
                f"model.generator.value_range must be [-1, 1] (tanh) or null (linear), not {list(value_range)}"
            )
        self.hidden = nn.Sequential(
            *standardize("model.generator.latent_std", None, latent_std),
            *hidden_layers(latent_dim, width, depth, activation, batch_norm),
        )
        self.output = nn.Sequential(
            nn.Linear(width, math.prod(shape)),
            nn.Identity() if value_range is None else nn.Tanh(),
            nn.Unflatten(1, tuple(shape)),
        )
        if init_std is not None:
            initialise_normal(self, check_positive("model.generator.init_std", init_std))

    def forward(self, latent: Latent) -> Tensor:
        """Return samples, (batch, *shape)."""
        return self.output(self.hidden(latent.z))


class MLPDiscriminator(nn.Module):
    """A sample as one vector, hidden layers of one width, then a linear score.

    Args:
        shape: of one sample.
        width: units in a hidden layer.
        depth: hidden layers.
        activation: see `layers.dense`.
        init_std: as for the generator.
        input_mean, input_std: the first layer reads (x - input_mean) / input_std, as data far from 0 or far narrower
            than 1 is nearly one and the same input to a layer that starts out; None: mean 0, standard deviation 1.

    Raises:
        ValueError: no hidden layer, no units, an unknown activation, or a standard deviation that is not positive.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 128,
        depth: int = 2,
        activation: str = "LeakyReLU",
        init_std: float | None = None,
        input_mean: float | None = None,
        input_std: float | None = None,
    ) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Flatten(),
            *standardize("model.discriminator.input_std", input_mean, input_std),
            *hidden_layers(math.prod(shape), width, depth, activation),
        )
        self.score = nn.Linear(width, 1)
        if init_std is not None:
            initialise_normal(self, check_positive("model.discriminator.init_std", init_std))

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Return logits (batch,) of samples (batch, *shape); features are the last hidden layer, (batch, width)."""
        features = self.hidden(samples)
        return DiscriminatorOutput(self.score(features).squeeze(1), features)


class Standardize(nn.Module):
    """Input minus a mean, divided by a standard deviation."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:
        return f"mean={self.mean:g}, std={self.std:g}"


def standardize(name: str, mean: float | None, std: float | None) -> list[nn.Module]:
    """Return the layer that standardises, or none without mean and standard deviation, whose `name` errors say."""
    if mean is None and std is None:
        return []
    return [Standardize(float(mean or 0), check_positive(name, 1.0 if std is None else std))]


def initialise_normal(network: nn.Module, std: float) -> None:
    """Set the weights of all linear layers to N(0, std^2) and their biases to 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def hidden_layers(inputs: int, width: int, depth: int, activation: str, batch_norm: bool = False) -> nn.Sequential:
    """Return `depth` layers of `width` units: (batch, inputs) to (batch, width)."""
    depth = check_int("depth of model.generator and model.discriminator", depth)
    widths = [inputs] + [check_int("width of model.generator and model.discriminator", width)] * depth
    return nn.Sequential(*(dense(before, width, activation, batch_norm) for before in widths[:-1]))
