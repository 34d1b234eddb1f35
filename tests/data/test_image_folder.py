from __future__ import annotations

import os
from itertools import islice

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image

from gan_lightning.data import image_folder
from gan_lightning.data.loader import DiskLoader, InMemoryLoader


@pytest.fixture
def folder(tmp_path, write_images, settings):
    """A source over two class folders of six images each."""
    write_images(tmp_path, "blue", "amber")

    def make(**changes):
        return instantiate(
            settings("image_folder", root=str(tmp_path), image_size=8, batch_size=12, num_workers=0, **changes)
        )

    return make


def pixel(images):
    """The one colour of each image, as tuples of 0..255."""
    return [tuple(image) for image in ((images[:, :, 4, 4] + 1) * 127.5).round().int().tolist()]


def test_labels_number_the_folders_by_name(folder):
    source = folder(num_classes=2)
    real, labels = next(iter(source.train_dataloader()))
    colours = pixel(real)
    assert sorted(colours) == sorted((255, 100 * number, 10 * image) for number in (0, 1) for image in range(6))
    # "amber" comes before "blue", and was written second, with green at 100.
    assert [green for _, green, _ in colours] == [100 if label == 0 else 0 for label in labels.tolist()]


def test_without_classes_images_at_any_depth_are_found(folder, tmp_path, write_images):
    write_images(tmp_path, ".", "deep/er/still")
    source = folder()
    assert next(iter(source.train_dataloader()))[1] is None
    assert source.reference_size == 24


@pytest.mark.parametrize("num_classes", [None, 2])
def test_memory_and_disk_give_the_same(folder, num_classes):
    memory, disk = (folder(num_classes=num_classes, in_memory=in_memory) for in_memory in (True, False))
    kinds = [type(source.train_dataloader()) for source in (memory, disk)]
    assert kinds == [InMemoryLoader, DiskLoader]
    for (a, x), (b, y) in islice(zip(memory.train_dataloader(), disk.train_dataloader(), strict=True), 4):
        assert torch.equal(a, b)
        assert (x is y is None) if num_classes is None else torch.equal(x, y)
    for rank in range(3):
        batches = zip(*(s.reference_batches("cpu", rank, 3, batch_size=3) for s in (memory, disk)), strict=True)
        assert all(torch.equal(a, b) for a, b in batches)


def test_images_are_held_in_memory_where_they_fit(folder, monkeypatch):
    monkeypatch.setattr(image_folder, "MEMORY_BYTES", 12 * 3 * 8 * 8)
    assert not folder().resident
    monkeypatch.setattr(image_folder, "MEMORY_BYTES", 12 * 3 * 8 * 8 + 1)
    assert folder().resident


def test_the_square_about_the_centre_is_cut_out(folder, tmp_path):
    # Left and right quarters red, the middle half black: the square of the middle is all black.
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, :10, 0] = picture[:, 30:, 0] = 255
    (tmp_path / "one").mkdir()
    Image.fromarray(picture).save(tmp_path / "one" / "wide.png")
    # Scaling mixes neighbours at the edge, so that the outermost columns are left out.
    images = torch.cat(list(folder(num_classes=3, classes=[2]).reference_batches("cpu")))
    assert images.shape == (1, 3, 8, 8)
    assert (images[..., 1:-1] < -0.99).all()


def test_grey_is_luma(folder):
    source = folder(channels=1, num_classes=2, classes=[1])
    greys = (torch.cat(list(source.reference_batches("cpu"))) + 1) * 127.5
    assert greys.shape == (6, 1, 8, 8)
    # ITU-R 601: .299 red + .587 green + .114 blue
    expected = [0.299 * 255 + 0.114 * 10 * image for image in range(6)]
    assert greys[:, 0, 0, 0].tolist() == pytest.approx(expected, abs=1.01)


@pytest.mark.parametrize("in_memory", [True, False])
def test_some_classes_only(folder, in_memory):
    source = folder(num_classes=2, classes=[1], in_memory=in_memory)
    assert source.reference_size == 6
    assert set(next(iter(source.train_dataloader()))[1].tolist()) == {1}
    with pytest.raises(ValueError, match=r"data.classes=\[5\] .* choose from \[0, 1\]"):
        folder(num_classes=2, classes=[5], in_memory=in_memory).setup("fit")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": None}, "data.root must name the folder"),
        ({"channels": 4}, "data.channels must be 3"),
        ({"image_size": 0}, "data.image_size"),
        ({"in_memory": "auto"}, "data.in_memory"),
        ({"num_workers": -1}, "data.num_workers"),
        ({"classes": [0]}, "data.num_classes"),
        ({"shape": [3, 32, 32]}, "data.shape"),
        ({"reference": "test"}, "no test split"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, settings, changes, message):
    with pytest.raises(Exception, match=message) as error:
        instantiate(settings("image_folder", **{"root": str(tmp_path), **changes}))
    assert isinstance(error.value.__cause__, ValueError)


@pytest.mark.parametrize("num_classes", [None, 2])
@pytest.mark.parametrize("below", [".", "nowhere"])
def test_a_folder_without_images_is_named(tmp_path, settings, num_classes, below):
    source = instantiate(settings("image_folder", root=str(tmp_path / below), num_classes=num_classes))
    with pytest.raises(FileNotFoundError, match=f"data.root={tmp_path / below} (must hold|has no images|is no folder)"):
        source.setup("fit")


def test_a_class_without_images_is_named(folder, tmp_path):
    (tmp_path / "cyan").mkdir()
    with pytest.raises(FileNotFoundError, match=f"a class of data.root={tmp_path}/cyan has no images in it"):
        folder(num_classes=3).setup("fit")


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("broken", ["text", "deep"])
def test_a_file_that_cannot_be_read_is_named(folder, tmp_path, in_memory, broken):
    path = tmp_path / "blue" / "one.png"
    if broken == "text":
        path.write_text("<html>")
    else:
        Image.fromarray(np.zeros((9, 9), dtype=np.uint16)).save(path)
    message = {"text": "cannot be read .*: repair it or take it away", "deep": "has more than 8 bits a channel"}[broken]
    with pytest.raises(ValueError, match=f"data.root: {path} {message}"):
        list(folder(in_memory=in_memory).reference_batches("cpu"))


def test_another_number_of_folders_is_named(folder):
    with pytest.raises(ValueError, match="set data.num_classes=2"):
        folder(num_classes=7).setup("fit")


@pytest.mark.parametrize("in_memory", [True, False])
def test_its_fingerprint_follows_the_contents_of_the_files(folder, tmp_path, in_memory):
    def fingerprint(colour, time):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "blue" / "one.bmp")  # of one size, whatever is in it
        os.utime(tmp_path / "blue" / "one.bmp", (time, time))
        return folder(num_classes=2, in_memory=in_memory).fingerprint()

    first = fingerprint("red", 1)
    assert first == fingerprint("red", 2) != fingerprint("green", 1)
