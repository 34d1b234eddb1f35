"""Small trained models for tests of sampling, and `sample.py` within this process."""

from __future__ import annotations

from pathlib import Path

from gan_lightning.cli.sample import sample
from helpers.compose import composed, job_part
from helpers.jobs import train

SMALL = (
    "model=mlp",
    "model.generator.width=4",
    "model.generator.batch_norm=false",
    "max_iterations=1",
    "metrics=none",
    "logger=csv",
    "trainer.precision=32-true",
    "trainer.accelerator=cpu",
    "callbacks.samples=null",
)
"""Digits that no network of 4 units draws well."""


def run(directory: Path, *overrides: str) -> Path:
    """Train in `directory`, which is returned."""
    with composed(*overrides, directory=directory) as config:
        train(job_part(config))
    return directory


def sampled(ckpt_path: Path, *overrides: str) -> list[Path]:
    """Return the paths that `python sample.py` writes."""
    with composed(f"ckpt_path='{ckpt_path}'", "device=cpu", *overrides, config_name="sample") as config:
        return sample(config)


def written(ckpt_path: Path, *overrides: str) -> Path:
    """Return the one path that `python sample.py` writes."""
    (path,) = sampled(ckpt_path, *overrides)
    return path
