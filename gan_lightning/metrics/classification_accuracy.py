"""The accuracy on real images of a classifier that is trained on fakes.

Ravuri and Vinyals 2019, 'Classification Accuracy Score for Conditional Generative Models'.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gan_lightning.data.pixels import quantise
from gan_lightning.extractors.base import full_float32
from gan_lightning.extractors.small_classifier import EPOCHS, train_classifier
from gan_lightning.metrics.base import SampleMetric, check_classes, check_one_label, concatenated

AT_ONCE = 1000


class ClassificationAccuracy(SampleMetric):
    """The accuracy on real images of a classifier that was trained on labelled fakes alone.

    It is high only where fakes look like the data, vary like them, and show the class that they were made for. The
    classifier is a small convolutional network on images of at most 32x32, trained anew at every evaluation by a fixed
    recipe (`train_classifier`): about 4 ms a fake on a CPU core. The paper's is a ResNet-50; figures compare under one
    classifier and one number of fakes. The order of the fakes counts a little; it is the same on any number of ranks,
    which have consecutive ones and are gathered in order.

    The real images are those of `data.reference`. The paper's are held out, which the training split that
    `data=mnist10k` refers to is not: a generator that copies its training images is tested on what it copied.
    `data.reference=test` tests as the paper does.

    Labels are taken for classes of the data. Those of `variant=infogan` are codes that were learned without classes,
    which labels alone do not tell: its number means nothing.

    Keeps all images, in 8 bits.

    `compute` gives `classification_accuracy`, in [0, 1]; NaN where a value of a fake is not finite.

    Args:
        num_classes: how many classes there are.
        epochs: how often each fake is used in training, at least once.
        seed: of the training.
    """

    keys = ("classification_accuracy",)
    needs_labels = True

    real_pixels: list[Tensor]
    real_labels: list[Tensor]
    fake_pixels: list[Tensor]
    fake_labels: list[Tensor]
    fake_broken: Tensor

    def __init__(self, num_classes: int | None, epochs: int = EPOCHS, seed: int = 0) -> None:
        super().__init__()
        if epochs < 1:
            raise ValueError(f"classification_accuracy needs at least 1 epoch, not {epochs}")
        self.num_classes = check_classes(self.keys, num_classes)
        self.epochs, self.seed = epochs, seed
        self.config = {"epochs": epochs, "seed": seed}
        for kind in ("real", "fake"):
            self.add_list_state(f"{kind}_pixels", torch.uint8)
            self.add_list_state(f"{kind}_labels", torch.int64)
            # Of an image, of each batch: a rank that has seen none learns it from the others.
            self.add_list_state(f"{kind}_shapes", torch.int64)
        self.add_state("fake_broken", torch.tensor(0), dist_reduce_fx="sum")

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Refuse samples that are no images; nothing is kept of those without labels."""
        if samples.ndim != 4:
            raise ValueError(
                "classification_accuracy reads images (batch, channels, height, width), "
                f"not {tuple(samples.shape)}: leave it out for this data"
            )

    def accumulate_labelled(self, samples: Tensor, labels: Tensor, real: bool) -> None:
        """Take images (batch, channels, height, width) in [-1, 1] and their classes (batch,)."""
        check_one_label(self.keys, labels, self.num_classes)
        kind = "real" if real else "fake"
        if not real:
            self.fake_broken += (~samples.isfinite()).sum()
        getattr(self, f"{kind}_pixels").append(quantise(samples).nan_to_num().to(torch.uint8).flatten())
        getattr(self, f"{kind}_labels").append(labels.long())
        getattr(self, f"{kind}_shapes").append(torch.tensor(samples.shape[1:], device=samples.device))

    def compute(self) -> dict[str, float]:
        """Train on the fakes, test on the real images; a ValueError if there are none of either."""
        fake_labels, real_labels = concatenated(self.fake_labels), concatenated(self.real_labels)
        if not len(fake_labels) or not len(real_labels):
            raise ValueError(
                "classification_accuracy needs fakes and real images with classes, "
                f"not {len(real_labels)} real and {len(fake_labels)} fake: raise metrics.num_fakes"
            )
        if self.fake_broken:
            return {"classification_accuracy": math.nan}
        fake, real = self.images("fake"), self.images("real")
        classifier = train_classifier(fake, fake_labels, self.num_classes, self.seed, self.epochs, progress=None)
        right = torch.tensor(0, device=real.device)
        with full_float32(real.device):
            for pixels, labels in zip(real.split(AT_ONCE), real_labels.split(AT_ONCE), strict=True):
                right += (classifier(pixels.float().div(127.5).sub(1.0)).argmax(dim=1) == labels).sum()
        return {"classification_accuracy": right.item() / len(real_labels)}

    def images(self, kind: str) -> Tensor:
        """Return the images kept of "real" or "fake", as uint8 (n, channels, height, width)."""
        shape = concatenated(getattr(self, f"{kind}_shapes"), 3)[0].tolist()
        return concatenated(getattr(self, f"{kind}_pixels"), *shape)
