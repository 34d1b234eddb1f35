"""BigGAN's orthogonal regularization of the generator's weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gan_lightning.game import Objective, Round
from gan_lightning.regularizers.features import not_negative


class OrthogonalRegularization(Objective):
    """weight * sum over layers of ||W^T W * (1 - I)||_F^2, for the generator (Brock et al. 2019, eq. 3).

    The columns of W are the filters of a layer, one for each output; their inner products with each other go to 0, and
    their lengths are left alone. It smooths a generator, so that it can be sampled with truncated noise. Every linear
    layer and convolution counts, embeddings do not.

    Under spectral norm, W are the weights that are learned, before they are divided by their largest singular value, as
    in the authors' code. That code adds half the gradient of eq. 3: its strength is twice `weight`.

    Args:
        weight: beta, at least 0; 1e-4 in the paper.
    """

    def __init__(self, weight: float = 1e-4) -> None:
        super().__init__()
        self.weight = not_negative("orthogonal", weight)

    def generator(self, round: Round) -> Tensor:
        """Return a scalar >= 0."""
        with torch.autocast(round.fake.device.type, enabled=False):
            return (
                self.weight * torch.stack([off_diagonal_gram(rows) for rows in weight_matrices(round.generator)]).sum()
            )


def off_diagonal_gram(rows: Tensor) -> Tensor:
    """Return the sum of squared inner products of different `rows` (count, length), each pair twice; a scalar."""
    count, length = rows.shape
    if count <= length:
        products = rows @ rows.T
        return (products - products.diag().diag()).square().sum()
    # W W^T and W^T W have the same norm. A layer of many short filters, such as the one that makes the smallest maps of
    # the noise, has thousands of them, and millions of pairs.
    return (rows.T @ rows).square().sum() - rows.square().sum(1).square().sum()


def weight_matrices(network: nn.Module) -> Iterator[Tensor]:
    """Yield the learned weights of each linear layer and convolution, with one row for each output."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            name = "parametrizations.weight.original" if is_parametrized(layer, "weight") else "weight"
            weight = layer.get_parameter(name)
            yield (weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight).flatten(1)
