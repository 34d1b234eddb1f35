from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from helpers.folder_images import pixel
from hydra.utils import instantiate
from PIL import Image

from gan_lightning.evaluation.protocol import protocol_of


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
        ({"classes": [0]}, "data.classes needs classes"),
        ({"fit": "squeeze"}, "data.fit must be crop, pad or stretch"),
        ({"background": "nocolour"}, "data.background must be a colour"),
        ({"mirror": 1}, "data.mirror must be true or false"),
        ({"on_error": "ignore"}, "data.on_error must be raise or skip"),
        ({"image_size": [8, 8, 8]}, r"data.image_size must be a number or \[height, width\]"),
        ({"shape": [3, 32, 32]}, "data.shape"),
        ({"reference": 1.5}, "data.reference must be train, test, a folder, or a share"),
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
    path = tmp_path / "blue" / "one.tif"
    if broken == "text":
        path.write_text("<html>")
    else:
        Image.fromarray(np.full((9, 9), -1, dtype=np.int32)).save(path)
    message = {"text": "it is no image that can be read", "deep": "levels from -1 to -1, and 16 bits"}[broken]
    with pytest.raises(ValueError, match=rf"data.root: {path} cannot be read \({message}.*\): repair it or take it"):
        list(folder(in_memory=in_memory).reference_batches("cpu"))


def test_another_number_of_folders_is_named(folder):
    with pytest.raises(ValueError, match="set data.num_classes=2"):
        folder(num_classes=7).setup("fit")


def test_classes_are_named_in_natural_order_and_said(tmp_path, write_images, settings, caplog):
    write_images(tmp_path, "1", "2", "10", ".ipynb_checkpoints")
    (tmp_path / "1" / "a.svg").write_text("<svg/>")
    Image.new("P", (8, 8)).save(tmp_path / "2" / "p.png", transparency=0)
    source = instantiate(settings("image_folder", root=str(tmp_path), image_size=8, num_workers=0))
    with caplog.at_level("INFO"):
        source.setup("fit")
    assert source.num_classes == 3
    assert source.class_names == ("1", "2", "10")
    assert caplog.messages[-1] == (
        "read 19 images (PNG RGB 18, PNG P with transparency 1), 3 classes: 1 (0), 2 (1), 10 (2); "
        "their 8x8 to 30x40 pixels brought to 8x8 (data.image_size, data.fit=crop); "
        "left out: 6 in hidden folders, 1 svg; transparency is blended on #ffffff"
    )


def test_a_share_is_kept_back_by_the_seed(folder):
    def splits(**changes):
        source = folder(reference=0.25, **changes)
        train, held_out = (set(pixel(source.split(part, "cpu").pixels / 127.5 - 1)) for part in (True, False))
        assert (len(train), len(held_out), len(train | held_out)) == (9, 3, 12)
        assert source.training_size == 9
        assert set(pixel(torch.cat(list(source.reference_batches("cpu"))))) == held_out
        assert {colour for real, _ in islice(source.train_dataloader(), 3) for colour in pixel(real)} == train
        return held_out

    assert splits() == splits()
    assert folder(reference=0.25).reference_split == "0.25 kept back by seed 0"
    assert len({frozenset(splits(seed=seed)) for seed in range(4)}) > 1
    with pytest.raises(ValueError, match=r"data.reference=0.01 of 12 images leaves none"):
        folder(reference=0.01).setup("fit")


def test_val_and_other_folders_are_references_with_the_same_classes(tmp_path, write_images, settings):
    write_images(tmp_path, "d/train/b", "d/train/a")
    write_images(tmp_path, "d/val/a", "d/val/b", "other/b", "third/c", "third/a")

    def make(**changes):
        return instantiate(settings("image_folder", root=str(tmp_path / "d"), image_size=8, num_workers=0, **changes))

    held_out = make(reference="test")
    images, labels = next(iter(held_out.labelled_reference_batches("cpu")))
    assert held_out.class_names == ("a", "b")
    assert [(green, label) for (_, green, _), label in zip(pixel(images), labels.tolist(), strict=True)] == (
        [(0, 0)] * 6 + [(100, 1)] * 6
    )
    assert make().reference_size == 12
    with pytest.raises(ValueError, match="third has a class c, which data.root does not have"):
        make(reference=str(tmp_path / "third")).setup("fit")
    with pytest.raises(ValueError, match="other has no folders of classes"):
        make(reference=str(tmp_path / "other")).setup("fit")
    other = make(reference=str(tmp_path / "other"), num_classes=None)
    other.setup("fit")
    assert (other.reference_size, other.reference_split) == (6, str(tmp_path / "other"))


def test_a_missing_reference_folder_is_an_error(folder):
    with pytest.raises(ValueError, match="no images are held out"):
        folder(reference="test").setup("fit")
    with pytest.raises(FileNotFoundError, match="data.reference=nowhere is no folder"):
        folder(reference="nowhere").setup("fit")


def test_rectangles(folder):
    source = folder(image_size=[6, 12], fit="stretch")
    assert source.shape == (3, 6, 12)
    assert next(iter(source.train_dataloader()))[0].shape == (12, 3, 6, 12)


def test_examples_are_a_draw_over_all_classes(folder):
    for in_memory in (True, False):
        examples = folder(num_classes=2, in_memory=in_memory).examples(8, "cpu")
        assert {green for _, green, _ in pixel(examples)} == {0, 100}


def test_flips_are_said_by_the_protocol_and_references_are_not_flipped(folder, tmp_path):
    halves = np.repeat(np.array([[0] * 4 + [255] * 4], np.uint8), 8, axis=0)
    for path in tmp_path.glob("*/*.*"):
        Image.fromarray(halves).save(path, "PNG")
    plain, flipped = folder(), folder(mirror=True)
    said = [protocol_of({}, source, num_fakes=9, batch_size=4)["reference"] for source in (plain, flipped)]
    assert said[1] == said[0] | {"training": "mirrored"}
    assert (next(iter(flipped.reference_batches("cpu")))[:, :, :, 0] == -1).all()
    trained = torch.cat([real for real, _ in islice(flipped.train_dataloader(), 4)])
    assert {-1.0, 1.0} == set(trained[:, 0, 0, 0].tolist())


def test_classes_are_chosen_by_name(folder):
    source = folder(classes=["blue"])
    assert source.class_names == ("amber", "blue")
    assert next(iter(source.train_dataloader()))[1].unique().tolist() == [1]
    with pytest.raises(Exception, match=r"there is no class green: choose data.classes from amber \(0\), blue \(1\)"):
        folder(classes=["green"])


def test_other_classes_than_those_of_the_run_are_refused(folder):
    source = folder(class_names=["amber", "green"], num_classes=2)
    with pytest.raises(ValueError, match=r"has the classes amber \(0\), blue \(1\), and data.class_names amber"):
        source.setup("fit")
    assert folder(class_names=["x", "y"], num_classes=None).class_names is None
    assert folder(clusters=2).class_names is None


def test_what_was_found_is_said_once(folder, caplog):
    source = folder()
    with caplog.at_level("INFO"):
        source.setup("fit")
        source.setup("fit")
    assert sum(message.startswith("read 12 images") for message in caplog.messages) == 1
