from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.plain_extractor import Plain
from scipy.spatial.distance import cdist
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from gan_lightning.metrics import precision_recall as manifold
from gan_lightning.metrics.precision_recall import DensityCoverage, Manifold, PrecisionRecall, radii


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def whole(*shape: int, seed: int = 0) -> Tensor:
    """Features whose distances are exact however they are computed, with many that are equal."""
    return torch.randint(4, shape, generator=torch.Generator().manual_seed(seed)).float()


def evaluated(metric: Manifold, fake: Tensor, real: Tensor) -> dict[str, float]:
    for rows in (slice(0, 13), slice(13, None)):
        metric.update(fake[rows], real=False)
        metric.update(real[rows], real=True)
    return metric.compute()


@pytest.fixture(params=[7, 64, 2048])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of a block: smaller than the samples, and than what is kept of them, and larger than all."""
    monkeypatch.setattr(manifold, "ROWS", request.param)
    return int(request.param)


SETS = [
    (normal(90, 40), normal(70, 40, seed=1) * 1.1),
    (whole(90, 6), whole(120, 6, seed=1)),
    (whole(65, 3), whole(64, 3, seed=1) + 1),
]


@pytest.mark.parametrize(("fake", "real"), SETS)
@pytest.mark.parametrize("neighbour", [1, 3, 9])
def test_precision_and_recall_are_exactly_torch_fidelitys(rows: int, neighbour: int, fake: Tensor, real: Tensor):
    theirs = prc_features_to_metric(
        fake, real, prc_neighborhood=neighbour, prc_batch_size=10000, save_cpu_ram=False, verbose=False
    )
    values = evaluated(PrecisionRecall(Plain(fake.shape[1]), neighbour), fake, real)
    # Theirs are means in float32.
    assert round(values["precision"] * len(fake), 6) == round(theirs["precision"] * len(fake), 3)
    assert round(values["recall"] * len(real), 6) == round(theirs["recall"] * len(real), 3)
    assert values["precision"] > 0 and values["recall"] > 0


@pytest.mark.parametrize(("fake", "real"), SETS)
@pytest.mark.parametrize("neighbour", [1, 5])
def test_density_and_coverage_are_those_of_all_distances(rows: int, neighbour: int, fake: Tensor, real: Tensor):
    """As Naeem et al. publish them, with every distance at once, in float64."""
    a, b = real.double().numpy(), fake.double().numpy()
    radius = np.sort(cdist(a, a), axis=1)[:, neighbour]
    across = cdist(a, b)
    density = (across < radius[:, None]).sum(axis=0).mean() / neighbour
    coverage = (across.min(axis=1) < radius).mean()
    values = evaluated(DensityCoverage(Plain(fake.shape[1]), neighbour), fake, real)
    assert values == {"density": pytest.approx(density, rel=1e-12), "coverage": pytest.approx(coverage, rel=1e-12)}
    assert coverage > 0


@pytest.mark.parametrize("neighbour", [1, 3, 20])
def test_radii_leave_the_sample_itself_out(rows: int, neighbour: int):
    features = normal(50, 20)
    distances = torch.from_numpy(cdist(features.double().numpy(), features.double().numpy()))
    expected = distances.fill_diagonal_(math.inf).sort(dim=1).values[:, neighbour - 1]
    torch.testing.assert_close(radii(features, neighbour), expected.float(), rtol=1e-5, atol=1e-5)


def test_no_block_of_distances_grows_with_the_samples(monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []
    plain = torch.cdist

    def watched(a: Tensor, b: Tensor) -> Tensor:
        sizes.append(len(a) * len(b))
        return plain(a, b)

    monkeypatch.setattr(manifold, "ROWS", 10)
    monkeypatch.setattr(torch, "cdist", watched)
    evaluated(PrecisionRecall(Plain(3)), normal(45, 3), normal(52, 3, seed=1))
    evaluated(DensityCoverage(Plain(3)), normal(45, 3), normal(52, 3, seed=1))
    assert max(sizes) == 100
    # A block serves rows and columns: 21 of 36 blocks for the real samples, 15 of 25 for the fakes.
    assert len(sizes) == (21 + 15 + 5 * 6) + (21 + 5 * 6)


def test_values_by_hand():
    """Real samples 0, 1, 2, 3 on a line and 100: with k = 1 balls of radius 1, and of 97 around the last."""
    real = torch.tensor([[0.0], [1], [2], [3], [100]])
    fake = torch.tensor([[0.5], [0.5], [50.0], [-7.0]])
    # Fake balls: radius 0 twice, 49.5, 7.5 (which reaches 0).
    assert evaluated(PrecisionRecall(Plain(1), 1), fake, real) == {"precision": 0.75, "recall": 1.0 - 1 / 5}
    # .5 lies inside the balls of 0 and 1, 50 inside that of 100, -7 in none.
    assert evaluated(DensityCoverage(Plain(1), 1), fake, real) == {"density": 5 / 4, "coverage": 3 / 5}


def test_a_collapsed_generator_is_precise_and_recalls_nothing():
    real = normal(100, 5)
    values = evaluated(PrecisionRecall(Plain(5)), real[:1].repeat(50, 1), real)
    assert values["precision"] == 1.0
    assert values["recall"] <= 0.01


def test_real_radii_are_found_once_and_anew_for_new_samples(monkeypatch: pytest.MonkeyPatch):
    metric = PrecisionRecall(Plain(4))
    counts: list[int] = []

    def noted(features: Tensor, neighbour: int) -> Tensor:
        counts.append(len(features))
        return radii(features, neighbour)

    monkeypatch.setattr(manifold, "radii", noted)
    evaluated(metric, normal(20, 4), normal(30, 4, seed=1))
    metric.reset()
    metric.update(normal(25, 4), real=False)
    metric.compute()
    metric.update(normal(10, 4, seed=2), real=True)
    grown = metric.compute()
    assert [count for count in counts if count in (30, 40)] == [30, 40]
    fresh = evaluated(
        PrecisionRecall(Plain(4)), normal(25, 4), torch.cat([normal(30, 4, seed=1), normal(10, 4, seed=2)])
    )
    assert grown == fresh


def test_samples_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="density and coverage need at least the 1st nearest neighbour, not number 0"):
        DensityCoverage(Plain(2), 0)
    with pytest.raises(ValueError, match=r"k=3 need 4 samples of each kind, not 9 real and 3 fake: raise metrics\.num"):
        evaluated(PrecisionRecall(Plain(2)), normal(3, 2), normal(9, 2))
    assert PrecisionRecall(Plain(2)).config == {"k": 3} and DensityCoverage(Plain(2)).config == {"k": 5}
