"""Images of a folder are the same wherever they are held: in memory, in the cache or on the disk."""

from __future__ import annotations

import os
from itertools import islice

import pytest
import torch
from helpers.folder_images import pixel
from PIL import Image

from gan_lightning.data import clusters, decoded_images
from gan_lightning.data.file_loaders import DiskLoader
from gan_lightning.data.loader import InMemoryLoader


def assert_same_batches(one, other, labelled):
    """Assert that two sources give the same batches to training, and the same references to each of three ranks."""
    for (a, x), (b, y) in islice(zip(one.train_dataloader(), other.train_dataloader(), strict=True), 4):
        assert torch.equal(a, b)
        assert torch.equal(x, y) if labelled else (x is y is None)
    for rank in range(3):
        batches = zip(*(s.reference_batches("cpu", rank, 3, batch_size=3) for s in (one, other)), strict=True)
        assert all(torch.equal(a, b) for a, b in batches)


@pytest.mark.parametrize("num_classes", [None, 2])
def test_memory_and_disk_give_the_same(folder, num_classes):
    memory, disk = (folder(num_classes=num_classes, in_memory=in_memory) for in_memory in (True, False))
    kinds = [type(source.train_dataloader()) for source in (memory, disk)]
    assert kinds == [InMemoryLoader, DiskLoader]
    assert_same_batches(memory, disk, labelled=num_classes is not None)


def test_images_are_held_in_memory_where_they_fit(folder, monkeypatch):
    monkeypatch.setattr(decoded_images, "MEMORY_BYTES", 12 * 3 * 8 * 8)
    assert folder().storage == "cache"
    monkeypatch.setattr(decoded_images, "MEMORY_BYTES", 12 * 3 * 8 * 8 + 1)
    assert folder().storage == "memory"


@pytest.mark.parametrize("in_memory", [True, False])
def test_its_fingerprint_follows_the_contents_of_the_files(folder, tmp_path, in_memory):
    def fingerprint(colour, time):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "blue" / "one.bmp")  # of one size, whatever is in it
        os.utime(tmp_path / "blue" / "one.bmp", (time, time))
        return folder(num_classes=2, in_memory=in_memory).fingerprint()

    first = fingerprint("red", 1)
    assert first == fingerprint("red", 2) != fingerprint("green", 1)


@pytest.mark.parametrize("num_classes", [None, 2])
@pytest.mark.parametrize("reference", ["train", 0.25])
def test_memory_and_cache_give_the_same(folder, num_classes, reference):
    memory, cache = (
        folder(num_classes=num_classes, in_memory=where, reference=reference, mirror=True) for where in (True, "cache")
    )
    for source in (memory, cache):
        source.setup("fit")
    assert_same_batches(memory, cache, labelled=num_classes is not None)
    assert memory.fingerprint() == cache.fingerprint()
    assert torch.equal(memory.examples(5, "cpu"), cache.examples(5, "cpu"))


def test_clusters_are_the_same_wherever_images_are_held(folder, tmp_path, write_images, monkeypatch):
    write_images(tmp_path / "val", "amber")
    monkeypatch.setattr(clusters, "MOST_FITTED", 8)  # of the twelve, so that some join the nearest
    monkeypatch.setattr(clusters, "FITTED_EACH", 1)
    changes = {"clusters": 3, "num_classes": 3, "source_classes": 2, "reference": str(tmp_path / "val")}
    (tmp_path / "train").mkdir()
    for name in ("amber", "blue"):
        (tmp_path / name).rename(tmp_path / "train" / name)
    sources = [folder(root=str(tmp_path / "train"), in_memory=each, **changes) for each in (True, False, "cache")]
    memory, *others = sources
    for source in sources:
        source.setup("fit")
        assert source.class_names is None
    for other in others:
        assert torch.equal(memory.label_counts(), other.label_counts())
        assert torch.equal(memory.state_dict()["clusters"], other.state_dict()["clusters"])
        for (a, x), (b, y) in islice(zip(memory.train_dataloader(), other.train_dataloader(), strict=True), 3):
            assert torch.equal(a, b)
            assert torch.equal(x, y)
        for rank in range(2):
            pair = (source.labelled_reference_batches("cpu", rank, 2, batch_size=2) for source in (memory, other))
            for (a, x), (b, y) in zip(*pair, strict=True):
                assert torch.equal(a, b)
                assert torch.equal(x, y)
        assert torch.equal(*(each.examples(2, "cpu", torch.tensor([1, 1])) for each in (memory, other)))
    assert memory.fingerprint() == others[1].fingerprint()


@pytest.mark.parametrize("in_memory", [True, False, "cache"])
def test_clusters_of_a_checkpoint_are_kept_and_numbers_are_of_the_classes_that_data_come_with(folder, in_memory):
    source = folder(in_memory=in_memory, clusters=2, num_classes=2, source_classes=2)
    found = source.state_dict()["clusters"]
    source.load_state_dict({"clusters": 1 - found})
    assert torch.equal(source.labels(train=True).cpu(), 1 - found)
    assert source.label_counts().tolist() == torch.bincount(1 - found).tolist()
    real, labels = next(iter(source.train_dataloader()))
    by_colour = dict(zip(pixel(real), labels.tolist(), strict=True))
    images = torch.cat(list(source.reference_batches("cpu")))
    assert [by_colour[colour] for colour in pixel(images)] == (1 - found).tolist()
    assert source.source_fingerprint() == folder(in_memory=in_memory, num_classes=2).fingerprint()
    with pytest.raises(ValueError, match="the checkpoint's clusters are of 11 training images, and there are 12"):
        source.load_state_dict({"clusters": found[:11]})


@pytest.mark.parametrize("in_memory", [True, False, "cache"])
def test_broken_files_are_skipped_where_that_is_chosen(folder, tmp_path, in_memory):
    (tmp_path / "blue" / "0.png").write_text("<html>")
    (tmp_path / "blue" / "5.png").write_text("<html>")
    source = folder(num_classes=2, in_memory=in_memory, on_error="skip")
    source.setup("fit")
    if in_memory is not False:  # else files are not opened before they are wanted
        assert source.training_size == 10
    for real, labels in islice(source.train_dataloader(), 3):
        assert {green for _, green, _ in pixel(real)} == {0, 100}
        assert [green == 0 for _, green, _ in pixel(real)] == labels.bool().tolist()
    broken = folder(num_classes=2, in_memory=in_memory)
    with pytest.raises(ValueError, match=r"0.png cannot be read|5.png cannot be read"):
        broken.setup("fit")
        list(islice(broken.train_dataloader(), 3))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_file_that_breaks_between_reads_raises_its_own_sentence(folder, tmp_path, num_workers):
    (tmp_path / "blue" / "0.png").write_text("<html>")
    source = folder(in_memory=False)
    source.num_workers = num_workers
    with pytest.raises(ValueError, match=r"^data.root: .*0.png cannot be read \(it is no image [^\n]*$"):
        list(islice(source.train_dataloader(), 2))
