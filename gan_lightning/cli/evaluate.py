"""`python eval.py`, also installed as `gan-eval`: the metrics of a trained generator, or of a folder of images."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from omegaconf import DictConfig

from gan_lightning.runs.evaluation import evaluate_checkpoint
from gan_lightning.runs.run_dir import checkpoint_of
from gan_lightning.utils.checks import check_bool, check_int
from gan_lightning.utils.conf import conf_dir
from gan_lightning.utils.errors import UserError, user_errors

if TYPE_CHECKING:
    pass

CHOICES = {"which": ("last", "best", "both"), "weights": ("ema", "raw")}


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="eval")
def run(cfg: DictConfig) -> None:
    """Judge what the command line names."""
    try:
        evaluate(cfg)
    except UserError as error:
        sys.stderr.write(error.report() + "\n")
        sys.exit(error.exit_code)


def evaluate(cfg: DictConfig) -> dict[str, dict[str, float]]:
    """Judge one or two checkpoints or a folder, print the numbers and write them with their protocol.

    Returns:
        The numbers, by the name of the checkpoint (``last``) or of the folder.

    Raises:
        UserError: for whatever cannot be done.
    """
    check(cfg)
    if cfg.real is not None or cfg.fake is not None:
        from gan_lightning.evaluation.folders import compare

        return {Path(cfg.fake or "").name: compare(cfg)}
    found = list(checkpoints(cfg))
    if cfg.wandb:
        from gan_lightning.runs.wandb_run import logger_settings

        for checkpoint in found:
            logger_settings(checkpoint)
    return {checkpoint.stem: evaluate_checkpoint(cfg, checkpoint) for checkpoint in found}


def check(cfg: DictConfig) -> None:
    """Refuse values that cannot be."""
    with user_errors():
        for key, least in (("num_fakes", 1), ("seed", 0)):
            if cfg[key] is not None:
                check_int(key, cfg[key], least)
        check_bool("wandb", cfg.wandb)
    for key, choices in CHOICES.items():
        if cfg[key] not in choices:
            raise UserError(f"{key} must be {', '.join(choices[:-1])} or {choices[-1]}, not {cfg[key]}")


def checkpoints(cfg: DictConfig) -> Iterator[Path]:
    """Those that are to be judged.

    Raises:
        UserError: they are not there, or `which` is asked of a file.
    """
    if cfg.which != "last" and cfg.ckpt_path and Path(cfg.ckpt_path).expanduser().is_file():
        raise UserError(
            f"which={cfg.which} chooses from a run directory, and ckpt_path={cfg.ckpt_path} is a file: leave which "
            "out, or give the run directory"
        )
    if cfg.which == "both":
        yield checkpoint_of(cfg.ckpt_path, "last")
        yield checkpoint_of(cfg.ckpt_path, "best")
    else:
        yield checkpoint_of(cfg.ckpt_path, cfg.which)


def main() -> None:
    """Run the command line."""
    run()


if __name__ == "__main__":
    main()
