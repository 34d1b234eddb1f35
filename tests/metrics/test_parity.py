"""The same numbers as torch-fidelity's: of the same features, and of the same images through the Inception network.

The network has random weights, in the format of the real file: which they are is of no account to the arithmetic.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch_fidelity
from helpers.inception_weights import write_random_weights
from helpers.plain_extractor import Plain
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from gan_lightning.data.pixels import normalize
from gan_lightning.extractors.inception import Inception
from gan_lightning.metrics.base import SampleMetric
from gan_lightning.metrics.fid import FrechetDistance
from gan_lightning.metrics.inception_score import InceptionScore
from gan_lightning.metrics.kid import KernelDistance
from gan_lightning.metrics.precision_recall import PrecisionRecall

SUBSETS, SUBSET_SIZE, SPLITS = 5, 5, 3


def features(count: int, seed: int) -> Tensor:
    """Not negative, of a spectrum that falls, as Inception's are: (count, 64)."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(64, 64, generator=torch.Generator().manual_seed(9)) / torch.arange(1, 65)[:, None].sqrt()
    return (torch.randn(count, 64, generator=rng) @ mixing * 0.3 + 0.1 * seed).relu()


def numbers(metric: SampleMetric, fake: Tensor, real: Tensor) -> dict[str, float]:
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return metric.compute()


def test_of_the_same_features():
    fake, real = features(500, 1), features(400, 2)
    fid = fid_statistics_to_metric(fid_features_to_statistics(fake), fid_features_to_statistics(real), False)
    ours = numbers(FrechetDistance(Plain(64)), fake, real)["fid"]
    assert ours == pytest.approx(fid["frechet_inception_distance"], rel=1e-4)
    kid = kid_features_to_metric(fake, real, kid_subset_size=300, verbose=False)
    ours = numbers(KernelDistance(Plain(64), subset_size=300), fake, real)["kid"]
    assert ours == pytest.approx(kid["kernel_inception_distance_mean"], rel=1e-6, abs=1e-6)
    prc = prc_features_to_metric(fake, real, verbose=False)
    values = numbers(PrecisionRecall(Plain(64)), fake, real)
    assert round(values["precision"] * 500, 6) == round(prc["precision"] * 500, 3)
    assert round(values["recall"] * 400, 6) == round(prc["recall"] * 400, 3)


@pytest.mark.parametrize("fewer_than_features", [False, True])
def test_a_set_is_at_no_distance_from_itself(fewer_than_features: bool):
    given = features(30 if fewer_than_features else 500, 1)
    assert numbers(FrechetDistance(Plain(64)), given, given)["fid"] == pytest.approx(0.0, abs=1e-6)


class Pixels(Dataset):
    """Images of uint8, as torch-fidelity reads them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_weights(tmp_path_factory.mktemp("inception") / "weights.pth")


def images() -> tuple[Tensor, Tensor]:
    """Six fakes and seven real images of blotches, uint8 (n, 3, 24, 24)."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randint(256, (13, 3, 4, 4), generator=rng).repeat_interleave(6, 2).repeat_interleave(6, 3)
    noise = torch.randint(-40, 41, (13, 3, 24, 24), generator=rng)
    noise[:6] //= 4
    pixels = (coarse + noise).clamp(0, 255).to(torch.uint8)
    return pixels[:6], pixels[6:]


def both(weights: Path, **chosen_metrics: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Ours, each image seen once for all metrics, and torch-fidelity's, all of them by its own front door."""
    fake, real = images()
    extractor = Inception(weights)
    metrics = {
        "isc": InceptionScore(extractor, SPLITS),
        "kid": KernelDistance(extractor, SUBSETS, SUBSET_SIZE),
        "prc": PrecisionRecall(extractor),
        "fid": FrechetDistance(extractor),
    }
    chosen = [metric for name, metric in metrics.items() if chosen_metrics.get(name)]
    for pixels, is_real in ((real, True), (fake, False)):
        shown = normalize(pixels)
        for metric in chosen:
            metric.update(shown, real=is_real)
    ours = {key: value for metric in chosen for key, value in metric.compute().items()}
    theirs = torch_fidelity.calculate_metrics(
        input1=Pixels(fake),
        input2=Pixels(real),
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
        feature_extractor="inception-v3-compat",  # of precision and recall too, where it would take a VGG
        feature_layer_prc="2048",
        feature_extractor_weights_path=str(weights),
        kid_subsets=SUBSETS,
        kid_subset_size=SUBSET_SIZE,
        isc_splits=SPLITS,
        **chosen_metrics,
    )
    return ours, theirs


def test_of_the_same_images(weights: Path):
    ours, theirs = both(weights, isc=True, kid=True, prc=True)
    assert ours["inception_score"] == pytest.approx(theirs["inception_score_mean"], rel=1e-4)
    assert ours["inception_score_std"] == pytest.approx(theirs["inception_score_std"], rel=1e-2, abs=1e-5)
    assert ours["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert ours["kid_std"] == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)
    assert ours["precision"] == pytest.approx(theirs["precision"], rel=1e-6)
    assert ours["recall"] == pytest.approx(theirs["recall"], rel=1e-6)
    assert ours["inception_score"] > 1.0001, "or the case shows nothing"


@pytest.mark.slow  # torch-fidelity takes a minute for the root of a product of this size
def test_the_frechet_distance_of_the_same_images(weights: Path):
    ours, theirs = both(weights, fid=True)
    assert ours["fid"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
