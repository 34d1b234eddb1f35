"""Folders of images translated by a CycleGAN: every image once, by the network of its direction, under its own name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.checkpoints import save_changed
from helpers.sampled_runs import run, sampled, written
from PIL import Image

from gan_lightning.data.files import find_images
from gan_lightning.data.pixels import normalize, to_uint8
from gan_lightning.models.cyclegan import CycleGANGenerators
from gan_lightning.runs.checkpoints import load
from gan_lightning.sampling.translation import mirrored, png_names, side_by_side
from gan_lightning.utils.errors import UserError, WorkError
from gan_lightning.variants.cyclegan import SourceImages

TINY = (
    "variant=cyclegan",
    "data=unpaired_folders",
    "data.image_size=16",
    "data.num_workers=0",
    "data.batch_size=2",
    "model.generator.width=2",
    "model.generator.blocks=1",
    "model.discriminator.width=2",
    "model.discriminator.depth=1",
    "metrics=none",
    "callbacks.samples=null",
    "logger=csv",
    "max_iterations=1",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
)


def fill(folder: Path, *names: str, mode: str = "RGB") -> Path:
    """Images of noise, of various sizes."""
    rng = np.random.default_rng(len(names))
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (20 + number, 31) if mode == "L" else (20 + number, 31, 3)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8), mode).save(path)
    return folder


@pytest.fixture(scope="module", params=[3, 1])
def cyclegan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on colour images, and one on grey ones."""
    root = tmp_path_factory.mktemp("cyclegan")
    a, b = (fill(root / name, "0.png", "1.png", "2.png") for name in "ab")
    return run(root / "run", *TINY, f"data.a={a}", f"data.b={b}", f"data.channels={request.param}")


@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_every_image_is_translated_and_named_after_its_own(cyclegan: Path, direction: str, tmp_path: Path) -> None:
    photos = fill(tmp_path / "photos", "z.jpg", "deep/er/y.png", "deep/z.webp", "x.y.png")
    (photos / "notes.txt").write_text("no image")
    fill(photos, "grey.png", mode="L")
    path = written(cyclegan, f"source={photos}", f"direction={direction}", f"output={tmp_path}/out")
    assert path == tmp_path / "out" / f"last_iteration1_{direction}_photos"
    names = [str(file.relative_to(path)) for file in sorted(path.rglob("*")) if file.is_file()]
    assert names == ["deep/er/y.png", "deep/z.png", "grey.png", "x.y.png", "z.png"]

    gan = load(cyclegan / "checkpoints" / "last.ckpt", "cpu").gan
    networks = gan.averaged_generator
    assert isinstance(networks, CycleGANGenerators)
    network = networks.a_to_b if direction == "a_to_b" else networks.b_to_a
    assert isinstance(gan.prior, SourceImages)
    channels = gan.prior.a.shape[1]
    for name, source in {"deep/er/y.png": "deep/er/y.png", "x.y.png": "x.y.png", "grey.png": "grey.png"}.items():
        pixels = np.array(Image.open(photos / source).convert("L" if channels == 1 else "RGB"))
        height, width = pixels.shape[:2]
        pixels = pixels.reshape(height, width, channels)
        padded = np.pad(pixels, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="reflect")
        with torch.no_grad():
            made = network.eval()(normalize(torch.from_numpy(padded).permute(2, 0, 1)[None]))
        image = Image.open(path / name)
        assert image.mode == ("L" if channels == 1 else "RGB") and image.size == (width, height)
        seen = torch.from_numpy(np.array(image)).reshape(height, width, channels).permute(2, 0, 1).int()
        assert (seen - to_uint8(made)[0, :, :height, :width].int()).abs().max() <= 1, name


@pytest.mark.parametrize("side", [1, 2, 3, 7, 16, 17, 31])
def test_sides_of_any_length_are_continued_by_mirrored_pixels(side: int) -> None:
    images = torch.arange(2.0 * side).reshape(1, 1, side, 2)
    longer = mirrored(images, 2)
    whole = max(16, (side + 3) // 4 * 4)
    padding = ((0, 0), (0, 0), (0, whole - side), (0, 0))
    assert np.array_equal(longer.numpy(), np.pad(images.numpy(), padding, mode="reflect"))


def test_names_never_collide(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "a.jpg", "b.png", "sub/a.png")
    names = png_names(tmp_path, find_images("source", tmp_path))
    assert {str(name) for name in names} == {"a.png.png", "a.jpg.png", "b.png.png", "sub/a.png.png"} and len(names) == 4
    (tmp_path / "a.jpg").unlink()
    names = png_names(tmp_path, find_images("source", tmp_path))
    assert {str(name) for name in names} == {"a.png", "b.png", "sub/a.png"}


def test_own_data_need_not_be_there_for_a_folder(cyclegan: Path, tmp_path: Path) -> None:
    content = torch.load(cyclegan / "checkpoints" / "last.ckpt", weights_only=True)
    for data in (content["hyper_parameters"]["data"], content["hyper_parameters"]["gan"]["prior"]["data"]):
        data["a"] = str(tmp_path / "gone")
    save_changed(content, tmp_path / "last.ckpt")
    photos = fill(tmp_path / "photos", "x.png")
    assert written(tmp_path / "last.ckpt", f"source={photos}", "direction=a_to_b").is_dir()
    with pytest.raises(UserError, match=rf"cannot be built from its settings: data\.a={tmp_path}/gone is no folder"):
        written(tmp_path / "last.ckpt")


@pytest.mark.parametrize(("direction", "blocks"), [("null", 2), ("b_to_a", 1)])
def test_without_a_folder_its_own_images_stand_above_their_translations(
    cyclegan: Path, direction: str, blocks: int, tmp_path: Path
) -> None:
    overrides = (f"direction={direction}", "count=3", f"output={tmp_path}")
    path = written(cyclegan, *overrides)
    width, height = Image.open(path).size
    assert width * (2 * blocks * 18 + 2) == height * (3 * 18 + 2)
    arrays = np.load(written(cyclegan, *overrides, "format=npz"))
    assert set(arrays) == ({"a", "a_to_b", "b", "b_to_a"} if blocks == 2 else {"b", "b_to_a"})
    small = np.asarray(Image.open(path))[:: width // 56, :: width // 56]
    for row, name in enumerate(sorted(arrays)):
        for column, image in enumerate(arrays[name]):
            cell = small[18 * row + 2 : 18 * row + 18, 18 * column + 2 : 18 * column + 18]
            assert (cell == image).all(), name  # a grey image is the same in each channel


def test_many_sources_take_several_rows() -> None:
    numbers = torch.arange(1.0, 13)[:, None, None, None]
    rows = side_by_side(numbers, -numbers).flatten().tolist()
    up, rest = list(range(1, 11)), [11, 12] + [0] * 8
    assert rows == [*up, *(-n for n in up), *rest, *(-n for n in rest)]


def test_a_file_that_cannot_be_written_is_one_sentence_and_leaves_nothing(cyclegan: Path, tmp_path: Path) -> None:
    """Names that keep their endings, for there are two of one stem, become longer than any file's can be."""
    photos = fill(tmp_path / "photos", "a.png", f"{'x' * 250}.png", f"{'x' * 250}.jpg")
    with pytest.raises(WorkError, match=rf"{tmp_path}/out cannot be written to: .*File name too long"):
        sampled(cyclegan, f"source={photos}", "direction=a_to_b", f"output={tmp_path}/out")
    assert list(tmp_path.iterdir()) == [photos]


def test_a_broken_image_is_named_and_leaves_nothing(cyclegan: Path, tmp_path: Path) -> None:
    photos = fill(tmp_path / "photos", "a.png", "b.png")
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:200])
    with pytest.raises(UserError, match=rf"{photos}/b\.png cannot be read"):
        sampled(cyclegan, f"source={photos}", "direction=a_to_b", f"output={tmp_path}/out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("source={here}/nowhere direction=a_to_b", "source=.*nowhere is no folder: give a folder with images"),
        ("source={here}/empty direction=a_to_b", r"source=.*empty has no images in it \(png, jpg"),
        ("source={here}/photos", "direction=a_to_b, or b_to_a"),
        ("source={here}/photos direction=to_b", "direction must be one of a_to_b, b_to_a, not to_b"),
        ("source={here}/photos direction=a_to_b count=3", "count= cannot go with source=: leave it out"),
        ("source={here}/photos direction=a_to_b seed=0", "seed= cannot go with source=: leave it out"),
        ("source={here}/photos direction=a_to_b format=npz", "format=npz is not for source=: choose files"),
        ("source={here}/photos direction=a_to_b output={here}/photos/out", "choose another output"),
        ("interpolate=3", "interpolate= is for a model that is fed noise, and this one is fed images"),
        ("traverse=true", "traverse=true is for a model that is fed noise"),
        ("classes=[1] truncation=1", "classes= and truncation= cannot go with a model that translates images"),
        ("format=files", "format=files is not for a model that translates images: choose grid or npz"),
    ],
)
def test_what_a_translator_cannot_do_is_one_sentence(
    cyclegan: Path, overrides: str, words: str, tmp_path: Path
) -> None:
    fill(tmp_path / "photos", "x.png")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=words) as error:
        sampled(cyclegan, f"output={tmp_path}/out", *overrides.format(here=tmp_path).split())
    assert len(error.value.problems) == 1
    assert sorted(tmp_path.rglob("*")) == before
