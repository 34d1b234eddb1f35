"""Which files of a folder or zip are images, and of which split and class they are."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from gan_lightning.utils import find_images
from gan_lightning.utils.find_images import list_images, natural_key, readable_endings, shown
from gan_lightning.utils.folder_facts import folder_facts
from gan_lightning.utils.image_layout import layout_of


def put(root: Path, *names: str) -> Path:
    """Write an image of the format that each name has."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path, None if path.suffix else "PNG")
    return root


def names_in(root: Path) -> list[str]:
    return list_images("data.root", root).names


def test_names_are_in_natural_order_folder_by_folder() -> None:
    names = ["b/10.png", "b/9.png", "a10.png", "a2.png", "b-c/1.png", "b/c/1.png", "a.png"]
    assert sorted(names, key=natural_key) == [
        "a2.png",
        "a10.png",
        "a.png",
        "b/9.png",
        "b/10.png",
        "b/c/1.png",
        "b-c/1.png",
    ]
    assert sorted(["1", "x", "01", "10", "2"], key=natural_key) == ["01", "1", "2", "10", "x"]


def test_every_format_that_pillow_reads_is_found_whatever_the_case_and_without_an_ending(tmp_path: Path) -> None:
    names = ["a.PNG", "b.jfif", "c.gif", "d.webp", "e.bmp", "f.tif", "g.jp2", "h.JPEG", "i.ppm"]
    names += ["j.avif"] if ".avif" in readable_endings() else []
    put(tmp_path, *names, "k")
    (tmp_path / "l").write_text("no image")
    (tmp_path / "m.pnm.txt").write_bytes(b"P5 1 1 255\n0")
    assert names_in(tmp_path) == [*names, "k"]


def test_hidden_folders_and_files_are_left_out_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "._a.png", ".ipynb_checkpoints/a.png", "__MACOSX/x/b.png", "@eaDir/c.png", "b/.d/e.png")
    listing = list_images("data.root", tmp_path)
    assert listing.names == ["a.png"]
    assert listing.left_out == {"hidden": 1, "in hidden folders": 4}


def test_images_that_are_not_read_are_counted_and_sounds_and_texts_are_not(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    for name in ("b.svg", "c.SVG", "d.heic", "e.NEF", "f.txt", "g.wav", "h.json", "i.pdf", "j.mp4", "k.csv"):
        (tmp_path / name).write_bytes(b"some bytes")
    listing = list_images("data.root", tmp_path)
    assert listing.names == ["a.png"]
    assert listing.left_out == {"svg": 2, "heic": 1, "nef": 1}


def test_a_folder_of_other_images_alone_says_what_was_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg/>")
    with pytest.raises(FileNotFoundError, match=r"has no images in it .* left out: 1 svg"):
        list_images("data.root", tmp_path)


def test_links_are_followed_and_circles_are_seen_once(tmp_path: Path) -> None:
    put(tmp_path / "store", "a.png", "b.png")
    root = put(tmp_path / "root", "own.png", "x/y/c.png")
    (root / "link").symlink_to(tmp_path / "store")
    (root / "file.png").symlink_to(tmp_path / "store" / "a.png")
    (root / "self").symlink_to(root)
    (root / "x/y/up").symlink_to(root / "x")
    (root / "again").symlink_to(root / "x" / "y")
    (tmp_path / "store" / "back").symlink_to(root)
    (root / "nowhere.png").symlink_to(tmp_path / "absent.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    listing = list_images("data.root", root)
    assert listing.names == ["file.png", "link/a.png", "link/b.png", "own.png", "x/y/c.png"]
    assert listing.left_out == {"broken links": 2}


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    os.mkfifo(tmp_path / "c")
    assert names_in(tmp_path) == ["a.png"]


def test_names_that_are_no_utf8_are_found_and_can_be_shown(tmp_path: Path) -> None:
    put(tmp_path, "grün.png", "名.png")
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes((tmp_path / "名.png").read_bytes())
    assert set(names_in(tmp_path)) == {"grün.png", "名.png", name}
    assert shown(name) == "caf\\xe9.png"
    shown(name).encode()


def test_a_zip_is_read_in_place(tmp_path: Path) -> None:
    put(tmp_path / "d", "b/2.png", "b/10.png", "a.png", ".hidden/c.png", "__MACOSX/d.png")
    (tmp_path / "d" / "e.svg").write_text("<svg/>")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for path in sorted((tmp_path / "d").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "d"))
    before = sorted(tmp_path.rglob("*"))
    listing = list_images("data.root", tmp_path / "d.zip")
    assert listing.names == ["a.png", "b/2.png", "b/10.png"]
    assert listing.left_out == {"svg": 1, "in hidden folders": 2}
    assert [path.read_bytes() for path in listing.paths] == [
        (tmp_path / "d" / name).read_bytes() for name in listing.names
    ]
    assert sorted(tmp_path.rglob("*")) == before


def count_classes(root: Path | str) -> int | None:
    facts = folder_facts(root)
    return None if facts is None or facts.class_names is None else len(facts.class_names)


def layout(root: Path):
    return layout_of(list_images("data.root", root))


def test_folders_beside_each_other_are_classes_in_natural_order(tmp_path: Path) -> None:
    put(tmp_path, "10/a.png", "1/a.png", "2/deep/a.png", "2/b.png", ".git/a.png")
    (tmp_path / "empty").mkdir()
    found = layout(tmp_path)
    assert found.class_names == ("1", "2", "10")
    assert found.labels == [0, 1, 1, 2]
    assert found.splits is None
    assert count_classes(tmp_path) == 3


def test_classes_below_one_folder_are_found(tmp_path: Path) -> None:
    put(tmp_path, "images/jpg/cat/a.png", "images/jpg/dog/a.png")
    assert layout(tmp_path).class_names == ("cat", "dog")


@pytest.mark.parametrize("names", [["a.png", "b/c.png", "d/e.png"], ["a.png"], ["one/a.png", "one/b.png"]])
def test_images_beside_folders_or_in_one_folder_have_no_classes(tmp_path: Path, names: list[str]) -> None:
    put(tmp_path, *names)
    assert layout(tmp_path).class_names is None
    assert count_classes(tmp_path) is None


def test_train_val_and_test_are_splits(tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{name}/{split}.png" for split in ("Train", "test", "val") for name in ("dog", "cat")))
    put(tmp_path, "val/bird/x.png")
    listing = list_images("data.root", tmp_path)
    found = layout_of(listing)
    assert found.splits == ("Train", "val")
    assert found.class_names == ("cat", "dog")
    assert [listing.names[row] for row in found.train] == ["Train/cat/Train.png", "Train/dog/Train.png"]
    assert [listing.names[row] for row in found.held_out] == ["val/cat/val.png", "val/dog/val.png"]
    assert found.labels is not None
    assert [found.labels[row] for row in found.train + found.held_out] == [0, 1, 0, 1]


def test_a_train_among_other_things_is_a_class(tmp_path: Path) -> None:
    put(tmp_path, "train/a.png", "bus/a.png", "car/a.png")
    found = layout(tmp_path)
    assert found.splits is None
    assert found.class_names == ("bus", "car", "train")


def test_splits_without_classes(tmp_path: Path) -> None:
    put(tmp_path, "train/a.png", "train/b.png", "test/c.png")
    found = layout(tmp_path)
    assert (found.splits, found.train, found.held_out, found.labels) == (("train", "test"), [1, 2], [0], None)


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize("labels", ["given", "null", "no file"])
def test_dataset_json_labels_images_and_folders_of_dataset_tool_are_no_classes(
    tmp_path: Path, as_zip: bool, labels: str
) -> None:
    names = ["00000/img00000000.png", "00000/img00000001.png", "00001/img00001000.png"]
    root = put(tmp_path / "d", *names)
    if labels != "no file":
        given = [[name, label] for name, label in zip(names, (3, 0, 1), strict=True)] if labels == "given" else None
        (root / "dataset.json").write_text(json.dumps({"labels": given}))
    if as_zip:
        with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
            for path in root.rglob("*.*"):
                archive.write(path, path.relative_to(root))
        root = tmp_path / "d.zip"
    found = layout(root)
    assert found.labels == ([3, 0, 1] if labels == "given" else None)
    assert found.class_names == (("0", "1", "2", "3") if labels == "given" else None)
    assert count_classes(root) == (4 if labels == "given" else None)


def test_an_image_without_a_label_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": [["a.png", 0]]}))
    with pytest.raises(ValueError, match=r"dataset.json has no whole number as the label of b.png"):
        layout(tmp_path)
    assert count_classes(tmp_path) is None


@pytest.mark.parametrize("content", [b'{"labels": [["a.png", 0], ["b.p', b"", b"\xff\xfe\x00", b"[" * 100_000])
def test_labels_that_are_cut_off_are_not_passed_over(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"dataset.json, the labels, is no JSON: repair it or take it away"):
        layout(tmp_path)


def test_a_label_far_beyond_the_number_of_images_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    for label in (9_999, 10_000):
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": [["a.png", 0], ["b.png", label]]}))
        if label < 10_000:
            assert layout(tmp_path).labels == [0, label]
            continue
        with pytest.raises(ValueError, match=r"dataset.json has the label 10000 for 2 images: number classes from 0"):
            layout(tmp_path)
        assert count_classes(tmp_path) is None


def test_classes_are_counted_anew_when_a_folder_changes(tmp_path: Path) -> None:
    assert count_classes(tmp_path / "absent") is None
    put(tmp_path, "a/1.png", "b/1.png")
    assert count_classes(str(tmp_path)) == 2
    put(tmp_path, "c/1.png")
    assert count_classes(tmp_path) == 3


def test_a_named_pipe_is_neither_an_image_nor_labels(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/1.png")
    os.mkfifo(tmp_path / "c.png")
    os.mkfifo(tmp_path / "dataset.json")
    listing = list_images("data.root", tmp_path)
    assert listing.names == ["a/1.png", "b/1.png"]
    assert layout_of(listing).class_names == ("a", "b")


@pytest.mark.parametrize("name", ["", ".hidden"])
def test_folders_within_folders_without_end_are_walked(tmp_path: Path, name: str) -> None:
    put(tmp_path, "1.png")
    (tmp_path / name).mkdir(exist_ok=True)
    deepest = os.open(tmp_path / name, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=deepest)
        inner = os.open("d", os.O_RDONLY, dir_fd=deepest)
        os.close(deepest)
        deepest = inner
    os.close(deepest)
    assert names_in(tmp_path) == ["1.png"]
    subprocess.run(["rm", "-r", *tmp_path.iterdir()], check=True)  # too deep for pytest's own removal


def test_members_of_a_zip_are_not_unpacked_beyond_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "1.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "1.png", "1.png")
        for name in ("2.png", "3", "dataset.json"):
            archive.writestr(name, bytes(2**20))
    monkeypatch.setattr(find_images, "LARGEST_FILE_BYTES", 2**16)
    listing = list_images("data.root", tmp_path / "a.zip")
    assert listing.names == ["1.png", "2.png"]
    assert layout_of(listing).labels is None
    with pytest.raises(OSError, match="larger than 0 MiB, the most that are read"):
        listing.paths[1].read_bytes()
