"""Three digits stacked as the colour channels of one image: a thousand modes of known probability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gan_lightning.data.image_data import ImageData, Images
from gan_lightning.data.mnist import ASSETS, mnist_folder, read_split
from gan_lightning.randomness import generator_for
from gan_lightning.utils.checks import check_int

CHANNELS = 3
"""Digits in an image."""


class StackedMnist(ImageData):
    """Stacked MNIST (Metz et al. 2017, "Unrolled Generative Adversarial Networks", section 3.3.1), drawn from a seed.

    Each channel of an image is a digit, drawn uniformly and independently of the others, as the code of Lin et al.
    2018, "PacGAN", draws 128 000 images. The class of an image is 100 a + 10 b + c for the digits a, b, c of its red,
    green and blue channel.

    Args:
        root: a folder with MNIST's idx files to stack, itself or below in torchvision's layout; None: the digits of the
            package.
        train_size: images drawn from the training digits.
        test_size: images drawn from the test digits.
        compared: how many of the reference split's images, from the first, metrics compare with at most: reading
            several times as many digits as there are would take long and tell nothing new.
        stack_seed: of the draw; not the run's seed, so that runs of all seeds are evaluated against the same images.
        image_data: arguments of `ImageData`.
    """

    def __init__(
        self,
        *,
        root: str | None,
        train_size: int,
        test_size: int,
        compared: int,
        stack_seed: int,
        **image_data: Any,
    ) -> None:
        super().__init__(train_size=train_size, **image_data)
        self.root = ASSETS / "mnist10k" if root is None else Path(root).expanduser()
        self.sizes = {
            True: check_int("data.train_size", train_size),
            False: check_int("data.test_size", test_size),
        }
        self.compared = check_int("data.compared", compared)
        self.stack_seed = check_int("data.stack_seed", stack_seed, minimum=0)

    def read(self, train: bool) -> Images:
        digits, labels = read_split(mnist_folder(self.root) or self.root, train)
        assert labels is not None  # digits have classes
        rng = generator_for(self.stack_seed, "stacked_mnist", "train" if train else "test")
        rows = torch.randint(len(digits), (self.sizes[train], CHANNELS), generator=rng)
        places = torch.tensor([100, 10, 1])
        return Images(digits[rows].squeeze(2), (labels[rows] * places).sum(1))

    @property
    def reference_size(self) -> int:
        """See `RealData`."""
        return min(self.compared, self.sizes[self.reference == "train"])
