"""``data=PATH`` on the command line and from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.compose import answers, composed
from helpers.run_script import Command, run_without_torch
from PIL import ExifTags, Image, ImageDraw

from gan_lightning.runs.api import checked_overrides
from gan_lightning.runs.data_path import expand_data_path, expand_moved_data
from gan_lightning.runs.validate import validate
from gan_lightning.utils.errors import UserError

NAMES = ["photos", "my photos", "a,b", "x=1", "été 日本", "it's", '"q"', "${seed}", "(1) [2] {3}", "a'\\", "#1", "~a"]

SMALL = (
    *("metrics=sliced_wasserstein", "metrics.num_fakes=4", "logger=csv", "trainer.accelerator=cpu"),
    *("model.generator.width=4", "model.discriminator.width=4", "data.batch_size=4", "data.num_workers=0"),
)


def photos(folder: Path, *classes: str, side: int = 30, mode: str = "RGB") -> Path:
    """Return the folder with two images of each class, or without classes."""
    for name in classes or (".",):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(2):
            Image.new(mode, (side, side + number)).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name_is_the_root_of_image_folder(name: str, tmp_path: Path):
    folder = photos(tmp_path / name)
    with composed(*expand_data_path([f"data={folder}"])) as config:
        assert config.hydra.runtime.choices.data == "image_folder"
        assert Path(config.data.root) == folder


def test_size_channels_classes_metrics_and_name_are_found_out(tmp_path: Path):
    folder = photos(tmp_path / "My cats & dogs", "cat", "dog", "eel", side=70, mode="LA")
    with composed(*expand_data_path([f"data={folder}"])) as config:
        validate(config, "train")
        assert config.hydra.runtime.choices.experiment == "folder"
        assert config.data.shape == [1, 68, 68]
        assert config.data.num_classes == 3
        assert config.name == "My_cats_dogs-dcgan-gan-s0"
        assert list(config.metrics.metrics) == ["fid", "kid", "precision_recall"]
        assert (config.metrics.num_fakes, config.metrics.monitor) == (1000, "val/kid")
        assert config.extractor._target_.endswith(".Natural")


@pytest.mark.parametrize("experiment", ["sngan", "projection", "acgan", "biggan", "r3gan", "wgan_gp", "cgan", "sagan"])
def test_experiments_take_a_folder(experiment: str, tmp_path: Path):
    folder = photos(tmp_path / "pets", "cat", "dog")
    with composed(*expand_data_path([f"experiment={experiment}", f"data={folder}"])) as config:
        validate(config, "train")
        assert list(config.metrics.metrics) == ["fid", "kid", "precision_recall"]
        assert config.data.num_classes == 2


def test_the_recipe_follows_classes_size_and_number_of_the_images(tmp_path: Path):
    with composed(*expand_data_path([f"data={photos(tmp_path / 'pets', 'cat', 'dog')}"])) as config:
        assert (config.data.clusters, config.data.num_classes) == (None, 2)
        assert config.wrappers.projection.num_classes == 2
        assert (config.data.mirror, config.model.generator.width, config.model.discriminator.width) == (True, 32, 32)
        assert config.note.startswith("experiment=folder: 2 classes, networks of width 32, flips True")
    large = photos(tmp_path / "large", side=200)
    with composed(*expand_data_path([f"data={large}", "data.train_size=2400"])) as config:
        validate(config, "train")
        assert (config.data.clusters, config.data.num_classes) == (24, 24)
        assert config.wrappers.projection.num_classes == 24
        assert (config.data.mirror, config.model.generator.width) == (False, 16)
        assert config.note.startswith("experiment=folder: 24 clusters, networks of width 16, flips False")
    for variant in ("variant=self_conditioned", "variant=none"):
        with composed(*expand_data_path([f"data={tmp_path / 'pets'}", variant])) as config:
            validate(config, "train")
            assert config.data.clusters == (None if variant == "variant=none" else 2)


def test_what_is_typed_stands(tmp_path: Path):
    folder = photos(tmp_path / "pets")
    typed = [
        "data=" + str(folder),
        "data.image_size=64",
        "data.channels=1",
        "experiment=acgan",
        "metrics=kid",
        "name=x",
    ]
    with composed(*expand_data_path(typed)) as config:
        assert config.data.shape == [1, 64, 64]
        assert list(config.metrics.metrics) == ["kid"]
        assert config.name == "x"


@pytest.mark.parametrize(
    "arguments", [["data=ring"], ["data.root=x", "data=mnist10k"], ["model=mlp"], ["-m", "data=ring,grid"]]
)
def test_data_sets_stay_what_they_are(arguments: list[str]):
    assert expand_data_path(arguments) == arguments
    assert expand_data_path(expand_data_path(arguments)) == arguments


def test_a_data_set_wins_over_a_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "ring")
    assert expand_data_path(["data=ring"]) == ["data=ring"]
    assert expand_data_path(["data=./ring"])[1] == f"data.root='{tmp_path}/ring'"


@pytest.mark.parametrize("joined", [True, False])
def test_data_sets_of_a_config_dir_are_known(joined: bool, tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "stripes.yaml").touch()
    option = [f"--config-dir={tmp_path}"] if joined else ["--config-dir", str(tmp_path)]
    assert expand_data_path([*option, "data=stripes"]) == [*option, "data=stripes"]


def test_a_sweep_is_over_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b c"):
        photos(tmp_path / name)
    lines = expand_data_path(["-m", "data=a,b c"])
    assert lines == ["-m", "data=image_folder", f"data.root='{tmp_path}/a','{tmp_path}/b c'", "experiment=folder"]
    assert expand_data_path(lines) == lines
    with pytest.raises(UserError, match="start a sweep for each kind"):
        expand_data_path(["-m", "data=a,ring"])


@pytest.mark.parametrize(
    ("value", "way_out"),
    [
        ("mnist10", "did you mean data=mnist10k?"),
        ("/no/such/place", f"choose a folder of images or one of {', '.join(answers('data'))}"),
    ],
)
def test_neither_a_data_set_nor_a_folder_is_one_sentence(value: str, way_out: str, tmp_path: Path):
    done = run_without_torch(tmp_path, "train.py", f"data={value}")
    assert done.returncode == 2
    assert done.stderr == f"This cannot run:\n  - data={value} is no data set and no folder: {way_out}\n"


def test_an_evaluation_takes_the_folder_as_it_stands_and_in_quotes(tmp_path: Path):
    folder = photos(tmp_path / "moved, again")
    for typed in (str(folder), f"'{folder}'"):
        assert expand_moved_data([f"data={typed}", "seed=1"]) == [f"data.root='{folder}'", "seed=1"]


def test_from_python_a_folder_is_one_run(tmp_path: Path):
    folder = photos(tmp_path / "a,b")
    assert checked_overrides([f"data={folder}"]) == ["data=image_folder", f"data.root='{folder}'", "experiment=folder"]


def test_a_run_of_a_folder_resumes_and_is_evaluated_where_the_folder_is_now(tmp_path: Path, command: Command):
    folder, run = photos(tmp_path / "of pets", "cat", "dog", side=28), tmp_path / "run"
    done = command("train.py", "data=of pets", "max_iterations=1", *SMALL, f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    folder.rename(tmp_path / "moved")
    again = ["max_iterations=2", f"ckpt_path={run}"]
    done = command("train.py", "data=moved", *again)
    assert done.returncode == 0, done.stderr
    (tmp_path / "moved").rename(tmp_path / "moved, again")
    done = command("eval.py", f"ckpt_path={run}", "data=moved, again", "device=cpu")
    assert done.returncode == 0, done.stderr


def mixed_pictures(folder: Path) -> Path:
    """Return the folder with two pictures of each of three shapes, in colour on dark, each stored in another way."""
    shapes: dict[str, Callable[[ImageDraw.ImageDraw], None]] = {
        "circle": lambda draw: draw.ellipse((4, 4, 12, 12), fill="red"),
        "square": lambda draw: draw.rectangle((4, 4, 12, 12), fill="lime"),
        "triangle": lambda draw: draw.polygon([(8, 3), (3, 12), (13, 12)], fill="blue"),
    }
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    for name, draw in shapes.items():
        picture = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
        draw(ImageDraw.Draw(picture))
        (folder / name).mkdir(parents=True)
        if name == "circle":  # grey of 16 bits, and a palette
            deep = np.asarray(picture.convert("L")).astype(np.uint16) * 257
            Image.fromarray(deep).save(folder / name / "deep.png")
            picture.convert("RGB").quantize(8).save(folder / name / "palette.png")
        else:  # transparent, and turned by what EXIF says
            picture.save(folder / name / "clear.png")
            quarter = picture.convert("RGB").transpose(Image.Transpose.ROTATE_90)
            quarter.save(folder / name / "turned.png", exif=turned)
    return folder


def test_pictures_of_all_kinds_train_are_sampled_by_class_name_and_evaluated(tmp_path: Path, command: Command):
    mixed_pictures(tmp_path / "kinds")
    done = command("train.py", "data=kinds", "max_iterations=1", *SMALL, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "3 classes: circle (0), square (1), triangle (2)" in done.stderr
    kinds = "PNG RGBA with transparency 2, PNG RGB 2, PNG I;16 1, PNG P 1"
    assert set(kinds.split(", ")) == set(done.stderr.partition("read 6 images (")[2].partition(")")[0].split(", "))
    real = np.asarray(Image.open(tmp_path / "run" / "samples" / "real.png").convert("RGB")).astype(int)
    height = len(real) // 3
    most = [real[row * height : (row + 1) * height].reshape(-1, 3) for row in range(3)]
    assert (most[0].max(0) == 255).all()  # the circle of 16 bits is grey, not clipped; its row has the red one too
    for row, colour in ((0, 0), (1, 1), (2, 2)):  # rows are the classes in their order, each of its colour
        others = [other for other in range(3) if other != colour]
        assert (most[row][:, colour] - most[row][:, others].max(1)).max() > 200
        assert all((most[row][:, other] - most[row][:, colour]).max() < 60 for other in others)
    done = command("sample.py", "ckpt_path=run", "classes=[circle]", "count=2", "format=files", "output=out")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in next((tmp_path / "out").iterdir()).iterdir()) == [
        "0_circle.png",
        "1_circle.png",
    ]
    done = command("eval.py", "ckpt_path=run", "device=cpu")
    assert done.returncode == 0, done.stderr
    assert "val/swd" in done.stdout
