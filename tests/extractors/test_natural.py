"""EfficientNet-Lite0 against the package that published its weights, and its distances against what eyes see."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from gan_lightning.data.clusters import Describe, cluster_images
from gan_lightning.data.image_data import batches_of, features_of
from gan_lightning.data.shapes import draw_factors, render
from gan_lightning.extractors.natural import Natural, efficientnet_lite0, fold_batch_norm, weights_file
from gan_lightning.metrics.fid import FrechetDistance
from gan_lightning.metrics.shapes import mutual_information


@pytest.fixture(scope="module")
def published() -> nn.Module:
    """The network of the weights' authors."""
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights_file(), weights_only=True))
    return network.eval()


@pytest.mark.parametrize("size", [96, 160])
def test_the_network_is_the_published_one(published: nn.Module, size: int):
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(efficientnet_lite0(weights_file())(images), published(images))


def test_folded_batch_norm_computes_the_same(published: nn.Module):
    folded = fold_batch_norm(efficientnet_lite0(weights_file()))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(folded(images), published(images), rtol=1e-4, atol=1e-4)


def test_features_are_what_enters_the_last_layer(published: nn.Module):
    extractor = Natural([3, 96, 96], size=96)
    extractor.dtype = torch.float32
    pixels = torch.randint(256, (3, 3, 96, 96), generator=torch.Generator().manual_seed(0)).float()
    features, logits = extractor(pixels / 127.5 - 1)
    with torch.no_grad():
        expected = published(pixels.sub(127).div(128))
    assert features.shape == (3, 1280)
    assert logits is not None
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "size"), [([3, 32, 32], 96), ([1, 64, 64], 96), ([3, 100, 128], 160), ([3, 256, 256], 224)]
)
def test_the_size_follows_the_images_and_is_in_the_fingerprint(shape: list[int], size: int):
    extractor = Natural(shape)
    assert f"{size}px" in extractor.fingerprint
    assert f"{size}x{size}" in extractor.preprocessing


def test_grey_images_are_read_as_colour():
    grey = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    extractor = Natural([1, 64, 64])
    torch.testing.assert_close(extractor(grey).features, extractor(grey.expand(-1, 3, -1, -1)).features)
    with pytest.raises(ValueError, match="EfficientNet reads images"):
        extractor(torch.zeros(2, 4, 64, 64))


def distances(real: Tensor, *fakes: Tensor) -> list[float]:
    """The distance of each of `fakes` from the same real images."""
    metric = FrechetDistance(Natural([3, 64, 64]))
    metric.update(real, real=True)
    found = []
    for fake in fakes:
        metric.reset()
        metric.update(fake, real=False)
        found.append(metric.compute()["fid"])
    return found


def test_halves_lie_nearer_than_a_half_and_its_blurred_or_noisy_other_half(tmp_path: Path):
    rng = torch.Generator().manual_seed(0)
    images = render(draw_factors(200, rng), 64) * 2 - 1
    first, second = images.chunk(2)
    noisy = (second + 0.2 * torch.randn(second.shape, generator=rng)).clamp(-1, 1)
    near, *far = distances(first, second, avg_pool2d(second, 5, 1, 2), noisy)
    assert near < 0.6 * min(far)


def test_clusters_of_the_features_tell_shapes_apart_and_those_of_pixels_do_not():
    factors = draw_factors(240, torch.Generator().manual_seed(0))
    pixels = render(factors, 32).mul(255).round().to(torch.uint8)

    def information(describe: Describe | None) -> float:
        found = cluster_images(batches_of(pixels), len(pixels), 4, describe=describe)
        return mutual_information(torch.bincount(found * 4 + factors.shape, minlength=16).view(4, 4))

    assert information(None) < 0.2
    assert information(features_of(Natural([3, 32, 32]))) > 0.8  # log 4 = 1.39 at most
