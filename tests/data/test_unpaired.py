"""Two domains without pairs: which images come when, and what folders they come from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from scipy.ndimage import morphological_gradient
from torch import Tensor

from gan_lightning.data.digit_outlines import DigitOutlines, outlines
from gan_lightning.data.image_data import Images
from gan_lightning.data.loader import DeterministicSampler, InMemoryLoader
from gan_lightning.data.mnist import ASSETS, read_split
from gan_lightning.data.unpaired import Domains, PairLoader, UnpairedImages
from gan_lightning.data.unpaired_folders import UnpairedFolders

FACTS: dict[str, Any] = {"num_classes": None, "value_range": [-1, 1], "batch_size": 4, "seed": 3}


class Numbered(UnpairedImages):
    """Images of 2x2 pixels whose value is their number: 0, 1, ... in A, 100, 101, ... in B."""

    def __init__(self, sizes: Sequence[int] = (6, 10), **changes: Any) -> None:
        super().__init__(**{"shape": [2, 2, 2], **FACTS, **changes})
        self.sizes = sizes

    def read(self) -> Domains:
        a, b = (
            torch.arange(first, first + size, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)
            for first, size in zip((0, 100), self.sizes, strict=True)
        )
        return Domains(Images(a, None), Images(b, None))


def numbers(pairs: Tensor) -> list[tuple[int, int]]:
    """The numbers of the images in pairs (batch, 2, 2, 2)."""
    found = ((pairs + 1) * 127.5).round().int()
    assert (found == found[:, :, :1, :1]).all()
    return [(int(a), int(b)) for a, b in found[:, :, 0, 0]]


def steps(data: UnpairedImages, count: int) -> list[tuple[int, int]]:
    batches = list(islice(data.train_dataloader(), count))
    assert all(labels is None for _, labels in batches)
    return [pair for real, _ in batches for pair in numbers(real)]


def test_each_domain_comes_whole_in_every_epoch_of_its_own() -> None:
    pairs = steps(Numbered(), 15)  # 60 pairs: 10 epochs of A, 6 of B
    for side, first, size in ((0, 0, 6), (1, 100, 10)):
        images = [pair[side] for pair in pairs]
        for start in range(0, 60, size):
            assert sorted(images[start : start + size]) == list(range(first, first + size))


def test_nothing_pairs_the_two() -> None:
    pairs = steps(Numbered((8, 8)), 100)
    assert len(set(pairs)) == 64  # every image of A has met every image of B
    assert any(a != b - 100 for a, b in pairs[:8])


def test_batches_are_a_function_of_seed_and_step_alone() -> None:
    assert steps(Numbered(), 5) == steps(Numbered(), 5) != steps(Numbered(seed=4), 5)
    pixels = [images.pixels for images in Numbered().domains()]

    def load(first_step: int, rank: int = 0, ranks: int = 1) -> list[tuple[int, int]]:
        loaders = [
            InMemoryLoader(each, None, DeterministicSampler(len(each), 4, seed, rank, ranks), "cpu", lambda: first_step)
            for seed, each in enumerate(pixels)
        ]
        return [pair for real, _ in islice(PairLoader(*loaders), 3) for pair in numbers(real)]

    assert load(0)[4:] == load(1)[:8]
    halves = load(0, 0, 2), load(0, 1, 2)
    assert [pair for step in range(3) for half in halves for pair in half[2 * step : 2 * step + 2]] == load(0)


def test_metrics_compare_with_every_image_once_and_the_smaller_domain_again() -> None:
    data = Numbered()
    assert data.reference_size == 10
    whole = [pair for batch in data.reference_batches("cpu", batch_size=4) for pair in numbers(batch)]
    assert whole == [(row % 6, 100 + row) for row in range(10)]
    ranks = [pair for rank in range(3) for batch in data.reference_batches("cpu", rank, 3) for pair in numbers(batch)]
    assert ranks == whole


def test_its_fingerprint_follows_both_domains() -> None:
    first = Numbered().fingerprint()
    assert first == Numbered(seed=9).fingerprint()
    assert len({first, Numbered((7, 10)).fingerprint(), Numbered((6, 9)).fingerprint()}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value_range": [0, 1]}, r"data\.value_range must be \[-1, 1\]"),
        ({"shape": [3, 2, 2]}, r"data\.shape must be \[2 \* channels"),
        ({"shape": [2, 4]}, r"data\.shape must be \[2 \* channels"),
        ({"num_classes": 10}, r"data\.num_classes must be null"),
    ],
)
def test_impossible_facts_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Numbered(**changes)


def test_images_are_held_against_the_facts() -> None:
    with pytest.raises(ValueError, match=r"data\.shape=\[2, 4, 4\], but an image has shape \[1, 2, 2\]"):
        Numbered(shape=[2, 4, 4]).setup("fit")


def test_outlines_are_scipys_morphological_gradient() -> None:
    pixels = read_split(ASSETS / "mnist10k", train=False).pixels[:50]
    pixels[0, 0, :3] = 200  # at the border too
    expected = [morphological_gradient(image, size=(3, 3)) for image in pixels[:, 0].numpy()]
    assert (outlines(pixels)[:, 0].numpy() == np.stack(expected)).all()
    assert outlines(pixels).dtype == torch.uint8
    torch.testing.assert_close(outlines(pixels / 127.5 - 1), outlines(pixels) / 127.5)


def test_strokes_and_outlines_are_of_different_digits() -> None:
    data = DigitOutlines(shape=[2, 28, 28], **FACTS)
    data.setup("fit")
    (strokes, digits_a), (lines, digits_b) = data.domains()
    pixels, labels = read_split(ASSETS / "mnist10k", train=True)
    assert labels is not None and digits_a is not None and digits_b is not None
    sources = torch.arange(9000)
    a, b = sources[0::2], sources[1::2]
    assert torch.equal(strokes, pixels[a]) and torch.equal(digits_a, labels[a])
    assert torch.equal(lines, outlines(pixels[b])) and torch.equal(digits_b, labels[b])
    real, _ = next(iter(data.train_dataloader()))
    assert real.shape == (4, 2, 28, 28)
    assert -1 <= real.min() < real.max() <= 1


def folders(root: Path, channels: int = 3, **changes: Any) -> UnpairedFolders:
    settings: dict[str, Any] = {
        "a": str(root / "a"),
        "b": str(root / "b"),
        "image_size": 8,
        "channels": channels,
        "num_workers": 2,
    }
    return UnpairedFolders(**{**FACTS, "shape": [2 * channels, 8, 8], **settings, **changes})


@pytest.fixture
def two_folders(tmp_path: Path) -> Path:
    """Three colour images in A, one of them grey in its file and one deeper; two in B; of various sizes."""
    (tmp_path / "a" / "deeper").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    Image.new("RGB", (40, 30), (255, 0, 0)).save(tmp_path / "a" / "0.png")
    Image.new("L", (9, 31), 51).save(tmp_path / "a" / "1.png")
    Image.new("RGB", (8, 8), (0, 0, 255)).save(tmp_path / "a" / "deeper" / "2.bmp")
    Image.new("RGB", (20, 20), (0, 255, 0)).save(tmp_path / "b" / "0.png")
    Image.new("RGBA", (64, 16), (10, 20, 30, 255)).save(tmp_path / "b" / "1.png")
    return tmp_path


def test_two_folders_are_two_domains(two_folders: Path) -> None:
    a, b = folders(two_folders).domains()
    assert a.pixels.shape == (3, 3, 8, 8) and b.pixels.shape == (2, 3, 8, 8)
    assert a.labels is None and b.labels is None
    # in the order of their folders, the deeper ones after the files beside them
    assert sorted(a.pixels[:, :, 4, 4].tolist()) == [[0, 0, 255], [51, 51, 51], [255, 0, 0]]
    assert b.pixels[:, :, 4, 4].tolist() == [[0, 255, 0], [10, 20, 30]]


def test_grey_is_luma(two_folders: Path) -> None:
    grey = folders(two_folders, channels=1).domains().b.pixels
    assert grey.shape == (2, 1, 8, 8)
    assert grey[0, 0, 4, 4].item() == pytest.approx(0.587 * 255, abs=1)


def test_a_pair_is_one_of_each(two_folders: Path) -> None:
    real, _ = next(iter(folders(two_folders).train_dataloader()))
    assert real.shape == (4, 6, 8, 8)
    domains = folders(two_folders).domains()
    for half, (pixels, _) in zip(real.chunk(2, dim=1), domains, strict=True):
        known = [(image / 127.5 - 1).allclose(sample) for sample in half for image in pixels.float()]
        assert sum(known) == 4


@pytest.mark.parametrize("missing", ["a", "b"])
def test_a_folder_without_images_is_named(two_folders: Path, missing: str) -> None:
    empty = two_folders / "empty"
    for folder in (empty, two_folders / "nowhere"):
        empty.mkdir(exist_ok=True)
        with pytest.raises(FileNotFoundError, match=rf"data\.{missing}={folder} (has no images|is no folder)"):
            folders(two_folders, 3, **{missing: str(folder)}).setup("fit")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_broken_file_is_named(two_folders: Path, num_workers: int) -> None:
    good = (two_folders / "b" / "0.png").read_bytes()
    for content in (b"no picture", good[: len(good) // 2]):
        (two_folders / "b" / "0.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"data\.b: .*b/0\.png cannot be read \(.+\): repair it or take it away"):
            folders(two_folders, num_workers=num_workers).setup("fit")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 4}, r"data\.channels must be 3"),
        ({"image_size": 16}, r"data\.shape=\[6, 8, 8\] must follow .*: \[6, 16, 16\]"),
        ({"num_workers": -1}, r"data\.num_workers"),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        folders(tmp_path, **{**changes, "shape": [6, 8, 8]})


def test_the_file_follows_size_and_channels() -> None:
    from gan_lightning.utils.conf import register_resolvers

    register_resolvers()
    file = Path(__file__).parents[2] / "conf" / "data" / "unpaired_folders.yaml"
    config = OmegaConf.create({"data": OmegaConf.load(file)})
    config.data.image_size, config.data.channels = 128, 1
    assert config.data.shape == [2, 128, 128]
