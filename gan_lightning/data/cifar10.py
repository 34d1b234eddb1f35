"""CIFAR-10: small colour photographs of ten kinds of things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torchvision

from gan_lightning.data.download import downloading
from gan_lightning.data.image_data import ImageData, Images
from gan_lightning.utils.checks import check_bool


class Cifar10(ImageData):
    """CIFAR-10 (Krizhevsky 2009): 50 000 images of 32×32 to train on, 10 000 to test with.

    Args:
        root: the folder in which `cifar-10-batches-py` lies, or to which it is downloaded.
        download: fetch the files when they are not there.
        image_data: arguments of `ImageData`.
    """

    def __init__(self, *, root: str, download: bool, **image_data: Any) -> None:
        super().__init__(**image_data)
        self.root, self.download = Path(root).expanduser(), check_bool("data.download", download)

    def prepare_data(self) -> None:
        """Download what is missing or damaged (torchvision compares checksums), where `download` says so."""
        if self.download:
            with downloading("CIFAR-10", self.root):
                torchvision.datasets.CIFAR10(self.root, download=True)

    def read(self, train: bool) -> Images:
        """Read the split, downloaded first where needed; a FileNotFoundError if that fails or files are damaged."""
        self.prepare_data()
        try:
            dataset = torchvision.datasets.CIFAR10(self.root, train=train)
        except RuntimeError as error:
            raise FileNotFoundError(
                f"data.root={self.root} does not hold a whole CIFAR-10 (the folder cifar-10-batches-py): "
                "set data.root to the folder that does, or data.download=true"
            ) from error
        pixels = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()
        return Images(pixels, torch.tensor(dataset.targets))
