"""A folder of fakes evaluated against a folder of real images, without any model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from gan_lightning.data.files import ImageFiles
from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.evaluation.results import EvaluationResult
from gan_lightning.metrics.base import SampleMetric


def evaluate_folders(
    real: ImageFiles,
    fake: ImageFiles,
    metrics: Mapping[str, SampleMetric],
    *,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
) -> EvaluationResult:
    """Evaluate all images of `fake` against those of `real`.

    Args:
        real: the reference images.
        fake: the images to evaluate, of the same size and as many channels.
        metrics: by any names.
        device: where they are evaluated.
        cache: the folder where the metrics' states of real images are kept for other evaluations; None keeps none.

    Raises:
        ValueError, FileNotFoundError: the images differ in kind, or a metric cannot evaluate them.
    """
    require_same_kind(real, fake)
    evaluator, count = Evaluator(metrics, cache=cache), fake.reference_size
    evaluator.prepare(real, device, count)
    protocol = evaluator.protocol(real, count, weights="files")
    values = evaluator.evaluate(fake.labelled_reference_batches(device, batch_size=evaluator.batch_size), count)
    folders = {name: str(data.folder.absolute()) for name, data in (("real", real), ("fake", fake))}
    return EvaluationResult(values, protocol, {**folders, "num_fakes": count, "reference_size": real.reference_size})


def require_same_kind(real: ImageFiles, fake: ImageFiles) -> None:
    """Raise a ValueError if images differ in channels or size."""
    if real.channels != fake.channels:
        kind = {1: "grey", 3: "colour"}
        raise ValueError(
            f"real={real.folder} holds {kind[real.channels]} images and fake={fake.folder} {kind[fake.channels]} ones: "
            "bring them to one by channels=1 or channels=3"
        )
    if real.shape != fake.shape:
        a, b = (f"{data.shape[1]}x{data.shape[2]}" for data in (real, fake))
        raise ValueError(
            f"real={real.folder} holds images of {a} pixels (height, width) and fake={fake.folder} of {b}: "
            "bring them to one size by image_size=N"
        )
