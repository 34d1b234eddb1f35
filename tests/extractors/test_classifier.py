from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gan_lightning.data.image_data import ImageData, Images
from gan_lightning.data.toys import ring
from gan_lightning.extractors import classifier as module
from gan_lightning.extractors.classifier import Classifier
from gan_lightning.utils.files import save_cached


class Bars(ImageData):
    """Colour images with a bright row, whose number is the class."""

    def __init__(self, seed: int = 0, **changes: Any) -> None:
        facts: dict[str, Any] = {"shape": [3, 8, 8], "num_classes": 4, "value_range": [-1, 1], "batch_size": 8}
        super().__init__(**{**facts, "seed": 0, **changes})
        self.source = seed

    def read(self, train: bool) -> Images:
        rng = torch.Generator().manual_seed(self.source + 100 * (not train))
        labels = torch.arange(240) % 4
        pixels = torch.randint(60, (240, 3, 8, 8), generator=rng, dtype=torch.uint8)
        pixels[torch.arange(240), :, 2 * labels] += 150
        return Images(pixels, labels)


class Nameless(Bars):
    def read(self, train: bool) -> Images:
        return Images(super().read(train).pixels, None)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each training."""
    counted: list[int] = []
    original = module.train_classifier

    def counting(*args: Any, **kwargs: Any) -> Any:
        counted.append(len(args[0]))
        return original(*args, **{**kwargs, "epochs": 3})

    monkeypatch.setattr(module, "train_classifier", counting)
    return counted


def prepared(cache: Path | None, data: ImageData | None = None, **arguments: Any) -> Classifier:
    extractor = Classifier(4, cache=None if cache is None else str(cache), **arguments)
    extractor.prepare(data or Bars())
    return extractor


def test_it_learns_the_classes_once_and_is_found_again(tmp_path: Path, trainings: list[int]):
    before = torch.get_rng_state()
    first = prepared(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    pixels, labels = Bars().split(train=False, device="cpu")
    assert labels is not None
    seen = first(pixels / 127.5 - 1)
    assert seen.features.shape == (240, first.dim) and seen.logits is not None
    assert (seen.logits.argmax(1) == labels).float().mean() > 0.9, "of held-out images"
    again = prepared(tmp_path)
    assert trainings == [240]
    assert again.fingerprint == first.fingerprint
    assert torch.equal(again(pixels / 127.5 - 1).features, seen.features)
    assert not any(weight.requires_grad for weight in again.parameters())


def test_it_is_the_same_one_without_a_cache_and_another_one_for_other_data_or_seeds(
    tmp_path: Path, trainings: list[int]
):
    first = prepared(tmp_path)
    assert prepared(None).fingerprint == first.fingerprint
    others = [prepared(tmp_path, Bars(seed=1)), prepared(tmp_path, seed=1), prepared(tmp_path, Bars(classes=[0, 1]))]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert len(trainings) == 5


def test_clusters_in_the_place_of_labels_leave_the_classes_that_it_learns(tmp_path: Path, trainings: list[int]):
    clustered = Bars(num_classes=7, clusters=7, source_classes=4)
    assert prepared(tmp_path, clustered).fingerprint == prepared(tmp_path).fingerprint
    assert trainings == [240]


def test_images_read_from_disk_are_refused(trainings: list[int]):
    data = Bars()
    data.storage = "disk"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="extractor=classifier learns from images in memory"):
        prepared(None, data)


OTHERS: list[Any] = [[1], 3, {}, {"x": torch.ones(2)}, {1: 2}, {"head.bias": "x"}, {"head.weight": torch.ones(9, 9)}]


@pytest.mark.parametrize("content", [None, *OTHERS])
def test_a_damaged_file_is_made_anew(content: Any, tmp_path: Path, trainings: list[int]):
    """Or one that is whole and holds no such classifier."""
    first = prepared(tmp_path)
    (path,) = tmp_path.glob("classifiers/*.pt")
    if content is None:
        path.write_bytes(path.read_bytes()[:-50])
    else:
        save_cached(content, path)
    assert prepared(tmp_path).fingerprint == prepared(tmp_path).fingerprint == first.fingerprint
    assert len(trainings) == 2


def test_what_has_no_classes_is_refused():
    with pytest.raises(ValueError, match="learns the classes of the data, and this has none: choose another"):
        Classifier(None)
    toy = ring(modes=8, radius=1.0, std=0.01, shape=[2], batch_size=8, seed=0)
    for data in (toy, Nameless()):
        with pytest.raises(ValueError, match="learns from images with classes, and this data has none"):
            Classifier(4, cache=None).prepare(data)


def test_images_of_other_channels_are_refused(tmp_path: Path, trainings: list[int]):
    with pytest.raises(ValueError, match=r"reads images \(batch, 3, height, width\)"):
        prepared(tmp_path)(torch.zeros(2, 1, 8, 8))
