"""Small data sets in the formats of the real ones, written by means other than the package's."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
import yaml
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from gan_lightning.utils.conf import register_resolvers

CONF = Path(__file__).parents[2] / "conf" / "data"


@pytest.fixture
def settings() -> Callable[..., dict[str, Any]]:
    """What `conf/data/<name>.yaml` says, as a plain mapping, with some keys changed."""

    def read(name: str, **changes: Any) -> dict[str, Any]:
        data = yaml.safe_load((CONF / f"{name}.yaml").read_text())
        del data["defaults"]
        register_resolvers()
        resolved = OmegaConf.to_container(OmegaConf.create({"seed": 0, "data": data | changes}), resolve=True)
        assert isinstance(resolved, dict)
        return resolved["data"]

    return read


@pytest.fixture
def write_idx() -> Callable[[Path, np.ndarray], Path]:
    """Writes an idx file as the format's description says; gzipped if the name ends in .gz."""

    def write(path: Path, array: np.ndarray) -> Path:
        header = np.array([0, 0, 8, array.ndim], np.uint8).tobytes() + np.array(array.shape, ">u4").tobytes()
        content = header + array.astype(np.uint8).tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return write


@pytest.fixture
def write_mnist(write_idx: Callable[[Path, np.ndarray], Path]) -> Callable[..., dict[str, np.ndarray]]:
    """Writes the four files of MNIST's format (40 and 10 images) and returns what is in them."""

    def write(folder: Path, suffix: str = "") -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        written = {}
        for split, size in (("train", 40), ("t10k", 10)):
            written[f"{split}-images-idx3-ubyte"] = rng.integers(0, 256, (size, 28, 28), np.uint8)
            written[f"{split}-labels-idx1-ubyte"] = np.arange(size, dtype=np.uint8) % 10
        for name, array in written.items():
            write_idx(folder / f"{name}{suffix}", array)
        return written

    return write


@pytest.fixture
def write_cifar10(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], np.ndarray]:
    """Writes CIFAR-10's pickles, 8 images each, makes torchvision expect their checksums, returns the training rows."""

    def write(root: Path) -> np.ndarray:
        rng = np.random.default_rng(0)
        folder = root / "cifar-10-batches-py"
        folder.mkdir(parents=True)

        def put(name: str, content: dict[str, Any]) -> str:
            (folder / name).write_bytes(pickle.dumps(content))
            return hashlib.md5((folder / name).read_bytes()).hexdigest()

        names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
        rows = [rng.integers(0, 256, (8, 3072), np.uint8) for _ in names]
        labels = [[(8 * number + row) % 10 for row in range(8)] for number in range(len(names))]
        contents = [{"data": data, "labels": ids} for data, ids in zip(rows, labels, strict=True)]
        sums = [[name, put(name, content)] for name, content in zip(names, contents, strict=True)]
        meta_sum = put("batches.meta", {"label_names": ["x"] * 10})
        meta = {"filename": "batches.meta", "key": "label_names", "md5": meta_sum}
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "train_list", sums[:5])
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "test_list", sums[5:])
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "meta", meta)
        return np.concatenate(rows[:5])

    return write


@pytest.fixture
def write_images() -> Callable[..., None]:
    """Writes 6 landscape colour images to each of the given folders below `root`, of one colour a folder."""

    def write(root: Path, *folders: str) -> None:
        for number, folder in enumerate(folders):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for image in range(6):
                Image.new("RGB", (40, 30), (255, 100 * number, 10 * image)).save(root / folder / f"{image}.png")

    return write


@pytest.fixture
def folder(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    write_images: Callable[..., None],
    settings: Callable[..., dict[str, Any]],
) -> Callable[..., Any]:
    """Makes sources over two class folders of six images each, with a cache of their own."""
    monkeypatch.setenv("GAN_LIGHTNING_CACHE", str(tmp_path_factory.mktemp("cache")))
    write_images(tmp_path, "blue", "amber")
    known = {"root": str(tmp_path), "image_size": 8, "batch_size": 12, "num_workers": 0}
    return lambda **changes: instantiate(settings("image_folder", **{**known, **changes}))
