"""A small classifier of the run's own data, as an extractor: trained when it is first needed, and kept."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from torch import Tensor

from gan_lightning.data.base import RealData
from gan_lightning.data.image_data import ImageData, fingerprint_of
from gan_lightning.data.pixels import quantise
from gan_lightning.extractors import small_classifier as classifier_training
from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.extractors.small_classifier import ImageClassifier, train_classifier
from gan_lightning.utils.checks import check_int, fingerprint
from gan_lightning.utils.files import cache_folder, file_lock, load_cached, save_cached

log = logging.getLogger(__name__)

INSTEAD = "choose another extractor, such as extractor=inception"


class Classifier(Extractor):
    """The penultimate values and the logits of a classifier that has learned the classes of the training images.

    It is the same one for the same images, classes and seed. Its fingerprint has the hash of its weights: numbers
    compare under the same classifier alone.

    Args:
        num_classes: of the data.
        seed: of its training.
        cache: the folder where it is kept, `auto` as `cache_folder` says; None trains one each time.
    """

    preprocessing = f"8 bits, sides of at most {classifier_training.LARGEST_SIZE} pixels (antialiased bilinear)"

    def __init__(self, num_classes: int | None, seed: int = 0, cache: str | None = "auto") -> None:
        if num_classes is None:
            raise ValueError(f"extractor=classifier learns the classes of the data, and this has none: {INSTEAD}")
        check_int("extractor.num_classes", num_classes)
        self.seed, self.cache = check_int("extractor.seed", seed, minimum=0), cache_folder(cache)
        with torch.device("meta"):
            dim = ImageClassifier(1, num_classes).dim
        super().__init__(dim, num_classes, f"classifier of {num_classes} classes, seed {seed}")
        self.classifier: ImageClassifier | None = None

    def prepare(self, data: RealData) -> None:
        """Find the classifier of these images, or train it; of several processes that need the same one, one does.

        Raises a ValueError for data that are no images with classes in memory.
        """
        if self.classifier is not None:
            return
        if not isinstance(data, ImageData) or data.source_classes is None:
            raise ValueError(f"extractor=classifier learns from images with classes, and this data has none: {INSTEAD}")
        if getattr(data, "storage", "memory") != "memory":
            raise ValueError(
                f"extractor=classifier learns from images in memory: set data.in_memory=true, or {INSTEAD}"
            )
        if self.cache is None:
            self.classifier = self.trained(data)
        else:
            path = self.cache / "classifiers" / f"{self.recipe(data)}.pt"
            self.classifier = self.read(path, data)
            if self.classifier is None:
                with file_lock(path):
                    self.classifier = self.read(path, data) or self.trained_and_kept(data, path)
        self.classifier.requires_grad_(False)
        self.fingerprint = f"classifier-{digest_of(self.classifier)}"

    def recipe(self, data: ImageData) -> str:
        """Return a hash of all that the classifier comes from: the images, their classes, and how it is trained."""
        code = fingerprint(Path(classifier_training.__file__))
        return hashlib.sha256(
            f"{fingerprint_of(data.source_images(train=True))} {self.num_classes} {self.seed} {code}".encode()
        ).hexdigest()[:24]

    def read(self, path: Path, data: ImageData) -> ImageClassifier | None:
        """Return the classifier that `path` holds; None where it holds none that is whole."""
        weights = load_cached(path)
        if not isinstance(weights, dict):
            return None
        assert self.num_classes is not None
        channels, *sides = data.shape
        size = min(max(sides), classifier_training.LARGEST_SIZE)
        classifier = classifier_training.new_classifier(channels, self.num_classes, size, self.seed)
        try:
            classifier.load_state_dict(weights)
        except (RuntimeError, AttributeError, TypeError):  # those of other layers, or no weights
            log.warning("%s holds no such classifier: it is trained again", path)
            return None
        return classifier

    def trained_and_kept(self, data: ImageData, path: Path) -> ImageClassifier:
        """Train the classifier, and write it to `path` where that can be done."""
        classifier = self.trained(data)
        try:
            save_cached({name: weight.cpu() for name, weight in classifier.state_dict().items()}, path)
        except OSError as error:
            log.info("the classifier is not kept for other runs (%s)", error)
        return classifier

    def trained(self, data: ImageData) -> ImageClassifier:
        """Train the classifier."""
        pixels, labels = data.source_images(train=True)
        if labels is None:
            raise ValueError(f"extractor=classifier learns from images with classes, and this data has none: {INSTEAD}")
        assert self.num_classes is not None
        log.info("training a classifier of the %d training images, for the metrics; this is done once", len(pixels))
        return train_classifier(pixels, labels, self.num_classes, seed=self.seed)

    def extract(self, images: Tensor) -> Features:
        """Return the features of images with as many channels as those it was trained on; other sizes are resized."""
        assert self.classifier is not None, "prepare was not called"
        first = next(self.classifier.parameters())
        if images.ndim != 4 or images.shape[1] != first.shape[1]:
            raise ValueError(
                f"the classifier reads images (batch, {first.shape[1]}, height, width), not {tuple(images.shape)}: "
                "it must be trained on the data that are evaluated"
            )
        features = self.classifier.to(images.device).features(quantise(images).div(127.5).sub(1.0))
        return Features(features, self.classifier.head(features))


def digest_of(classifier: ImageClassifier) -> str:
    """Return twelve hexadecimal digits that stand for the weights of `classifier`."""
    digest = hashlib.sha256()
    for name, weight in classifier.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:12]
