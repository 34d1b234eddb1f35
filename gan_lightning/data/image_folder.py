"""Any folder of images, or a zip of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from gan_lightning.data.decoded_images import DecodedImages, Found
from gan_lightning.data.files import ImageDataset
from gan_lightning.utils.class_names import numbered
from gan_lightning.utils.find_images import Listing, is_hidden, left_out_words, list_images, shown
from gan_lightning.utils.folder_facts import folder_facts
from gan_lightning.utils.image_layout import Layout, layout_of


class ImageFolder(DecodedImages):
    """The images in a folder and the folders below it, or in a zip, each brought to one size.

    Args:
        root: the folder.
        num_classes: how many classes they have, see `layout_of`; None: there are no labels.
        name: what the log calls the images; None: the folder's.
        reference: as for `DecodedImages`, where test is the folder val/ or test/ beside train/; or another folder,
            whose classes have the same names.
        decoded_images: further arguments of `DecodedImages`.
    """

    def __init__(
        self,
        *,
        root: str | None,
        num_classes: int | None,
        name: str | None = None,
        reference: str | float = "train",
        **decoded_images: Any,
    ) -> None:
        super().__init__(num_classes=num_classes, reference=reference, **decoded_images)
        if root is None:
            raise ValueError("data.root must name the folder of images: data.root=/path/to/images")
        self.root = Path(root).expanduser()
        self.name = name or self.root.stem

    def find(self) -> Found:
        """List the files; a FileNotFoundError or ValueError if images or classes are not as configured."""
        listing = list_images("data.root", self.root)
        layout = layout_of(listing)
        labels, names = None, None
        if self.source_classes is not None:
            labels, names = self.labels_of(listing, layout, self.source_classes)
        train = self._images("data.root", listing, layout.train, labels)
        remarks = [*self._sizes()]
        remarks += [f"left out: {left_out_words(listing.left_out)}"] if listing.left_out else []
        if layout.splits is not None:
            held_out = f", {shown(layout.splits[1])}/ is held out" if layout.splits[1] else ""
            remarks.append(f"{shown(layout.splits[0])}/ is the training split{held_out}")
        if self.compared_with == "test":
            others = self._images("data.root", listing, layout.held_out, labels) if layout.held_out else None
            return Found(train, others, names, remarks)
        if self.compared_with == "train" or isinstance(self.compared_with, float):
            return Found(train, None, names, remarks)
        return Found(train, self._other_folder(str(self.compared_with), names), names, remarks)

    def _sizes(self) -> Iterator[str]:
        """Yield what is to be said of the sizes that images have and are brought to."""
        facts, size = folder_facts(self.root), self.decoding.size
        if facts is not None and not facts.smallest == facts.largest == size:
            least, most, brought = ("x".join(map(str, each)) for each in (facts.smallest, facts.largest, size or ()))
            sizes = least if least == most else f"{least} to {most}"
            yield f"their {sizes} pixels brought to {brought} (data.image_size, data.fit={self.decoding.fit})"

    def _images(self, key: str, listing: Listing, rows: Sequence[int], labels: Sequence[int] | None) -> ImageDataset:
        """Return the images of `rows` whose class is kept."""
        images = ImageDataset(key, listing.paths, self.decoding, labels, self.on_error).take(rows)
        if labels is None:
            return images
        return images.take(self.rows_of_classes(torch.tensor(images.labels)).tolist())

    def _other_folder(self, path: str, names: Sequence[str] | None) -> ImageDataset:
        """Return the images of a folder that metrics compare with, their classes numbered as the training images'."""
        listing = list_images("data.reference", Path(path).expanduser())
        layout = layout_of(listing)
        if names is None or (self.clusters is not None and layout.labels is None):
            return self._images("data.reference", listing, layout.train, None)
        if layout.labels is None or layout.class_names is None:
            raise ValueError(f"data.reference={path} has no folders of classes as data.root has: {', '.join(names)}")
        unknown = [name for name in layout.class_names if name not in names]
        if unknown:
            raise ValueError(f"data.reference={path} has a class {unknown[0]}, which data.root does not have")
        number = [list(names).index(name) for name in layout.class_names]
        labels = [number[label] if label >= 0 else label for label in layout.labels]
        return self._images("data.reference", listing, layout.train, labels)

    def labels_of(
        self, listing: Listing, layout: Layout, num_classes: int
    ) -> tuple[Sequence[int], tuple[str, ...] | None]:
        """Return the class of each image and the classes' names; an error if they are not `num_classes` folders."""
        if layout.labels is None or layout.class_names is None:
            if num_classes == 1:
                return [0] * len(listing.paths), None
            raise FileNotFoundError(
                f"data.root={shown(self.root)} must hold a folder of images (png, jpg, webp, ...) for each class; "
                "data.num_classes=null needs no classes"
            )
        if len(layout.class_names) != num_classes:
            self._name_an_empty_class(layout)
            raise ValueError(
                f"data.num_classes={num_classes} but data.root={shown(self.root)} holds {len(layout.class_names)} "
                f"classes: set data.num_classes={len(layout.class_names)}"
            )
        if self.given_names not in (None, layout.class_names):
            raise ValueError(
                f"data.root={shown(self.root)} has the classes {numbered(layout.class_names)}, and data.class_names "
                f"{numbered(self.given_names or ())}: name the same ones"
            )
        return layout.labels, layout.class_names

    def _name_an_empty_class(self, layout: Layout) -> None:
        folder = self.root if layout.splits is None else self.root / layout.splits[0]
        known = set(layout.class_names or ())
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_dir() and not is_hidden(path.name) and known and shown(path.name) not in known:
                raise FileNotFoundError(f"a class of data.root={shown(path)} has no images in it")

    @property
    def reference_split(self) -> str:
        """See `DecodedImages`; another folder's path."""
        split = super().reference_split
        return split if split in ("train", "test") or isinstance(self.compared_with, float) else shown(split)
