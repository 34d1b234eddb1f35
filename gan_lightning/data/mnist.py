"""Handwritten digits, and clothes in the same file format."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torchvision

from gan_lightning.data.download import downloading
from gan_lightning.data.idx import read_idx
from gan_lightning.data.image_data import ImageData, Images
from gan_lightning.utils.checks import check_bool

ASSETS = Path(__file__).parent / "assets"


class Mnist10k(ImageData):
    """The first 10 000 training digits of MNIST, which come with the package: 9 000 to train on, 1 000 to test with.

    Args:
        root: a folder with four idx files to read in place of those that come with the package; None: those.
        image_data: arguments of `ImageData`.
    """

    def __init__(self, *, root: str | None = None, **image_data: Any) -> None:
        super().__init__(**image_data)
        self.root = ASSETS / "mnist10k" if root is None else Path(root).expanduser()

    def read(self, train: bool) -> Images:
        return read_split(self.root, train)


class Mnist(ImageData):
    """MNIST (LeCun, Cortes, Burges 1998): 60 000 handwritten digits to train on, 10 000 to test with.

    Args:
        root: a folder with the four idx files, plain or gzipped, which are read as they lie; or else the folder that
            downloads go to, below which torchvision's layout (MNIST/raw) is used.
        download: fetch the files when they are not there.
        image_data: arguments of `ImageData`.
    """

    dataset: type[torchvision.datasets.MNIST] = torchvision.datasets.MNIST

    def __init__(self, *, root: str, download: bool, **image_data: Any) -> None:
        super().__init__(**image_data)
        self.root, self.download = Path(root).expanduser(), check_bool("data.download", download)

    def prepare_data(self) -> None:
        """Download what is missing, where `download` says so."""
        if self.download and self.folder() is None:
            self.fetch()

    def read(self, train: bool) -> Images:
        self.prepare_data()
        folder = self.folder()
        if folder is None:
            raise FileNotFoundError(
                f"data.root={self.root} does not hold {self.dataset.__name__} (train-images-idx3-ubyte, plain or .gz, "
                "and its three companions): set data.root to the folder that does, or data.download=true"
            )
        return read_split(folder, train)

    def folder(self) -> Path | None:
        """Return where all four files are: in `root` itself, or where torchvision puts them."""
        return mnist_folder(self.root, self.dataset.__name__)

    def fetch(self) -> None:
        """Download the four files to `root`, all of them or none."""
        name = self.dataset.__name__
        # Checked and unpacked aside, then renamed: a run that is stopped leaves nothing that a later one reads.
        with downloading(name, self.root), TemporaryDirectory(prefix=".download-", dir=self.root) as aside:
            self.dataset(aside, download=True)
            raw = self.root / name / "raw"
            raw.mkdir(parents=True, exist_ok=True)
            for file in Path(aside, name, "raw").iterdir():
                file.replace(raw / file.name)


class FashionMnist(Mnist):
    """Fashion-MNIST (Xiao et al. 2017): 60 000 articles of clothing to train on, 10 000 to test with."""

    dataset = torchvision.datasets.FashionMNIST


def mnist_folder(root: Path, name: str = "MNIST") -> Path | None:
    """Return where all four files of the data set `name` are: in `root`, or where torchvision puts them; else None."""
    for folder in (root, root / "raw", root / name / "raw"):
        if all(found(folder / file) for train in (True, False) for file in file_names(train)):
            return folder
    return None


def file_names(train: bool) -> tuple[str, str]:
    """Return the names of a split's files: images, labels."""
    split = "train" if train else "t10k"
    return f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"


def found(path: Path) -> Path | None:
    """Return `path` as it is or with `.gz`, whichever exists."""
    return next((file for file in (path, path.with_name(f"{path.name}.gz")) if file.is_file()), None)


def read_split(folder: Path, train: bool) -> Images:
    """Return the images and labels of a split; a FileNotFoundError or ValueError for missing or damaged files."""
    missing = [name for name in file_names(train) if found(folder / name) is None]
    if missing:
        raise FileNotFoundError(f"{folder} has no {missing[0]}, plain or .gz: set data.root to a folder that has it")
    pixels, labels = (read_idx(found(folder / name) or folder) for name in file_names(train))
    if pixels.ndim != 3 or labels.shape != pixels.shape[:1]:
        raise ValueError(
            f"{folder} holds images of shape {list(pixels.shape)} and labels of shape {list(labels.shape)} for one "
            "split, which do not belong together: fetch its files again"
        )
    return Images(pixels.unsqueeze(1), labels.long())
