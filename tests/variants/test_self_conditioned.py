"""Clusters as classes: found before training, drawn as often as they occur, kept in the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.compose import composed, job_part
from hydra.utils import instantiate
from torch import Tensor

from gan_lightning.data.image_data import ImageData
from gan_lightning.priors import ClassConditional, Gaussian


def mnist(**changes: Any) -> ImageData:
    with composed("variant=self_conditioned", *(f"data.{key}={value}" for key, value in changes.items())) as config:
        data: ImageData = instantiate(job_part(config).data, _convert_="all")
    return data


def test_the_number_of_clusters_follows_from_the_data_and_conditions_both_players():
    with composed("variant=self_conditioned") as config:
        assert config.data.clusters == config.data.num_classes == config.prior.num_classes == 90
        assert config.wrappers.projection.num_classes == 90
    with composed("data.clusters=7", "variant=acgan") as config:
        assert config.wrappers.acgan.num_classes == config.prior.num_classes == 7
    with composed("variant=cgan") as config:
        assert config.data.num_classes == 10


def test_clusters_take_the_place_of_labels():
    data = mnist(clusters=12)
    labels = data.split(train=True, device="cpu").labels
    assert labels is not None
    assert set(labels.tolist()) == set(range(12))
    held_out = data.split(train=False, device="cpu").labels
    assert held_out is not None
    assert len(held_out) == 1000
    assert held_out.max() < 12
    counts = data.label_counts()
    assert counts is not None
    assert counts.tolist() == torch.bincount(labels).tolist()
    _, batch_labels = next(iter(data.train_dataloader()))
    assert batch_labels is not None
    assert batch_labels.max() < 12


def test_numbers_with_clusters_and_with_classes_are_of_one_reference():
    with composed() as config:
        classes: ImageData = instantiate(job_part(config).data, _convert_="all")
    clusters = mnist(clusters=5)
    assert clusters.source_fingerprint() == classes.source_fingerprint() == classes.fingerprint()
    assert clusters.fingerprint() != classes.fingerprint()


def test_a_checkpoint_keeps_the_clusters():
    data, resumed = mnist(clusters=5), mnist(clusters=5)
    data.setup("fit")
    state = data.state_dict()
    state["clusters"] = (state["clusters"] + 1) % 5  # as another machine's rounding might have found them
    resumed.load_state_dict(state)
    assert torch.equal(resumed.split(train=True, device="cpu").labels, state["clusters"])  # type: ignore[arg-type]
    with composed() as config:
        assert instantiate(job_part(config).data, _convert_="all").state_dict() == {}


def conditional(labels: str, counts: Tensor | None) -> ClassConditional:
    prior = ClassConditional(5, Gaussian(5), len(counts) if counts is not None else 4, labels)
    prior.prepare(counts)
    return prior


def shares(prior: ClassConditional, count: int = 20000) -> list[float]:
    labels = prior.sample(count, torch.Generator().manual_seed(0)).labels
    assert labels is not None
    return (torch.bincount(labels, minlength=prior.num_classes) / count).tolist()


def test_labels_follow_the_data_or_are_uniform_over_the_classes_that_data_have():
    counts = torch.tensor([600, 300, 100, 0])
    assert shares(conditional("data", counts)) == pytest.approx([0.6, 0.3, 0.1, 0], abs=0.02)
    assert shares(conditional("uniform", counts)) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=0.02)
    assert shares(conditional("data", None)) == pytest.approx([0.25] * 4, abs=0.02)


def test_equal_shares_draw_as_a_prior_that_was_never_prepared():
    fresh, prepared = conditional("uniform", None), conditional("data", torch.tensor([7, 7, 7, 7]))
    a, b = (prior.sample(50, torch.Generator().manual_seed(1)) for prior in (fresh, prepared))
    assert torch.equal(a.z, b.z)
    assert torch.equal(a.labels, b.labels)  # type: ignore[arg-type]


def test_classes_without_data_are_refused_and_have_no_row():
    prior = conditional("data", torch.tensor([600, 0, 100, 0]))
    latent, columns = prior.grid(8, torch.Generator())
    assert columns == 4
    assert latent.labels is not None
    assert latent.labels.tolist() == [0] * 4 + [2] * 4
    with pytest.raises(ValueError, match=r"does not have the classes \[1\]: choose from \[0, 2\]"):
        prior.grid(8, torch.Generator(), classes=[0, 1])


def test_a_grid_of_many_classes_shows_some_at_equal_distances():
    counts = torch.arange(100) + 1
    latent, columns = conditional("data", counts).grid(64, torch.Generator())
    assert columns == 8
    assert latent.labels is not None
    assert latent.labels.unique().tolist() == [0, 12, 25, 37, 50, 62, 75, 87]


def test_shares_are_in_the_state_and_unknown_ways_refused():
    assert "class_shares" in conditional("data", torch.tensor([1, 3])).state_dict()
    with pytest.raises(ValueError, match="prior.labels must be data or uniform"):
        ClassConditional(5, Gaussian(5), 4, "often")


def test_clusters_and_classes_that_differ_are_refused(tmp_path: Path):
    with pytest.raises(Exception, match="data.num_classes=10 must be that of the clusters"):
        mnist(clusters=5, num_classes=10)
