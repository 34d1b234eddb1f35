"""A small run on digits, and `eval.py` within this process, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gan_lightning.cli.evaluate import evaluate
from gan_lightning.data.mnist import Mnist10k
from helpers.compose import composed, job_part

SMALL = (
    *("logger=csv", "max_iterations=6", "evaluate_every=3", "checkpoint_every=3", "samples_every=6", "log_every=6"),
    *("metrics.num_fakes=230", "data.reference=test", "trainer.accelerator=cpu", "data.batch_size=16"),
    *("model.generator.width=4", "model.discriminator.width=4", "trainer.precision=bf16-mixed"),
)
"""A run of six iterations in half precision."""


def run_eval(*overrides: str) -> dict[str, dict[str, float]]:
    """What `python eval.py` finds."""
    with composed("device=cpu", *overrides, config_name="eval") as config:
        return evaluate(job_part(config))


def result(run: Path) -> dict[str, Any]:
    return json.loads((run / "result.json").read_text())


def mnist() -> Mnist10k:
    return Mnist10k(shape=[1, 28, 28], num_classes=10, value_range=[-1, 1], batch_size=8, seed=0, reference="test")
