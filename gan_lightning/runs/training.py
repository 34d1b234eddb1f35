"""One training job: build it from its configuration, play it, and write down how it ended."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning import Callback, LightningDataModule, Trainer, seed_everything
from omegaconf import DictConfig

from gan_lightning.callbacks.checkpoint import Checkpoint, NotSavedError
from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.callbacks.health import DivergedError, Health
from gan_lightning.callbacks.preemption import Interrupted, Preemption
from gan_lightning.diagnostics.probe import not_finite
from gan_lightning.gan import GAN
from gan_lightning.runs.report import print_report
from gan_lightning.runs.resume import ResumePoint
from gan_lightning.runs.run_dir import write_start
from gan_lightning.trainer.hardware import configure_hardware, trainer_settings
from gan_lightning.trainer.launcher import RankDiedError
from gan_lightning.trainer.ranks import kept_environment, started_as_rank_zero
from gan_lightning.utils.conf import plain, typed
from gan_lightning.utils.errors import UserError, WorkError, user_errors
from gan_lightning.utils.files import write_json

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> float | None:
    """Run one job.

    Returns:
        The monitored metric at its best, for sweepers that optimise it; None without one.

    Raises:
        UserError: when the job cannot be built from what the user asked for.
        WorkError: when it could not be brought to its end.
        Interrupted: when it was asked to stop.
    """
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    silence_warnings()
    ask_for_gpus_once()
    with kept_environment():
        start = ResumePoint(cfg, directory)
        if start.over:
            return already_finished(start)
        datamodule, gan, trainer = prepare(cfg, start)
        try:
            result = fit(trainer, gan, datamodule, start)
        except Interrupted as interrupted:
            log.warning(interrupted.report)
            if trainer.world_size > 1:
                exit_now(interrupted.code)
            raise
    if trainer.is_global_zero:
        print_report(result, directory, trainer)
    return result["best"].get(result["monitor"])


def already_finished(start: ResumePoint) -> float | None:
    """Say that a run has nothing left to do; returns its best."""
    if started_as_rank_zero():
        log.info(f"{os.path.relpath(start.directory)} has played its {start.iterations} iterations: nothing to do")
    result = start.result()
    return result["best"].get(result["monitor"])


def prepare(cfg: DictConfig, start: ResumePoint) -> tuple[LightningDataModule, GAN, Trainer]:
    """The parts of the job, with the run's directory ready for it.

    A run that goes on keeps what stands in its directory until all parts are there.

    Raises:
        UserError: they cannot be built from what the user asked for.
    """
    settings, overrides = plain(cfg), typed(HydraConfig.get().overrides.task)
    first = started_as_rank_zero()
    if first and not start.in_place:
        write_start(start.directory, settings, overrides)
    try:
        with user_errors():
            datamodule, gan, trainer = build(cfg, start.directory)
            start.restore_run_files(gan, trainer)
    except UserError as error:
        if first and not start.in_place:
            write_json(start.directory / "result.json", {"status": "failed", "error": str(error)})
        raise
    if first and start.in_place:
        write_start(start.directory, settings, overrides)
    for logger in trainer.loggers:
        logger.log_hyperparams(settings)
    return datamodule, gan, trainer


def build(cfg: DictConfig, directory: Path) -> tuple[LightningDataModule, GAN, Trainer]:
    """The data module with its data at hand, the game and the trainer."""
    seed_everything(cfg.seed, verbose=False)
    datamodule = instantiate(cfg.data, _convert_="all")
    datamodule.prepare_data()
    datamodule.setup("fit")
    gan = instantiate(cfg.gan, _convert_="all")
    gan.save_hyperparameters(plain(cfg), logger=False)
    callbacks: list[Callback] = [
        *configure_hardware(gan, plain(cfg.trainer)),
        *(part for part in instantiate(cfg.callbacks, _convert_="all").values() if part),
    ]
    # What was done at an iteration is on the disk before the checkpoint that goes on from there.
    callbacks.sort(key=lambda part: (isinstance(part, Preemption), isinstance(part, Checkpoint)))
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


def fit(trainer: Trainer, gan: GAN, datamodule: LightningDataModule, start: ResumePoint) -> dict[str, Any]:
    """Fit, and write ``result.json`` however it ends."""
    started = time.monotonic()
    status, error = "failed", None
    try:
        trainer.fit(gan, datamodule, ckpt_path=start.checkpoint)
        status = "finished"
    except (KeyboardInterrupt, SystemExit):
        status = "interrupted"
        raise
    except (NotSavedError, RankDiedError, DivergedError) as problem:
        error = str(problem)
        raise WorkError(error) from problem
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"
        if isinstance(problem, (ValueError, OSError)) and gan.discriminator_updates == start.discriminator_updates:
            raise UserError(str(problem)) from problem  # the parts do not fit, and said so before the first turn
        if (
            isinstance(problem, Exception)
            and gan.discriminator_updates > start.discriminator_updates
            and (diverged := not_finite(gan))
        ):
            error = f"diverged: at iteration {gan.iterations} {diverged} is not finite ({error})"
            raise WorkError(error) from problem  # whoever had to work with such numbers, as a metric
        raise
    finally:
        result = {"status": status, "error": error, "seconds": time.monotonic() - started, **summarize(trainer, gan)}
        untouched = start.in_place and status == "failed" and gan.discriminator_updates <= start.discriminator_updates
        if trainer.is_global_zero and not untouched:
            write_json(start.directory / "result.json", result)
    return result


def exit_now(code: object) -> NoReturn:
    """End this process at once: the other ranks are gone, and whatever would take leave of them might wait for them."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def summarize(trainer: Trainer, gan: GAN) -> dict[str, Any]:
    """What was reached: counters, the last metrics and the best; and what was wrong."""
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])  # which its type does not declare
    evaluation = next((part for part in callbacks if isinstance(part, Evaluation)), None)
    health = next((part for part in callbacks if isinstance(part, Health)), None)
    monitor = evaluation.monitor if evaluation else None
    best: dict[str, Any] = {}
    if evaluation is not None and monitor is not None and evaluation.best is not None:
        best = {monitor: evaluation.best, "iteration": evaluation.best_iteration}
    return {
        "iterations": gan.iterations,
        "discriminator_updates": gan.discriminator_updates,
        "images": gan.images,
        "monitor": monitor,
        "final": dict(gan.metrics),
        "final_iteration": evaluation.last_iteration if evaluation else None,
        "protocol": evaluation.protocol if evaluation else None,
        "best": best,
        "health": health.records if health else [],
    }


def ask_for_gpus_once() -> None:
    """Undo what makes optimizers slow where there is no GPU.

    Lightning has torch look for GPUs through NVML, which without a GPU is loaded anew each time; and optimizers look at
    every step: some 70 microseconds each time, against 3 without NVML.
    """
    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


def silence_warnings() -> None:
    """Silence what a user can do nothing about."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # which misses a GPU when it compiles
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(lightning|torch|torchmetrics)\..*")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(lightning|torch|torchmetrics|wandb)\..*")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
