from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets.folder import pil_loader
from torchvision.transforms import v2

from gan_lightning.data.decode import Decoding
from gan_lightning.data.files import ImageFiles, read_image


def write(path: Path, mode: str = "RGB", size: tuple[int, int] = (6, 4), seed: int = 0) -> np.ndarray:
    """An image of random pixels; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_every_image_at_any_depth_is_read_as_it_is_in_the_order_of_names(tmp_path: Path):
    written = [write(tmp_path / name, seed=n) for n, name in enumerate(("a.png", "b/a.PNG", "b/c/d.bmp", "e.png"))]
    (tmp_path / "notes.txt").write_text("no image")
    files = ImageFiles("real", tmp_path)
    assert (files.reference_size, files.shape) == (4, (3, 4, 6))
    images = torch.cat(list(files.reference_batches("cpu", batch_size=3)))
    expected = torch.from_numpy(np.stack(written)).permute(0, 3, 1, 2)
    assert torch.equal(((images + 1) * 127.5).round().byte(), expected)
    ranks = [torch.cat(list(files.reference_batches("cpu", rank, 3, batch_size=1))) for rank in range(3)]
    assert torch.equal(torch.cat(ranks), images)


def test_sizes_that_differ_are_refused_or_brought_to_one(tmp_path: Path):
    write(tmp_path / "a.png", size=(8, 8))
    write(tmp_path / "b.png", size=(8, 8))
    wide = write(tmp_path / "c.png", size=(12, 8))
    with pytest.raises(ValueError, match=r"different size .*\(8, 8\) and \(8, 12\) \(c.png\): .*image_size=N"):
        ImageFiles("fake", tmp_path)
    images = torch.cat(list(ImageFiles("fake", tmp_path, image_size=8).reference_batches("cpu")))
    centre = torch.from_numpy(wide[:, 2:10]).permute(2, 0, 1)
    assert torch.equal(((images[2] + 1) * 127.5).round().byte(), centre)


def test_grey_and_colour_are_refused_or_brought_to_one(tmp_path: Path):
    write(tmp_path / "a.png")
    write(tmp_path / "b.png", mode="L")
    with pytest.raises(ValueError, match=r"different channels, such as 3 and 1 .*channels=3 \(or 1\)"):
        ImageFiles("fake", tmp_path)
    assert ImageFiles("fake", tmp_path, channels=1).shape == (1, 4, 6)
    images = torch.cat(list(ImageFiles("fake", tmp_path, channels=3).reference_batches("cpu")))
    assert images.shape == (2, 3, 4, 6) and torch.equal(images[1, 0], images[1, 2])


def test_what_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="real=.*/absent is no folder"):
        ImageFiles("real", tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="has no images in it"):
        ImageFiles("real", tmp_path)
    write(tmp_path / "good.png", size=(60, 60))
    (tmp_path / "page.png").write_text("<html>")
    with pytest.raises(ValueError, match=r"real: .*page\.png cannot be read .*repair it or take it away"):
        ImageFiles("real", tmp_path)
    (tmp_path / "page.png").write_bytes((tmp_path / "good.png").read_bytes()[:2000])
    files = ImageFiles("real", tmp_path)
    with pytest.raises(ValueError, match=r"real: .*page\.png cannot be read"):
        list(files.reference_batches("cpu"))


def test_its_fingerprint_follows_the_contents_of_the_files(tmp_path: Path):
    write(tmp_path / "a.png")
    first = ImageFiles("real", tmp_path).fingerprint()
    assert (
        first == ImageFiles("real", tmp_path).fingerprint() != ImageFiles("real", tmp_path, image_size=3).fingerprint()
    )
    os.utime(tmp_path / "a.png", (1, 1))
    assert ImageFiles("real", tmp_path).fingerprint() == first
    write(tmp_path / "b.png")
    assert ImageFiles("real", tmp_path).fingerprint() != first


def test_another_folder_of_images_as_large_and_as_old_is_another(tmp_path: Path):
    found = set()
    for seed in (0, 1):
        shutil.rmtree(tmp_path / "images", ignore_errors=True)
        write(tmp_path / "images" / "a.bmp", seed=seed)
        os.utime(tmp_path / "images" / "a.bmp", (1, 1))
        found.add(ImageFiles("real", tmp_path / "images").fingerprint())
    assert len(found) == 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_8_bits_becomes_colour_or_grey_as_torchvision_reads_it(mode: str, channels: int, tmp_path: Path):
    write(tmp_path / "rgb.png", size=(13, 9))
    path = tmp_path / ("image.tif" if mode in ("PA", "CMYK") else "image.png")
    Image.open(tmp_path / "rgb.png").convert(mode).save(path)
    steps = [*([v2.Grayscale()] if channels == 1 else []), v2.Resize(8), v2.CenterCrop((8, 8)), v2.PILToTensor()]
    assert torch.equal(read_image("real", path, Decoding(channels, (8, 8))), v2.Compose(steps)(pil_loader(path)))
