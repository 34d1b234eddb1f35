"""The W&B run that a checkpoint comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_lightning.cli.errors import UserError
from gan_lightning.cli.paths import run_directory
from gan_lightning.cli.trained import read_checkpoint
from gan_lightning.loggers import WandB


def send(checkpoint: Path, values: Mapping[str, float], protocol: Mapping[str, Any], iteration: int) -> None:
    """Log `values` as ``eval/...`` at `iteration` to the run that `checkpoint` was saved by, with their protocol.

    Raises:
        UserError: it was not logged to W&B.
    """
    run = run_directory(checkpoint)
    id_file = run / "wandb_run_id"
    settings = (read_checkpoint(checkpoint)["hyper_parameters"].get("logger") or {}).get("wandb")
    if settings is None or not id_file.is_file():
        raise UserError(f"{run} was not logged to W&B: leave wandb=true out (the numbers are written all the same)")
    # Only what names the run: nothing is built of what a checkpoint says.
    known = {key: settings.get(key) for key in ("entity", "name", "group")}
    logger = WandB(str(settings.get("project")), save_dir=run, id_file=id_file, **known)
    named = {f"eval/{name.removeprefix('val/')}": value for name, value in values.items()}
    logger.log_metrics(named, step=iteration)
    logger.experiment.config.update({"eval": dict(protocol)}, allow_val_change=True)
    logger.finalize("success")
