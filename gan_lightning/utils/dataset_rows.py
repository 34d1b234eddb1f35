"""Images in the rows of a data set of the library `datasets`, and what it tells of itself. Without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from gan_lightning.utils.folder_facts import FolderFacts, facts_of_files

INSTALL = 'pip install "gan_lightning[hf]"'


class Source(NamedTuple):
    """Which images: a data set of the hub or a folder, its subset and split, the columns of images and of classes."""

    name: str
    subset: str | None
    split: str
    image: str | None
    label: str | None


class RowImage:
    """An image in a row; it has the methods of `pathlib.Path` that readers of images need.

    Args:
        rows: the data set, of one column, whose images are not decoded.
        index: of the row.
        source: what `rows` is.
    """

    def __init__(self, rows: Any, index: int, source: Source) -> None:
        self.rows, self.index, self.source = rows, index, source
        self.name = f"{source.split}-{index}"

    def __str__(self) -> str:
        return f"{self.source.name}/{self.name}"

    def relative_to(self, root: Path) -> PurePosixPath:
        """Return its name in the data set."""
        return PurePosixPath(self.name)

    def read_bytes(self) -> bytes:
        """Return its content.

        Raises:
            OSError: the row has no image.
        """
        image = next(iter(self.rows[self.index].values()))
        if image is None:
            raise OSError("the row has no image")
        content: bytes = image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()
        return content

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Return its content as a file."""
        return BytesIO(self.read_bytes())

    def state(self) -> str:
        """Return what changes when the data set does."""
        return str(self.rows._fingerprint)  # there is no other name for it


class Rows(NamedTuple):
    """Images of a data set; their classes and the classes' names where there are any."""

    images: list[RowImage]
    labels: list[int] | None
    class_names: tuple[str, ...] | None


def read_rows(source: Source) -> Rows:
    """Return the images of a data set, not yet decoded.

    Raises:
        FileNotFoundError: there is no such data set, or it cannot be loaded.
        ValueError: it has no such column, no images, or images without a class; or the library is not installed.
    """
    rows = load(source)
    from datasets import ClassLabel, Image  # after `load`, which says where the library is missing

    image = column(source, "image", source.image, rows.features, Image)
    if image is None or not len(rows):
        raise ValueError(f"data.name={source.name} has no images in its columns {', '.join(rows.features)}")
    label = column(source, "label", source.label, rows.features, ClassLabel)
    files = rows.select_columns([image]).cast_column(image, Image(decode=False))
    images = [RowImage(files, index, source) for index in range(len(rows))]
    if label is None:
        return Rows(images, None, None)
    labels = list(rows[label])
    if any(value is None or value < 0 for value in labels):
        raise ValueError(f"data.name={source.name} has images without a class in {label}: choose data.num_classes=null")
    return Rows(images, labels, tuple(rows.features[label].names))


def column(source: Source, key: str, name: str | None, features: Mapping[str, Any], kind: type) -> str | None:
    """Return the name of the column to read: the one given, or the first of its kind; None where there is none.

    Raises:
        ValueError: the one given is not of this kind.
    """
    able = [column for column, feature in features.items() if isinstance(feature, kind)]
    if name is not None and name not in able:
        raise ValueError(
            f"data.{key}={name} is no column of {kind.__name__} of data.name={source.name}: choose from {able}"
        )
    return name if name is not None else next(iter(able), None)


def load(source: Source) -> Any:
    """Return a split of the data set.

    Raises:
        FileNotFoundError: it cannot be loaded.
        ValueError: the library is not installed.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise missing() from error
    path = Path(source.name).expanduser()
    try:
        if (path / "dataset_dict.json").is_file():
            return datasets.load_from_disk(str(path / source.split))
        if (path / "dataset_info.json").is_file():
            return datasets.load_from_disk(str(path))
        name = str(path) if path.exists() else source.name
        return datasets.load_dataset(name, source.subset, split=source.split)
    except Exception as error:  # the library, the network and builders of data sets raise errors of many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise FileNotFoundError(
            f"data.name={source.name} with data.split={source.split} cannot be loaded ({reason}): name a data set of "
            "the hub, or a folder that save_to_disk wrote"
        ) from error


def missing() -> ValueError:
    """Return the error that says how to install the library."""
    return ValueError(f"data=hf_dataset needs the library datasets: {INSTALL}")


@lru_cache(maxsize=4)
def dataset_facts(source: Source) -> FolderFacts | None:
    """Return what a data set tells of itself; None where it cannot be read, which is said when it is."""
    try:
        rows = read_rows(source)
    except (OSError, ValueError):
        return None
    files: Sequence[Any] = rows.images
    return facts_of_files(files, rows.class_names)
