"""InfoGAN's prior, and the picture it arranges."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import one_hot

from gan_lightning.game import Latent, concatenate_records
from gan_lightning.priors import Gaussian, Uniform
from gan_lightning.randomness import generator_for
from gan_lightning.variants.infogan import TRAVERSAL_RANGE, InfoGANLatent, InfoGANPrior


def prior(categories: int = 4, continuous: int = 2) -> InfoGANPrior:
    """Noise of length 3, and codes."""
    return InfoGANPrior(3 + categories + continuous, Gaussian(3), categories, continuous)


def labels_of(latent: Latent) -> Tensor:
    assert latent.labels is not None
    return latent.labels


def test_z_is_noise_then_the_category_then_the_codes() -> None:
    latent = prior().sample(500, generator_for(0, "test"))
    assert latent.z.dtype == torch.float32
    assert labels_of(latent).dtype == torch.int64
    assert torch.equal(latent.z[:, :3], Gaussian(3).noise(500, generator_for(0, "test")))
    assert torch.equal(latent.z[:, 3:7], one_hot(labels_of(latent), 4).float())
    assert torch.equal(latent.z[:, 7:], latent.codes)


def test_categories_are_equally_likely_and_codes_uniform_and_none_knows_of_another() -> None:
    latent = prior().sample(8000, generator_for(0, "test"))
    assert stats.chisquare(labels_of(latent).bincount(minlength=4)).pvalue > 1e-3
    for codes in latent.codes.T:
        assert stats.kstest(codes.numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    values = torch.cat([latent.z[:, :3], labels_of(latent)[:, None], latent.codes], dim=1)
    correlations = torch.corrcoef(values.T) - torch.eye(6)
    assert correlations.abs().max() < 4 / math.sqrt(8000)


def test_latents_are_a_function_of_their_generator_alone() -> None:
    torch.manual_seed(1)
    first = prior().sample(50, generator_for(0, "test"))
    torch.manual_seed(2)
    assert torch.equal(first.z, prior().sample(50, generator_for(0, "test")).z)
    assert not torch.equal(first.z, prior().sample(50, generator_for(1, "test")).z)


def test_codes_stay_with_their_noise_when_latents_are_cut_and_joined() -> None:
    latent = prior().sample(10, generator_for(0, "test"))
    pieces = [latent[first : first + 4] for first in (0, 4, 8)]
    assert torch.equal(pieces[1].z, latent.z[4:8])
    whole = concatenate_records(pieces)
    assert isinstance(whole, InfoGANLatent)
    assert torch.equal(whole.codes, latent.codes)
    assert torch.equal(labels_of(whole), labels_of(latent))


@pytest.mark.parametrize(("count", "columns"), [(20, 5), (23, 5), (1, 1)])
def test_a_picture_has_a_category_in_each_row_and_sweeps_the_first_code_along_it(count: int, columns: int) -> None:
    latent, found = prior().grid(count, generator_for(0, "test"))
    assert found == columns
    assert labels_of(latent).view(4, columns).tolist() == [[row] * columns for row in range(4)]
    codes = latent.codes.view(4, columns, 2)
    steps = [-1 + 2 * column / (columns - 1) for column in range(columns)] if columns > 1 else [-1]
    for row in codes:
        assert row[:, 0].tolist() == pytest.approx(steps)
        assert not row[:, 1].any()
    assert len(latent.z[:, :3].unique(dim=0)) == 1
    assert torch.equal(latent.z, prior().from_codes(latent.z[:, :3], labels_of(latent), latent.codes).z)


def test_a_picture_without_continuous_codes_has_the_same_noise_down_each_column() -> None:
    latent, columns = prior(continuous=0).grid(12, generator_for(0, "test"))
    assert columns == 3
    rows = latent.z.view(4, 3, 7)
    assert all(torch.equal(row[:, :3], rows[0, :, :3]) for row in rows)
    assert len(rows[0].unique(dim=0)) == 3
    assert latent.codes.shape == (12, 0)


def test_each_row_of_a_traversal_changes_one_code_and_nothing_else() -> None:
    prior = InfoGANPrior(9, Uniform(4), categories=3, continuous=2)
    latent, columns, blank = prior.traverse(5, generator_for(0, "test"))
    assert columns == 5
    rows = latent.z.unflatten(0, (3, 5))
    assert (rows[..., :4] == rows[0, 0, :4]).all()
    assert blank.nonzero().flatten().tolist() == [3, 4]  # three categories, then nothing
    assert rows[0, :3, 4:7].argmax(1).tolist() == [0, 1, 2]
    assert (rows[0, :, 7:] == 0).all()
    assert (rows[1:, :, 4:7] == rows[1, 0, 4:7]).all()
    sweep = torch.linspace(-TRAVERSAL_RANGE, TRAVERSAL_RANGE, 5)
    for code in (0, 1):
        assert torch.equal(rows[1 + code, :, 7 + code], sweep)
        assert (rows[1 + code, :, 8 - code] == 0).all()
    assert prior.traverse(2, generator_for(0, "test"))[1] == 3, "no category is left out"
    assert InfoGANPrior(6, Uniform(4), categories=2, continuous=0).traverse(2, generator_for(0, "test"))[0].z.shape == (
        2,
        6,
    )
    categories = {int(prior.traverse(3, generator_for(seed))[0].labels[-1]) for seed in range(20)}  # type: ignore[index]
    assert categories == {0, 1, 2}


def test_its_categories_are_learned_and_cannot_be_chosen_as_classes() -> None:
    with pytest.raises(ValueError, match="not class-conditional: leave labels"):
        prior().sample(2, generator_for(0, "test"), labels=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="not class-conditional: leave labels"):
        prior().grid(2, generator_for(0, "test"), classes=[0])


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"prior\.dim must be .* together, 9, not 8: prior\.noise\.dim sets"):
        InfoGANPrior(8, Gaussian(3), categories=4, continuous=2)
    with pytest.raises(ValueError, match=r"prior\.categories must be a whole number of at least 2, not 1"):
        InfoGANPrior(6, Gaussian(3), categories=1, continuous=2)
    with pytest.raises(ValueError, match=r"prior\.continuous must be a whole number of at least 0, not -1"):
        InfoGANPrior(6, Gaussian(3), categories=4, continuous=-1)
