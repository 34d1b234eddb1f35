"""Images of a data set of the library `datasets`, which lies in a folder."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.compose import composed, resolved
from helpers.run_script import Command
from hydra.utils import instantiate
from PIL import Image

from gan_lightning.data.hf_dataset import HFDataset
from gan_lightning.runs.validate import validate
from gan_lightning.utils.dataset_rows import dataset_facts
from gan_lightning.utils.files import read_json

COLOURS = {"blue": (0, 0, 255), "amber": (255, 191, 0), "red": (255, 0, 0)}


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """A data set of twelve images of 30x40 pixels, four of each colour, and of three to test with."""
    datasets = pytest.importorskip("datasets")
    kinds = datasets.ClassLabel(names=list(COLOURS))
    features = datasets.Features({"id": datasets.Value("int64"), "photo": datasets.Image(), "kind": kinds})

    def split(count: int) -> Any:
        names = [list(COLOURS)[row % 3] for row in range(count)]
        images = [Image.new("RGB", (40, 30), COLOURS[name]) for name in names]
        columns = {"id": list(range(count)), "photo": images, "kind": names}
        return datasets.Dataset.from_dict(columns, features=features)

    datasets.DatasetDict({"train": split(12), "test": split(3)}).save_to_disk(tmp_path / "colours")
    return tmp_path / "colours"


def make(folder: Path, *overrides: str) -> HFDataset:
    with composed("data=hf_dataset", f"data.name='{folder}'", "data.num_workers=0", *overrides) as config:
        return instantiate(resolved(config)["data"], _convert_="all")


def colours(images: torch.Tensor) -> list[tuple[int, ...]]:
    return [tuple(image) for image in ((images[:, :, 4, 4] + 1) * 127.5).round().int().tolist()]


def test_size_channels_and_classes_are_found_out(data_set: Path):
    with composed("data=hf_dataset", f"data.name={data_set}", "variant=projection") as config:
        validate(config, "train")
        assert config.data.shape == [3, 28, 28]  # of 28 and 32 the smaller one, as near to 30
        assert config.data.num_classes == 3
        assert config.data.class_names == list(COLOURS)
        assert config.data.train_size == 12
        assert config.name.endswith("colours-dcgan-gan-s0")


@pytest.mark.parametrize("in_memory", ["true", "false", "cache"])
def test_images_have_their_classes(in_memory: str, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GAN_LIGHTNING_CACHE", str(tmp_path / "cache"))
    source = make(data_set, f"data.in_memory={in_memory}", "data.batch_size=12")
    source.prepare_data()
    source.setup("fit")
    assert source.class_names == tuple(COLOURS)
    for images, labels in islice(source.train_dataloader(), 2):
        assert labels is not None
        assert sorted(labels.tolist()) == [0] * 4 + [1] * 4 + [2] * 4
        assert colours(images) == [list(COLOURS.values())[label] for label in labels.tolist()]


def test_a_split_is_held_out_and_classes_are_chosen(data_set: Path):
    source = make(data_set, "data.reference=test", "data.classes=[red,0]")
    source.setup("fit")
    assert source.reference_size == 2
    assert colours(next(iter(source.reference_batches("cpu")))) == [COLOURS["blue"], COLOURS["red"]]
    assert len(source.dataset(train=True)) == 8


def test_without_classes_there_are_no_labels(data_set: Path):
    source = make(data_set, "data.num_classes=null")
    assert next(iter(source.train_dataloader()))[1] is None


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.split=valid", "with data.split=valid cannot be loaded"),
        ("data.image=id", r"data.image=id is no column of Image of data.name=.*: choose from \['photo'\]"),
        ("data.label=photo", r"data.label=photo is no column of ClassLabel of .*: choose from \['kind'\]"),
    ],
)
def test_what_is_not_there_is_one_sentence(override: str, sentence: str, data_set: Path):
    source = make(data_set, override)
    with pytest.raises((ValueError, OSError), match=sentence):
        source.setup("fit")


def test_a_row_without_a_class_is_refused(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"x": datasets.Image(), "y": datasets.ClassLabel(names=["a", "b"])})
    rows = {"x": [Image.fromarray(np.zeros((8, 8), np.uint8))] * 2, "y": [0, None]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "d")
    source = make(tmp_path / "d", "data.num_classes=2")
    with pytest.raises(ValueError, match=r"has images without a class in y: choose data.num_classes=null"):
        source.setup("fit")


@pytest.mark.parametrize("form", ["save_to_disk", "parquet"])
def test_a_folder_of_the_library_is_trained_on_by_its_name(form: str, data_set: Path, tmp_path: Path, command: Command):
    folder = data_set
    if form == "parquet":
        import datasets

        folder = tmp_path / "tables"
        folder.mkdir()
        datasets.load_from_disk(str(data_set / "train")).to_parquet(folder / "train.parquet")
    before = sorted(path.name for path in folder.rglob("*"))
    width = ["model.generator.width=8", "model.discriminator.width=8", "data.batch_size=6"]
    sizes = ["max_iterations=2", "metrics=none", "logger=csv", "data.num_workers=0", "hydra.run.dir=run"]
    done = command("train.py", "data=hf_dataset", f"data.name={folder}", "variant=projection", *width, *sizes)
    assert done.returncode == 0, done.stderr
    assert "read 12 images (PNG RGB 12), 3 classes: blue (0), amber (1), red (2)" in done.stderr
    result = read_json(tmp_path / "run" / "result.json")
    assert result is not None
    assert (result["status"], result["iterations"], result["classes"]) == ("finished", 2, list(COLOURS))
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_without_the_library_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "datasets", None)  # importing it fails
    dataset_facts.cache_clear()
    source = make(tmp_path / "any")
    with pytest.raises(
        ValueError, match=r'^data=hf_dataset needs the library datasets: pip install "gan_lightning\[hf\]"$'
    ):
        source.prepare_data()
