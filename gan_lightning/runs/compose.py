"""The configuration of a run, composed from Python as the command line composes it. Nothing here imports torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, flag_override

from gan_lightning.utils.composition import compose_checked
from gan_lightning.utils.conf import hydra_at_conf

OF_HYDRA = re.compile(r"\$\{(hydra|choices|job_type|job_name|sweep_name|sweep_or_run_dir):")
"""Interpolations that only Hydra's global state can fill in."""


@contextmanager
def hydra_job(overrides: Sequence[str]) -> Iterator[DictConfig]:
    """Within, Hydra's global state is that of a job with `overrides`; afterwards it is what it was.

    Yields the composed configuration, `hydra` included, where ``hydra.runtime.output_dir`` is the run directory.
    Raises a UserError for an override that does not fit.
    """
    job = HydraConfig.instance().cfg
    try:
        with hydra_at_conf():
            config = compose_checked("train", overrides, hydra=True)
            HydraConfig.instance().set_config(config)
            directory = Path(config.hydra.run.dir).absolute()
            with flag_override(config.hydra, ["struct", "readonly"], [False, False]):
                config.hydra.runtime.output_dir = str(directory)
                config.hydra.job.num = 0
            HydraConfig.instance().set_config(config)
            yield config
    finally:
        HydraConfig.instance().cfg = job


def without_hydra(config: DictConfig) -> DictConfig:
    """Return the job's part of a composed configuration, with what only Hydra can fill in filled in."""
    job = config.copy()
    with flag_override(job, ["struct", "readonly"], [False, False]):
        fill_in(job, OmegaConf.to_container(config, resolve=False))
        del job["hydra"]
    return job


def fill_in(node: Any, written: Any) -> None:
    """Resolve the values of `node` that Hydra's state is part of, where `written` has them as they were written."""
    for key, value in written.items() if isinstance(written, dict) else enumerate(written):
        if key == "hydra":
            continue
        if isinstance(value, str) and OF_HYDRA.search(value):
            node[key] = node[key]
        elif isinstance(value, (dict, list)):
            fill_in(node[key], value)
