"""The W&B run that a checkpoint comes from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gan_lightning.evaluation.protocol import comparable_fields
from gan_lightning.loggers import WandB
from gan_lightning.runs.checkpoints import read_checkpoint
from gan_lightning.runs.run_dir import run_directory
from gan_lightning.utils.errors import UserError


def wandb_arguments(checkpoint: Path) -> dict[str, Any]:
    """Return what names the W&B run of `checkpoint`, as arguments of `WandB`; a UserError if there is none."""
    run = run_directory(checkpoint)
    id_file = run / "wandb_run_id"
    config = (read_checkpoint(checkpoint)["hyper_parameters"].get("logger") or {}).get("wandb")
    if config is None or not id_file.is_file():
        raise UserError(f"{run} was not logged to W&B: leave wandb=true out (the numbers are written all the same)")
    # Only what names the run: nothing is built of a checkpoint's configuration.
    known = {key: config.get(key) for key in ("entity", "name", "group")}
    return {"project": str(config.get("project")), "save_dir": run, "id_file": id_file, **known}


def send(checkpoint: Path, values: Mapping[str, float], protocol: Mapping[str, Any], iteration: int) -> None:
    """Log `values` at `iteration` to the W&B run of `checkpoint`, each under the name of its `series`.

    The run's config holds the protocol of each series under that name.
    """
    logger = WandB(**wandb_arguments(checkpoint))
    names = {key: series(checkpoint.stem, protocol, key) for key in values}
    logger.log_metrics({f"{names[key]}/{key.removeprefix('val/')}": values[key] for key in values}, step=iteration)
    logger.experiment.config.update(dict.fromkeys(names.values(), dict(protocol)), allow_val_change=True)
    logger.end("finished", {})


def series(checkpoint: str, protocol: Mapping[str, Any], key: str) -> str:
    """Return the series that a number belongs to, such as ``eval/last_raw_5000_digits-0a1b2c_s0_3f2e1d``.

    That is the checkpoint's name, raw weights, the number of fakes, the extractor, the seed, and a few characters that
    stand for all that has to be equal for two numbers to be compared: different protocols never share a series.
    """
    fields = json.dumps(comparable_fields(protocol, key), sort_keys=True, default=str)
    parts = [
        checkpoint,
        "raw" if protocol.get("weights") == "raw" else None,
        protocol["num_fakes"],
        protocol["numbers"][key]["extractor"],
        f"s{protocol.get('seed')}",
        hashlib.sha256(fields.encode()).hexdigest()[:6],
    ]
    return "eval/" + "_".join(re.sub(r"[^\w.=-]+", "-", str(part)) for part in parts if part is not None)
