"""A job within this process, as the command line runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gan_lightning.runs import training
from gan_lightning.utils.conf import typed


def train(config: DictConfig) -> dict[str, Any]:
    """Train in the directory of Hydra's present job, as `composed` sets it; return the content of result.json."""
    hydra = HydraConfig.get()
    return training.train(config, Path(hydra.runtime.output_dir), typed(hydra.overrides.task))
