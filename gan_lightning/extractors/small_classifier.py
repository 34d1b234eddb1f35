"""A small classifier of images, and how such classifiers are trained: the same way each time."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as vision

from gan_lightning.extractors.base import full_float32
from gan_lightning.utils.progress_bar import track

EPOCHS = 8
BATCH_SIZE = 100
PEAK_LEARNING_RATE = 4e-3
WEIGHT_DECAY = 5e-4
LARGEST_SIZE = 32
STRENGTH = 0.5
"""Of the augmentation: in a few epochs, less is learned better."""

# The largest change that augmentation makes to an image; handwriting varies by more than this.
ROTATION_DEGREES = 12.0
SHIFT_PIXELS = 2.0
SCALE = 0.1


class ImageClassifier(nn.Module):
    """Three 3x3 convolutions and two linear layers.

    It has neither batch norm nor dropout, hence no training mode that could be left on by mistake.

    Args:
        channels: of the images.
        num_classes: how many classes there are.
        size: height and width in pixels that images are brought to (antialiased bilinear) where they have others.
        dim: length of the feature vector before the last layer.
    """

    def __init__(self, channels: int, num_classes: int, size: int = 28, dim: int = 64) -> None:
        super().__init__()
        self.dim, self.size = dim, size
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * (size // 4) ** 2, dim),
            nn.ReLU(),
        )
        self.head = nn.Linear(dim, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Return the penultimate layer, (batch, dim), of images (batch, channels, height, width) in [-1, 1]."""
        if images.shape[-2:] != (self.size, self.size):
            images = vision.resize(images, [self.size, self.size], antialias=True)
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (batch, num_classes), of images (batch, channels, height, width) in [-1, 1]."""
        return self.head(self.features(images))


def augmented(images: Tensor, rng: torch.Generator, strength: float = 1.0) -> Tensor:
    """Return every image rotated, scaled and shifted by a little of its own; its border is repeated outside.

    Args:
        images: (batch, channels, height, width).
        rng: of the CPU, wherever the images are.
        strength: what the largest changes are multiplied by.
    """

    def random(limit: float, *shape: int) -> Tensor:
        return torch.rand(len(images), *shape, generator=rng).mul(2.0).sub(1.0).mul(strength * limit)

    angle, scale = random(math.radians(ROTATION_DEGREES)), 1.0 + random(SCALE)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    linear = torch.stack([cosine, -sine, sine, cosine], dim=1).reshape(-1, 2, 2)
    shift = random(2.0 * SHIFT_PIXELS / images.shape[-1], 2, 1)  # affine_grid measures the image from -1 to 1
    change = torch.cat([linear, shift], dim=2).to(images.device)
    grid = F.affine_grid(change, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def fit(
    classifier: nn.Module,
    loss_of: Callable[[Tensor], Tensor],
    count: int,
    rng: torch.Generator,
    *,
    epochs: int,
    peak_learning_rate: float,
    progress: str | None = None,
) -> None:
    """Train by AdamW under a one-cycle schedule, in place.

    Args:
        classifier: what is trained.
        loss_of: the mean loss of some of the samples, which are given as numbers below `count`, (batch,).
        count: how many samples there are.
        rng: of the CPU; it shuffles the samples.
        epochs: how often each sample is used.
        peak_learning_rate: the schedule's largest.
        progress: what stands before a progress bar; None draws none, as where another is drawn already.
    """
    steps = epochs * math.ceil(count / BATCH_SIZE)
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=WEIGHT_DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak_learning_rate, total_steps=steps)
    batches = (rows for _ in range(epochs) for rows in torch.randperm(count, generator=rng).split(BATCH_SIZE))
    for rows in batches if progress is None else track(batches, progress, steps):
        loss = loss_of(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def train_classifier(
    pixels: Tensor,
    labels: Tensor,
    num_classes: int,
    seed: int = 0,
    epochs: int = EPOCHS,
    progress: str | None = "training a classifier",
) -> ImageClassifier:
    """Train a classifier of images on their device.

    Nine thousand digits take about 40 seconds of a CPU core. Equal images, labels and seeds give equal classifiers on
    one kind of machine. It may be called anywhere, under autocast and inference mode too, and leaves PyTorch's own
    random numbers alone.

    Args:
        pixels: uint8 (n, channels, height, width); larger ones are brought to 32x32.
        labels: (n,) of int64, below `num_classes`.
        num_classes: how many classes there are; some may lack images.
        seed: of the weights, the order and the augmentation.
        epochs: how often each image is used.
        progress: what stands before a progress bar, which is drawn on a terminal; None draws none.

    Returns:
        The classifier, frozen; it takes images in [-1, 1].

    Raises:
        ValueError: there are no images, or labels do not suit.
    """
    if not len(pixels) or len(labels) != len(pixels):
        raise ValueError(f"a classifier needs images with a label each, not {len(pixels)} with {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"labels of {num_classes} classes are 0 to {num_classes - 1}, not {int(labels.max())}")
    device = pixels.device
    rng = torch.Generator().manual_seed(seed)
    exactly = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with torch.inference_mode(False), torch.enable_grad(), full_float32(device), exactly:
        images = small(pixels)
        classifier = new_classifier(images.shape[1], num_classes, max(images.shape[-2:]), seed).to(device)

        def loss_of(rows: Tensor) -> Tensor:
            rows = rows.to(device)
            batch = augmented(images[rows].float().div(127.5).sub(1.0), rng, STRENGTH)
            return F.cross_entropy(classifier(batch), labels[rows])

        fit(
            classifier,
            loss_of,
            len(images),
            rng,
            epochs=epochs,
            peak_learning_rate=PEAK_LEARNING_RATE,
            progress=progress,
        )
    return classifier.requires_grad_(False)


def small(pixels: Tensor) -> Tensor:
    """Return images of uint8 with sides of at most 32 pixels; larger ones are brought to 32x32."""
    if max(pixels.shape[-2:]) <= LARGEST_SIZE:
        return pixels.clone()  # a tensor of inference mode could not be trained on
    size = [LARGEST_SIZE, LARGEST_SIZE]
    return torch.cat([vision.resize(part, size, antialias=True) for part in pixels.split(1000)])


def new_classifier(channels: int, num_classes: int, size: int, seed: int) -> ImageClassifier:
    """Return a classifier with random weights, which are those of PyTorch's own random numbers under `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        classifier = ImageClassifier(channels, num_classes, size)
    # Channels last: on a CPU the pooling is several times faster.
    nn.utils.convert_conv2d_weight_memory_format(classifier, torch.channels_last)
    return classifier
