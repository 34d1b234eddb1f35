"""Images of a data set of the library `datasets`, of its hub or of a folder."""

from __future__ import annotations

from typing import Any

import torch

from gan_lightning.data.decoded_images import DecodedImages, Found
from gan_lightning.data.files import ImageDataset
from gan_lightning.utils.dataset_rows import Rows, Source, load, read_rows

HELD_OUT = ("test", "validation")
"""Splits that data.reference=test may mean; the first that there is counts."""


class HFDataset(DecodedImages):
    """The images in a column of a data set, each brought to one size, with the classes of another column.

    Args:
        name: of a data set of the hub, or a folder: one that `save_to_disk` wrote, or one that `load_dataset` reads.
        subset: of the data set; None where there is one.
        split: that is trained on.
        image: the column of images; None: the first.
        label: the column of classes; None: the first, if there is one.
        decoded_images: further arguments of `DecodedImages`; reference=test means the split test or validation.

    Raises:
        ValueError: `reference` is something else, or the library is not installed.
    """

    def __init__(
        self,
        *,
        name: str,
        subset: str | None = None,
        split: str = "train",
        image: str | None = None,
        label: str | None = None,
        **decoded_images: Any,
    ) -> None:
        super().__init__(**decoded_images)
        if isinstance(self.compared_with, str) and self.compared_with not in ("train", "test"):
            raise ValueError(f"data.reference must be train, test or a share, not {self.compared_with!r}")
        self.source = Source(name, subset, split, image, label)

    def prepare_data(self) -> None:
        """Download the data set where it is not there yet."""
        load(self.source)

    def find(self) -> Found:
        """List the rows.

        Raises:
            OSError: the data set cannot be loaded.
            ValueError: `num_classes` or `classes` are not what it has.
        """
        rows = read_rows(self.source)
        held_out = self._held_out() if self.compared_with == "test" else None
        names = None if self.source_classes is None else rows.class_names
        return Found(self._images(rows), held_out, names, [f"{self.source.name}, split {self.source.split}"])

    def _images(self, rows: Rows) -> ImageDataset:
        labels = None if self.source_classes is None else rows.labels
        images = ImageDataset("data.name", rows.images, self.decoding, labels, self.on_error)
        if labels is None:
            return images
        return images.take(self.rows_of_classes(torch.tensor(images.labels)).tolist())

    def _held_out(self) -> ImageDataset | None:
        for split in HELD_OUT:
            try:
                return self._images(read_rows(self.source._replace(split=split)))
            except FileNotFoundError:
                continue
        return None
