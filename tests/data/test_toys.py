from __future__ import annotations

from itertools import islice

import pytest
import torch
from hydra.utils import instantiate

from gan_lightning.data import toys
from gan_lightning.data.distributions import Gaussian


@pytest.mark.parametrize("name", ["gaussian", "ring", "grid"])
def test_the_reference_does_not_depend_on_the_seed_or_the_training_samples(name, settings):
    a, b = (instantiate(settings(name, seed=seed, train_size=1000)) for seed in (0, 1))
    reference = torch.cat(list(a.reference_batches("cpu")))
    assert torch.equal(reference, torch.cat(list(b.reference_batches("cpu"))))
    trained_on = torch.cat([real for real, _ in islice(a.train_dataloader(), 100)])
    together = torch.cat([trained_on, reference])
    assert len(together.unique(dim=0)) == len(trained_on.unique(dim=0)) + len(reference.unique(dim=0))


@pytest.mark.parametrize("name", ["gaussian", "ring", "grid"])
def test_a_fixed_training_set_is_seen_in_epochs(name, settings):
    data = instantiate(settings(name, train_size=30, batch_size=10))
    first, second = (torch.cat([real for real, _ in islice(data.train_dataloader(), 3, 6)]) for _ in range(2))
    whole = torch.cat([real for real, _ in islice(data.train_dataloader(), 3)])
    assert torch.equal(first, second)
    assert len(whole.unique(dim=0)) == 30
    assert torch.equal(first.unique(dim=0), whole.unique(dim=0)) and not torch.equal(first, whole)


def test_settings_reach_the_distribution(settings):
    assert instantiate(settings("gaussian", mean=3, std=0.2)).distribution.mean == 3
    assert len(instantiate(settings("ring", modes=5)).distribution.centers) == 5
    assert instantiate(settings("grid", spacing=1.0)).distribution.centers.max() == 2


@pytest.mark.parametrize("key", ["batch_size", "train_size", "reference_size"])
@pytest.mark.parametrize("value", [0, -1, 2.5, "many", True])
def test_counts_are_checked(key, value, settings):
    with pytest.raises(ValueError, match=f"data.{key} must be a whole number of at least 1"):
        toys.ToyData(Gaussian(0, 1), **{"shape": [1], "batch_size": 4, "seed": 0, key: value})


def test_the_shape_is_the_distributions():
    with pytest.raises(ValueError, match=r"data.shape must be \[1\]"):
        toys.gaussian(0, 1, shape=[2], batch_size=4, seed=0)
