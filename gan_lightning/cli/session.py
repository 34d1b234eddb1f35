"""One training job: build it from its configuration, play it, and write down how it ended."""

from __future__ import annotations

import logging
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning import Callback, LightningDataModule, Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.cli.errors import UserError, mistakes_told
from gan_lightning.cli.hardware import trainer_settings
from gan_lightning.cli.paths import checkpoint_of
from gan_lightning.cli.record import write_json, write_start
from gan_lightning.cli.report import print_report
from gan_lightning.cli.trained import read_checkpoint
from gan_lightning.gan import GAN

RANK_VARIABLES = (
    "LOCAL_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "PL_GLOBAL_SEED",
    "OMP_NUM_THREADS",
)


def train(cfg: DictConfig) -> float | None:
    """Run one job.

    Returns:
        The monitored metric at its best, for sweepers that optimise it; None without one.

    Raises:
        UserError: when the job cannot be built from what the user asked for.
    """
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    quieten()
    ask_for_gpus_once()
    with kept_environment():
        settings = plain(cfg)
        if started_as_rank_zero():
            write_start(directory, settings, list(hydra.overrides.task))
        try:
            with mistakes_told():
                checkpoint = checkpoint_of(cfg.ckpt_path) if cfg.ckpt_path else None
                datamodule, gan, trainer = build(cfg, directory)
                turns = continued(checkpoint, gan, directory) if checkpoint else 0
        except UserError as error:
            if started_as_rank_zero():
                write_json(directory / "result.json", {"status": "failed", "error": str(error)})
            raise
        for logger in trainer.loggers:
            logger.log_hyperparams(settings)
        result = play(trainer, gan, datamodule, checkpoint, turns, directory)
    if trainer.is_global_zero:
        print_report(result, directory, trainer)
    return result["best"].get(result["monitor"])


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as nested dicts and lists, every interpolation resolved."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def started_as_rank_zero() -> bool:
    """Whether this process is, or will launch the others as, rank 0; before there is a trainer to ask."""
    return all(int(os.environ.get(name, 0)) == 0 for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def build(cfg: DictConfig, directory: Path) -> tuple[LightningDataModule, GAN, Trainer]:
    """The data module with its data at hand, the game and the trainer."""
    seed_everything(cfg.seed, verbose=False)
    datamodule = instantiate(cfg.data, _convert_="all")
    datamodule.prepare_data()
    datamodule.setup("fit")
    gan = instantiate(cfg.gan, _convert_="all").to(memory_format=torch.channels_last)
    gan.save_hyperparameters(plain(cfg), logger=False)
    callbacks: list[Callback] = [part for part in instantiate(cfg.callbacks, _convert_="all").values() if part]
    loggers = [part for part in instantiate(cfg.logger, _convert_="all").values() if part]
    trainer = Trainer(
        **trainer_settings(plain(cfg.trainer), cfg.data.shape),
        default_root_dir=directory,
        callbacks=callbacks,
        logger=loggers,
        max_epochs=-1,  # the game ends itself, at its own budget
        limit_val_batches=0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    return datamodule, gan, trainer


def continued(checkpoint: Path, gan: GAN, directory: Path) -> int:
    """See that `gan` can go on from `checkpoint`, and take the best checkpoint so far along; returns its turns.

    Raises:
        ValueError: it was made with other networks, or has reached the budget already.
    """
    content = read_checkpoint(checkpoint)
    played, weights = content["game"]["iterations"], gan.state_dict()
    if {name: weight.shape for name, weight in content["state_dict"].items()} != {
        name: weight.shape for name, weight in weights.items()
    }:
        raise ValueError(f"ckpt_path={checkpoint} has other networks: repeat its run's overrides (overrides.yaml)")
    if played >= gan.max_iterations:
        raise ValueError(f"ckpt_path={checkpoint} has played {played} iterations: choose a larger max_iterations")
    best = checkpoint.with_name("best.ckpt")
    if best.is_file():
        (directory / "checkpoints").mkdir(parents=True, exist_ok=True)
        shutil.copy2(best, directory / "checkpoints" / best.name)
    return int(content["game"]["turns"])


def play(
    trainer: Trainer, gan: GAN, datamodule: LightningDataModule, checkpoint: Path | None, turns: int, directory: Path
) -> dict[str, Any]:
    """Fit, and write ``result.json`` however it ends; `turns` were played before."""
    started = time.monotonic()
    status, error = "failed", None
    try:
        trainer.fit(gan, datamodule, ckpt_path=checkpoint)
        status = "finished"
    except (KeyboardInterrupt, SystemExit):
        status = "interrupted"
        raise
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"
        if isinstance(problem, (ValueError, OSError)) and gan.turns == turns:
            raise UserError(str(problem)) from problem  # the parts do not fit, and said so before the first turn
        raise
    finally:
        result = {"status": status, "error": error, "seconds": time.monotonic() - started, **outcome(trainer, gan)}
        if trainer.is_global_zero:
            write_json(directory / "result.json", result)
    return result


def outcome(trainer: Trainer, gan: GAN) -> dict[str, Any]:
    """What was reached: counters, the last metrics and the best."""
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])  # which its type does not declare
    evaluation = next((part for part in callbacks if isinstance(part, Evaluation)), None)
    monitor = evaluation.monitor if evaluation else None
    best: dict[str, Any] = {}
    if evaluation is not None and monitor is not None and evaluation.best is not None:
        best = {monitor: evaluation.best, "iteration": evaluation.best_iteration}
    return {
        "iterations": gan.iterations,
        "turns": gan.turns,
        "images": gan.images,
        "monitor": monitor,
        "final": dict(gan.metrics),
        "best": best,
    }


@contextmanager
def kept_environment() -> Iterator[None]:
    """Within, the launcher of ranks may set its variables; the next job of a sweep finds the environment as it was."""
    before, threads = {name: os.environ.get(name) for name in RANK_VARIABLES}, torch.get_num_threads()
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()  # else the next job would talk to ranks that are gone
        torch.set_num_threads(threads)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def ask_for_gpus_once() -> None:
    """Undo what makes optimizers slow where there is no GPU.

    Lightning has torch look for GPUs through NVML, which without a GPU is loaded anew each time; and optimizers look at
    every step: some 70 microseconds each time, against 3 without NVML.
    """
    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


def quieten() -> None:
    """Silence what a user can do nothing about."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(lightning|torch|torchmetrics)\..*")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(lightning|torch|torchmetrics|wandb)\..*")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
