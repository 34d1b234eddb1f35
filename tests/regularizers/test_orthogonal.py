"""Orthogonal regularization against hand values, and whose weights it moves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from helpers.tiny_gan import play, tiny_gan
from torch import Tensor, nn

from gan_lightning.game import Latent, Round
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.models.normalization import spectrally_normalised
from gan_lightning.regularizers.orthogonal import OrthogonalRegularization, off_diagonal_gram, weight_matrices


def term(generator: nn.Module, weight: float = 1.0) -> Tensor:
    discriminator, samples = nn.Linear(2, 1), torch.zeros(4, 2)
    round = Round(generator, discriminator, Latent(torch.zeros(4, 2)), samples, samples)
    objective = OrthogonalRegularization(weight)
    assert objective.discriminator(round) is None
    return objective.generator(round)


def linear(*rows: list[float]) -> nn.Linear:
    """A layer of one filter a row."""
    layer = nn.Linear(len(rows[0]), len(rows))
    nn.init.constant_(layer.bias, 7.0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
    return layer


def test_by_hand() -> None:
    """Filters (1, 2), (3, 4) and (0, 1): inner products 11, 2 and 4, each pair twice."""
    layer = linear([1.0, 2.0], [3.0, 4.0], [0.0, 1.0])
    assert term(layer).item() == 2 * (11**2 + 2**2 + 4**2)
    assert term(layer, weight=0.5).item() == 11**2 + 2**2 + 4**2
    assert term(nn.Sequential(layer, nn.ReLU(), linear([1.0, 1.0, 1.0], [1.0, 0.0, 0.0]))).item() == 2 * 141 + 2
    assert OrthogonalRegularization().weight == 1e-4


def test_lengths_do_not_matter_where_angles_are_right() -> None:
    assert term(linear([3.0, 0.0], [0.0, -5.0])).item() == 0
    assert term(linear([3.0, 0.1], [0.0, -5.0])).item() > 0


def test_the_gradient_is_4_products_and_twice_what_the_authors_add() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(5, 3)
    term(layer).backward()
    products = layer.weight.detach() @ layer.weight.detach().T
    off_diagonal = products * (1 - torch.eye(3))
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, 4 * off_diagonal @ layer.weight.detach())
    authors = 2 * off_diagonal @ layer.weight.detach()
    torch.testing.assert_close(layer.weight.grad, 2 * authors)
    assert layer.bias.grad is None


@pytest.mark.parametrize(("count", "length"), [(3, 4), (4, 4), (4, 3), (20, 2)])
def test_many_short_filters_are_counted_pair_by_pair_as_few_long_ones_are(count: int, length: int) -> None:
    rows = torch.randn(count, length, dtype=torch.float64, requires_grad=True)
    pairs = torch.stack([(rows[i] @ rows[j]) ** 2 for i in range(count) for j in range(count) if i != j]).sum()
    torch.testing.assert_close(off_diagonal_gram(rows), pairs)
    expected = torch.autograd.grad(pairs, rows)
    torch.testing.assert_close(torch.autograd.grad(off_diagonal_gram(rows), rows), expected)


LAYERS: dict[str, Callable[[], nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d]] = {
    "signal": lambda: nn.Conv1d(3, 4, 3),
    "image": lambda: nn.Conv2d(3, 4, 3),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 3),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_filter_is_what_makes_one_output(kind: str) -> None:
    """Pair by pair; a filter is the weight that reaches one channel of the result."""
    torch.manual_seed(0)
    layer = LAYERS[kind]()
    chosen = [layer.weight[:, i] if kind == "transposed" else layer.weight[i] for i in range(4)]
    expected = sum((chosen[i] * chosen[j]).sum() ** 2 for i in range(4) for j in range(4) if i != j)
    torch.testing.assert_close(term(layer), torch.as_tensor(expected))


def test_embeddings_and_norms_do_not_count() -> None:
    generator = nn.Sequential(nn.Embedding(3, 4), nn.BatchNorm2d(4), nn.GroupNorm(1, 4), linear([1.0, 2.0], [3.0, 4.0]))
    term(generator).backward()
    assert term(generator).item() == 2 * 11**2
    assert [weight.grad is not None for weight in generator.parameters()] == [False] * 5 + [True, False]


def test_under_spectral_norm_the_learned_weights_count_and_nothing_moves() -> None:
    layer = linear([1.0, 2.0], [3.0, 4.0])
    generator = spectrally_normalised(nn.Sequential(layer))
    vectors = [buffer.clone() for buffer in generator.buffers()]
    assert len(vectors) == 2
    found = term(generator)
    assert found.item() == 2 * 11**2
    assert all(torch.equal(*pair) for pair in zip(vectors, generator.buffers(), strict=True))
    found.backward()
    (learned,) = [weight for name, weight in generator.named_parameters() if "original" in name]
    assert learned.grad is not None
    assert learned.grad.any()


def test_half_precision_does_not_reach_it() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(50, 40)
    with torch.autocast("cpu", torch.bfloat16):
        found = term(layer)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, term(layer), rtol=1e-6, atol=0)


def test_training_makes_the_generator_more_orthogonal_than_without() -> None:
    objectives = ({"adversarial": NonSaturating(), "orthogonal": OrthogonalRegularization(beta)} for beta in (0.0, 1.0))
    free, held = (tiny_gan(chosen, max_iterations=30) for chosen in objectives)
    for gan in (free, held):
        play(gan)
    loose, tight = (
        sum(off_diagonal_gram(rows).item() for rows in weight_matrices(gan.generator)) for gan in (free, held)
    )
    assert tight < 0.1 * loose


def test_micro_batches_apply_it_once() -> None:
    sgd = partial(torch.optim.SGD, lr=0.1)
    objectives = {"adversarial": NonSaturating(), "orthogonal": OrthogonalRegularization(1.0)}
    whole, pieces = (tiny_gan(objectives, micro_batches=count, optimizer=sgd) for count in (1, 3))
    for gan in (whole, pieces):
        play(gan)
    torch.testing.assert_close(pieces.losses["generator/orthogonal"], whole.losses["generator/orthogonal"])
    for ours, theirs in zip(pieces.generator.parameters(), whole.generator.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_bad_weights_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=rf"loss\.objectives\.orthogonal\.weight must be at least 0, not {weight}"):
        OrthogonalRegularization(weight)
