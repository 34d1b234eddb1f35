"""Images held in memory, and the base class of their sources."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from gan_lightning.data.base import Loader, RealData, rank_slice
from gan_lightning.data.clusters import Batches, Describe, cluster_images, nearest_clusters
from gan_lightning.data.loader import DeterministicSampler, InMemoryLoader
from gan_lightning.data.pixels import normalize
from gan_lightning.game import Batch
from gan_lightning.randomness import generator_for
from gan_lightning.utils.checks import check_int
from gan_lightning.utils.class_names import class_numbers

CLUSTERED_AT_ONCE = 1000
"""Images whose cluster is looked for at a time."""


class Images(NamedTuple):
    """Images in memory: uint8 pixels (size, channels, height, width), and int64 labels (size,) where there are any."""

    pixels: Tensor
    labels: Tensor | None


class ImageData(RealData):
    """Images held in memory, on the run's device. A source defines `read`.

    Args:
        classes: keep only the images of these classes, by number or name, whose labels stay as they are; None keeps
            all.
        class_names: of all classes, by number; None where they have none.
        image_size: resize images to this height and width in pixels, with antialiasing; None keeps them as they are.
        reference: which split metrics compare with.
        clusters: label the training images by so many k-means clusters of their pixels, in the place of what labels
            the data have; None keeps those. Test images take the cluster whose mean is nearest. Clusters are kept in
            the checkpoint.
        cluster_features: an extractor (see `extractors.base`) in whose features the clusters are found; None for the
            pixels.
        source_classes: how many classes the data come with, where they are labelled by clusters.
        train_size: images in the training split, a fact that a number of clusters may follow from.
        shape, num_classes, value_range, batch_size, seed: see `RealData`. The images are checked against them.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_classes: int | None,
        value_range: Sequence[float],
        batch_size: int,
        seed: int,
        classes: Sequence[int] | None = None,
        image_size: int | None = None,
        reference: Literal["train", "test"] = "train",
        clusters: int | None = None,
        cluster_features: Callable[[Tensor], Any] | None = None,
        source_classes: int | None = None,
        train_size: int | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(
            shape=shape, num_classes=num_classes, value_range=value_range, batch_size=batch_size, seed=seed
        )
        if self.value_range != (-1, 1):
            raise ValueError(f"data.value_range must be [-1, 1] for images, the range of tanh, not {value_range!r}")
        if reference not in ("train", "test"):
            raise ValueError(f"data.reference must be train or test, not {reference!r}")
        self.classes = None if classes is None else class_numbers("data.classes", classes, class_names)
        self.image_size = None if image_size is None else check_int("data.image_size", image_size)
        self.reference = reference
        self.clusters = None if clusters is None else check_int("data.clusters", clusters, minimum=2)
        if self.clusters is not None and self.clusters != self.num_classes:
            raise ValueError(
                f"data.num_classes={num_classes} must be that of the clusters: leave it out, or set "
                f"data.num_classes={clusters}"
            )
        self.describe = None if cluster_features is None else features_of(cluster_features)
        self.source_classes = self.num_classes if self.clusters is None else source_classes
        self.given_names = None if self.num_classes is None or class_names is None else tuple(class_names)
        self._splits: dict[bool, Images] = {}
        self._source_labels: dict[bool, Tensor | None] = {}

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """See `RealData`; clusters have none."""
        return self.given_names if self.clusters is None else None

    @abstractmethod
    def read(self, train: bool) -> Images:
        """Return the whole training or test split as it is, downloaded first where that is needed."""

    def setup(self, stage: str) -> None:
        """Read the training images, so that errors in them are raised before training starts."""
        if stage == "fit":
            self.split(train=True, device=self.placement().device)

    def split(self, train: bool, device: torch.device | str) -> Images:
        """Return the training or test images as the run uses them, on `device`; read at the first call."""
        if train not in self._splits:
            images = self._select(self.read(train))
            if self.clusters is not None:
                self._source_labels[train] = images.labels
                images = Images(images.pixels, self._clusters_of(train, images.pixels))
            self._splits[train] = images
        pixels, labels = self._splits[train]
        self._splits[train] = Images(pixels.to(device), None if labels is None else labels.to(device))
        return self._splits[train]

    def source_images(self, train: bool) -> Images:
        """Return the images of `split` on the CPU with the classes that the data come with, also beside clusters."""
        pixels, labels = self.split(train, device="cpu")
        return Images(pixels, labels if self.clusters is None else self._source_labels[train])

    def train_dataloader(self) -> Loader:
        """Return endless batches of the training images, from the step that the run has reached."""
        device, rank, world_size = self.placement()
        pixels, labels = self.split(train=True, device=device)
        order = DeterministicSampler(len(pixels), self.batch_size, self.seed, rank, world_size)
        return InMemoryLoader(pixels, labels, order, device, self.step)

    def labels(self, train: bool) -> Tensor | None:
        """Return the classes of a split, which are clusters where there are these, (size,) of int64; None without."""
        return self._read_split(train).labels

    def label_counts(self) -> Tensor | None:
        """See `RealData`."""
        labels = self.labels(train=True)
        return None if labels is None else torch.bincount(labels.cpu(), minlength=self.num_classes or 0)

    def state_dict(self) -> dict[str, Any]:
        """Return the clusters of the training images, which a resumed run keeps."""
        return {} if self.clusters is None else {"clusters": self.labels(train=True)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the clusters of a checkpoint; a ValueError if they are of another number of images."""
        if "clusters" in state_dict:
            self.take_clusters(state_dict["clusters"])

    def take_clusters(self, clusters: Tensor) -> None:
        """Label the training images by `clusters`."""
        pixels, _ = self._read_split(train=True)
        self._splits = {True: Images(pixels, of_as_many(clusters, len(pixels), self.num_classes).to(pixels.device))}

    def _clusters_of(self, train: bool, pixels: Tensor) -> Tensor:
        assert self.clusters is not None
        if train:
            return cluster_images(batches_of(pixels), len(pixels), self.clusters, describe=self.describe)
        clustered, labels = self._read_split(train=True)
        assert labels is not None
        parts = pixels.split(CLUSTERED_AT_ONCE)
        return nearest_clusters(parts, batches_of(clustered), labels.cpu(), describe=self.describe)

    @property
    def training_size(self) -> int:
        return len(self._read_split(train=True).pixels)

    @property
    def reference_size(self) -> int:
        """Return the number of images in the split that metrics compare with."""
        return len(self._read_split(self.reference == "train").pixels)

    @property
    def reference_split(self) -> str:
        """Return the split: train or test."""
        return self.reference

    def labelled_reference_batches(
        self, device: torch.device | str, rank: int = 0, world_size: int = 1, batch_size: int = 500
    ) -> Iterator[Batch]:
        """See `RealData`; images, float32 in [-1, 1]."""
        pixels, labels = self.split(self.reference == "train", device)
        mine = rank_slice(self.reference_size, rank, world_size)
        for start in range(mine.start, mine.stop, batch_size):
            rows = slice(start, min(start + batch_size, mine.stop))
            yield normalize(pixels[rows]), None if labels is None else labels[rows]

    def examples(self, count: int, device: torch.device | str, labels: Tensor | None = None) -> Tensor:
        """See `RealData`: a draw over all images, and so over all classes."""
        pixels, classes = self.split(self.reference == "train", device)
        return normalize(pixels[self.example_rows(len(pixels), count, classes, labels).to(pixels.device)])

    def example_rows(self, size: int, count: int, classes: Tensor | None, labels: Tensor | None) -> Tensor:
        """Return rows of `examples`, (count,) of int64, of `size` samples.

        Args:
            size: number of samples.
            count: how many rows.
            classes: of the samples, (size,); None where they have none.
            labels: the class that each row is to have, (count,); None for any, as where a class has no sample.
        """
        order = torch.randperm(size, generator=generator_for(self.seed, "examples"))
        if classes is None or labels is None:
            return order[:count]
        by_class = {label: order[classes.cpu()[order] == label] for label in set(labels.tolist())}
        if any(len(rows) == 0 for rows in by_class.values()):
            return order[:count]
        taken: Counter[int] = Counter()
        rows = []
        for label in labels.tolist():
            of_class = by_class[label]
            rows.append(of_class[taken[label] % len(of_class)])
            taken[label] += 1
        return torch.stack(rows)

    def fingerprint(self, train: bool | None = None) -> str | None:
        """See `RealData`: of the pixels and labels as they are used."""
        return fingerprint_of(self._read_split(self.reference == "train" if train is None else train))

    def source_fingerprint(self) -> str | None:
        """See `RealData`."""
        if self.clusters is None:
            return self.fingerprint()
        train = self.reference == "train"
        return fingerprint_of(Images(self._read_split(train).pixels, self._source_labels[train]))

    def _read_split(self, train: bool) -> Images:
        """Return a split where it is; where the trainer wants it when it has not been read yet."""
        return self._splits.get(train) or self.split(train, self.placement().device)

    def _select(self, images: Images) -> Images:
        """Return the images of the wanted classes at the wanted size, checked against `shape` and `num_classes`."""
        pixels, labels = images
        if labels is not None:
            rows = self.rows_of_classes(labels)
            pixels, labels = pixels[rows], labels[rows]
        if self.image_size is not None and pixels.shape[-2:] != (self.image_size, self.image_size):
            pixels = resize(pixels, [self.image_size, self.image_size], antialias=True)
        if tuple(pixels.shape[1:]) != self.shape:
            raise ValueError(
                f"data.shape={list(self.shape)} but the images are {list(pixels.shape[1:])}: set data.shape to that, "
                "or data.image_size to the size that is wanted"
            )
        return Images(pixels, labels)

    def rows_of_classes(self, labels: Tensor) -> Tensor:
        """Return the indices of the samples, by their `labels` (size,), whose class is kept; int64, in order.

        Raises:
            ValueError: a label is beyond `num_classes`, or one of `classes` has no sample.
        """
        available = labels.unique().tolist()
        if self.source_classes is None or available[-1] >= self.source_classes:
            raise ValueError(
                f"data.num_classes={self.source_classes} but the data has labels up to {available[-1]}: "
                f"set data.num_classes={available[-1] + 1}"
            )
        if self.classes is None:
            return torch.arange(len(labels))
        impossible = [label for label in self.classes if label not in available]
        if impossible:
            raise ValueError(
                f"data.classes={list(self.classes)} asks for {impossible}, which the data does not have: "
                f"choose from {available}"
            )
        return torch.isin(labels, torch.tensor(self.classes)).nonzero().squeeze(1)


def features_of(extractor: Callable[[Tensor], Any]) -> Describe:
    """Return what gives an extractor's features of uint8 images, (count, dim) of float32 on the CPU."""

    @torch.no_grad()
    def describe(pixels: Tensor) -> Tensor:
        features, _ = extractor(normalize(pixels.cpu()))
        described: Tensor = features.float()
        return described

    return describe


def batches_of(pixels: Tensor) -> Batches:
    """Return images in memory as `cluster_images` wants them."""
    return lambda rows: (pixels[part] for part in rows.to(pixels.device).split(CLUSTERED_AT_ONCE))


def of_as_many(clusters: Tensor, images: int, number: int | None) -> Tensor:
    """Return the clusters of a checkpoint; a ValueError if they are of other images, or none of so many clusters."""
    if not isinstance(clusters, Tensor) or clusters.dtype != torch.int64 or clusters.ndim != 1:
        raise ValueError("the checkpoint's clusters are damaged")
    if len(clusters) and not 0 <= int(clusters.min()) <= int(clusters.max()) < (number or 0):
        raise ValueError(f"the checkpoint's clusters are none of {number}")
    if len(clusters) != images:
        raise ValueError(f"the checkpoint's clusters are of {len(clusters)} training images, and there are {images}")
    return clusters


def fingerprint_of(*sets: Images) -> str:
    """Return sixteen hexadecimal digits that stand for the pixels and labels, and for their order."""
    digest = hashlib.sha256()
    for pixels, labels in sets:
        digest.update(f"{tuple(pixels.shape)}".encode())
        for part in (pixels, labels):
            if part is not None:
                digest.update(part.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]
