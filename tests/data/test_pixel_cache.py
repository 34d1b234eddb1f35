"""Decoded images in a memory-mapped file of the cache."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_lightning.data import pixel_cache
from gan_lightning.data.decode import Decoding, UnreadableImageError
from gan_lightning.data.files import ImageDataset
from gan_lightning.data.pixel_cache import cached_pixels
from gan_lightning.utils.find_images import find_images

SHAPE = (3, 8, 8)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(256, size=(8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path / "pictures"


def dataset(root: Path, **more) -> ImageDataset:
    return ImageDataset("data.root", find_images("data.root", root), Decoding(3, (8, 8)), **more)


def files(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def test_pixels_are_those_of_the_files_and_decoded_once(pictures: Path, tmp_path: Path, monkeypatch, caplog) -> None:
    caplog.set_level("INFO")
    images = dataset(pictures)
    first = cached_pixels(images, SHAPE, 0, tmp_path / "cache")
    assert torch.equal(first.pixels, torch.stack([images[row][0] for row in range(6)]))
    assert (first.rows, first.kinds) == (list(range(6)), {"PNG RGB": 6})
    monkeypatch.setattr(ImageDataset, "read_all", lambda *_: pytest.fail("decoded again"))
    second = cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache")
    assert torch.equal(first.pixels, second.pixels)
    assert second[1:] == first[1:]
    assert re.fullmatch(r"decoded 6 images at \d+ a second into .*\.npy", caplog.messages[0])
    assert re.fullmatch(r"6 images were decoded before, into .*\.npy", caplog.messages[1])
    assert len(files(tmp_path / "cache")) == 1
    assert sorted(path.name for path in pictures.iterdir()) == [f"{number}.png" for number in range(6)]


def test_workers_decode_the_same(pictures: Path, tmp_path: Path) -> None:
    for number in range(6, 300):
        shutil.copy(pictures / f"{number % 6}.png", pictures / f"{number}.png")
    pixels, rows, _ = cached_pixels(dataset(pictures), SHAPE, 2, tmp_path / "cache")
    assert rows == list(range(300))
    assert torch.equal(pixels, pixels[:6].repeat(50, 1, 1, 1))


def test_another_content_as_large_and_as_old_is_another_file(pictures: Path, tmp_path: Path) -> None:
    for number in range(2):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(pictures / "0.bmp")
        os.utime(pictures / "0.bmp", (1, 1))
        pixels = cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache").pixels
        assert (pixels == torch.tensor([number, 0, 0], dtype=torch.uint8)[:, None, None]).flatten(1).all(1).any()
    assert len(files(tmp_path / "cache")) == 2


def test_a_broken_file_leaves_no_cache_or_is_skipped(pictures: Path, tmp_path: Path) -> None:
    for name in ("2.png", "4.png"):
        (pictures / name).write_text("<html>")
    with pytest.raises(UnreadableImageError, match=r"2.png cannot be read .*, and 1 more files cannot either"):
        cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache")
    assert files(tmp_path / "cache") == []
    for _ in range(2):
        pixels, rows, kinds = cached_pixels(dataset(pictures, on_error="skip"), SHAPE, 0, tmp_path / "cache")
        assert (rows, kinds) == ([0, 1, 3, 5], {"PNG RGB": 4})
        assert torch.equal(pixels[3], dataset(pictures)[3][0])


def test_a_disk_without_room_is_an_error_before_decoding(pictures: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(pixel_cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 9))
    with pytest.raises(OSError, match=r"GAN_LIGHTNING_CACHE .* data.in_memory=false"):
        cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache")


def test_images_in_a_zip(pictures: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for path in pictures.iterdir():
            archive.write(path, path.name)
    plain, zipped = (
        cached_pixels(dataset(root), SHAPE, 0, tmp_path / "cache").pixels for root in (pictures, tmp_path / "d.zip")
    )
    assert torch.equal(plain, zipped)


@pytest.mark.parametrize("damage", [b"", b"garbage", bytes(40), b"{}" + (2).to_bytes(8, "little")])
def test_a_damaged_file_is_made_anew(pictures: Path, tmp_path: Path, caplog, damage: bytes) -> None:
    first = cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache").pixels.clone()
    (file,) = files(tmp_path / "cache")
    file.write_bytes(damage)
    assert torch.equal(cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache").pixels, first)
    assert "is damaged" in caplog.text
    assert torch.equal(torch.from_numpy(np.load(file)), first)


def flipped(file: Path) -> None:
    """Change one bit of a pixel: a file of the right size with another content."""
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)


def without_checksum(file: Path) -> None:
    """Write the end of the file as version 1 did."""
    behind = b'{"rows": null, "kinds": {"PNG RGB": 6}}'
    content = file.read_bytes()
    end = len(content) - 8 - int.from_bytes(content[-8:], "little")
    file.write_bytes(content[:end] + behind + len(behind).to_bytes(8, "little"))


def named_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        without_checksum,
        named_pipe,
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(file.read_bytes()[100:]),
        lambda file: file.write_bytes(b"\x93NUMPY\x01\x00\xff\xff" + file.read_bytes()),
    ],
)
def test_whatever_is_in_its_place_is_made_anew_with_one_line(
    damage: Callable[[Path], object], pictures: Path, tmp_path: Path, caplog
) -> None:
    first = cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache").pixels.clone()
    (file,) = files(tmp_path / "cache")
    damage(file)
    caplog.clear()
    assert torch.equal(cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache").pixels, first)
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith(f"{file} is damaged (") and "\n" not in line
    caplog.clear()
    cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache")
    assert not caplog.records


def test_a_folder_in_its_place_is_one_sentence(pictures: Path, tmp_path: Path) -> None:
    cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache")
    (file,) = files(tmp_path / "cache")
    file.unlink()
    file.mkdir()
    with pytest.raises(
        OSError, match=r"npy cannot be written \(Is a directory\): let GAN_LIGHTNING_CACHE name another"
    ):
        cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "cache")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"npy cannot be written \(.*\): let GAN_LIGHTNING_CACHE name another folder, or"):
        cached_pixels(dataset(pictures), SHAPE, 0, tmp_path / "file")
