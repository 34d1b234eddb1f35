"""Whether fakes copy training images, by the distances to their nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_lightning.data.base import RealData
from gan_lightning.data.image_data import ImageData
from gan_lightning.data.pixels import normalize, quantise
from gan_lightning.extractors.base import full_float32
from gan_lightning.metrics.base import SampleMetric, concatenated

ROWS = 2048  # of a block of distances, and columns: 16 MiB, whatever the number of samples


def nearest_distances(samples: Tensor, others: Tensor) -> Tensor:
    """Return the Euclidean distance of each of `samples` (n, dim) from the nearest of `others` (m, dim), (n,)."""
    nearest = samples.new_full((len(samples),), torch.inf)
    with full_float32(samples.device):
        for rows in torch.arange(len(samples), device=samples.device).split(ROWS):
            for part in others.split(ROWS):
                nearest[rows] = torch.minimum(nearest[rows], torch.cdist(samples[rows], part).amin(1))
    return nearest


class Memorization(SampleMetric):
    """How near fakes come to training images, beside images that were never trained on.

    Distances are Euclidean, of 8-bit pixels in [-1, 1]; a generator that copies is nearer to what it was trained on
    (Lopez-Paz and Oquab 2017; Meehan et al. 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models").
    The held-out images are the data's test split. `compute` gives

    - `train_distance`: median distance of fakes from the nearest training image, over that of held-out images. 1 where
      fakes keep the distance that new images keep; a generator that copies approaches 0. Blurred images may be nearer
      than real ones without being copies, so that the second number decides.
    - `memorization`: median distance of fakes from the nearest held-out image, over that from the nearest of as many
      training images. 1 where fakes lean on neither; above 1 they lean on the training images.
    """

    keys = ("train_distance", "memorization")

    fake_to_train: list[Tensor]
    fake_to_subset: list[Tensor]
    fake_to_held_out: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("fake_to_train", "fake_to_subset", "fake_to_held_out"):
            self.add_list_state(name)
        self.config = {"distance": "pixels, euclidean"}

    def prepare(self, data: RealData) -> None:
        """Take training and held-out images from `data`; a ValueError if these are not in memory."""
        if not isinstance(data, ImageData):
            raise ValueError(f"metrics=memorization compares images in memory, and {type(data).__name__} has none")
        train, held_out = (vectors(data.split(train=split, device="cpu").pixels) for split in (True, False))
        rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[: len(held_out)]
        self.train_images, self.subset, self.held_out = train, train[rows], held_out[: len(rows)]
        self.held_out_distance = nearest_distances(held_out, train).median().item()
        self.config |= {"train images": len(train), "held-out images": len(self.held_out)}

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take fakes (batch, channels, height, width) in [-1, 1]."""
        if real:
            return
        images = quantise(samples).div(127.5).sub(1).flatten(1)
        for state, others in (
            (self.fake_to_train, self.train_images),
            (self.fake_to_subset, self.subset),
            (self.fake_to_held_out, self.held_out),
        ):
            state.append(nearest_distances(images, others.to(images.device)))

    def compute(self) -> dict[str, float]:
        train, subset, held_out = (
            concatenated(state) for state in (self.fake_to_train, self.fake_to_subset, self.fake_to_held_out)
        )
        if not len(train):
            raise ValueError("metrics=memorization needs at least one fake: raise metrics.num_fakes")
        return {
            "train_distance": train.median().item() / max(self.held_out_distance, 1e-12),
            "memorization": held_out.median().item() / max(subset.median().item(), 1e-12),
        }


def vectors(pixels: Tensor) -> Tensor:
    """Return images, uint8, as vectors (count, values) of float32 in [-1, 1]."""
    return normalize(pixels).flatten(1)
