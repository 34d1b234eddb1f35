"""The class-conditional prior, which the class-conditional variants bring along."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch.nn.functional import one_hot

from gan_lightning.game import Latent, concatenate_records
from gan_lightning.priors import ClassConditional, Gaussian
from gan_lightning.randomness import generator_for


def prior(dim: int = 7) -> ClassConditional:
    """Noise of length 3 and 4 classes, one-hot behind the noise by default."""
    return ClassConditional(dim, Gaussian(3), num_classes=4)


def same(first: Latent, second: Latent) -> bool:
    assert first.labels is not None
    assert second.labels is not None
    return torch.equal(first.z, second.z) and torch.equal(first.labels, second.labels)


def test_z_is_noise_and_then_the_class() -> None:
    latent = prior().sample(500, generator_for(0, "test"))
    assert latent.labels is not None
    assert latent.labels.dtype == torch.int64
    assert latent.z.dtype == torch.float32
    assert torch.equal(latent.z[:, 3:], one_hot(latent.labels, 4).float())
    assert torch.equal(latent.z[:, :3], Gaussian(3).noise(500, generator_for(0, "test")))


def test_z_is_the_noise_alone_for_a_generator_that_reads_the_labels() -> None:
    latent, behind = (prior(dim).sample(500, generator_for(0, "test")) for dim in (3, 7))
    assert torch.equal(latent.z, behind.z[:, :3])
    assert latent.labels is not None
    assert behind.labels is not None
    assert torch.equal(latent.labels, behind.labels)


def test_every_class_is_equally_likely_whatever_the_noise() -> None:
    latent = prior().sample(8000, generator_for(0, "test"))
    assert latent.labels is not None
    assert stats.chisquare(latent.labels.bincount(minlength=4)).pvalue > 1e-3
    above = latent.z[:, 0] > 0
    table = [latent.labels[side].bincount(minlength=4).tolist() for side in (above, ~above)]
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_latents_are_a_function_of_their_generator_alone() -> None:
    torch.manual_seed(1)
    first = prior().sample(50, generator_for(0, "test"))
    torch.manual_seed(2)
    assert same(first, prior().sample(50, generator_for(0, "test")))
    assert not same(first, prior().sample(50, generator_for(1, "test")))


@pytest.mark.parametrize(("count", "columns"), [(12, 3), (14, 3), (4, 1), (1, 1)])
def test_a_picture_has_a_class_in_each_row_and_the_same_noise_down_each_column(count: int, columns: int) -> None:
    latent, found = prior().grid(count, generator_for(0, "test"))
    assert found == columns
    assert latent.labels is not None
    assert latent.labels.view(4, columns).tolist() == [[label] * columns for label in range(4)]
    rows = latent.z.view(4, columns, 7)
    assert all(torch.equal(row[:, :3], rows[0, :, :3]) for row in rows)
    assert len(rows[0, :, :3].unique(dim=0)) == columns
    assert torch.equal(latent.z[:, 3:], one_hot(latent.labels, 4).float())


def test_labels_stay_with_their_noise_when_latents_are_cut_and_joined() -> None:
    latent = prior().sample(10, generator_for(0, "test"))
    pieces = [latent[first : first + 4] for first in (0, 4, 8)]
    assert latent.labels is not None
    assert pieces[1].labels is not None
    assert pieces[1].labels.tolist() == latent.labels[4:8].tolist()
    assert same(concatenate_records(pieces), latent)


def test_chosen_classes_take_the_place_of_drawn_ones_beside_the_same_noise() -> None:
    labels = torch.tensor([3, 0, 0, 2])
    chosen, drawn = (prior().sample(4, generator_for(0, "test"), labels=each) for each in (labels, None))
    assert chosen.labels is not None and chosen.labels.tolist() == [3, 0, 0, 2]
    assert torch.equal(chosen.z[:, 3:], one_hot(labels, 4).float())
    assert torch.equal(chosen.z[:, :3], drawn.z[:, :3])


def test_a_picture_of_chosen_classes_has_a_row_for_each_in_their_order() -> None:
    latent, columns = prior().grid(7, generator_for(0, "test"), classes=[3, 1])
    assert columns == 3
    assert latent.labels is not None and latent.labels.tolist() == [3, 3, 3, 1, 1, 1]
    assert torch.equal(latent.z[:3, :3], latent.z[3:, :3])


@pytest.mark.parametrize("labels", [[0, 4], [-1, 0], [0], [0, 1, 2], [[0], [1]]])
def test_classes_that_are_none_of_its_own_or_too_few_are_refused(labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"choose from 0 to 3|labels must be \(2,\), one for each sample"):
        prior().sample(2, generator_for(0, "test"), labels=torch.tensor(labels))


@pytest.mark.parametrize("dim", [4, 6, 8])
def test_a_length_that_fits_neither_way_is_refused(dim: int) -> None:
    with pytest.raises(ValueError, match=f"that of the noise, 3, or with the class 7, not {dim}"):
        prior(dim)


@pytest.mark.parametrize("num_classes", [None, 0])
def test_data_without_classes_are_refused_with_the_way_out(num_classes: int | None) -> None:
    with pytest.raises(ValueError, match="needs data with classes, .*: choose such as data=mnist10k"):
        ClassConditional(3, Gaussian(3), num_classes)
