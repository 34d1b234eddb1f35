"""Train a GAN from its configuration: build its parts, fit them, and write down how that ended."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, NoReturn

import torch
from hydra.utils import instantiate
from lightning import Callback, LightningDataModule, Trainer, seed_everything
from lightning.pytorch import callbacks as lightning_callbacks
from omegaconf import DictConfig

from gan_lightning.callbacks.checkpoint import NotSavedError
from gan_lightning.callbacks.evaluation import Evaluation, evaluated
from gan_lightning.callbacks.health import DivergedError, Health
from gan_lightning.callbacks.stop import why_ended_early
from gan_lightning.data.decode import UnreadableImageError
from gan_lightning.diagnostics.finite import not_finite
from gan_lightning.gan import GAN
from gan_lightning.runs.init_weights import start_from
from gan_lightning.runs.lock import one_writer
from gan_lightning.runs.logged import description, end_loggers, run_url
from gan_lightning.runs.many_seeds import train_seeds
from gan_lightning.runs.report import print_report
from gan_lightning.runs.resume import ResumePoint
from gan_lightning.runs.run_dir import write_result, write_start
from gan_lightning.runs.start_block import log_start
from gan_lightning.trainer.hardware import configure_hardware, trainer_settings
from gan_lightning.trainer.launcher import RankDiedError
from gan_lightning.trainer.ranks import kept_environment, started_as_rank_zero
from gan_lightning.utils.conf import plain
from gan_lightning.utils.errors import UserError, WorkError
from gan_lightning.utils.files import read_json
from gan_lightning.utils.instantiation import user_errors
from gan_lightning.utils.log_handler import as_lines, file_log
from gan_lightning.utils.stop_signals import Interrupted

log = logging.getLogger(__name__)


def train(
    config: DictConfig, directory: Path, overrides: Sequence[str] = (), *, report: bool = False
) -> dict[str, Any]:
    """Train the GAN that `config` describes, or resume its training, and fill its run directory.

    Args:
        config: the composed configuration, see conf/train.yaml.
        directory: of the run.
        overrides: that `config` was composed with, as they were typed; kept in ``overrides.yaml``.
        report: print at the end what was reached and where it lies.

    Returns:
        The content of ``result.json``.

    Raises:
        UserError: the parts cannot be built from `config`, or the run cannot be resumed with it.
        WorkError: training could not be brought to its end.
        Interrupted: a signal has ended it.
    """
    silence_warnings()
    ask_for_gpus_once()
    trainer: Trainer | None = None
    with kept_environment():
        try:
            with one_writer(directory) if started_as_rank_zero() else nullcontext():
                start = ResumePoint(config, directory)
                if start.over:
                    return already_finished(start)
                if config.seeds is not None:
                    return train_seeds(config, overrides, start, report=report)
                datamodule, gan, trainer = prepare(plain(config), overrides, start)
                result = fit(trainer, gan, datamodule, start)
        except UserError:
            with suppress(OSError):
                directory.rmdir()  # empty, if it was made for the lock alone
            raise
        except Interrupted as interrupted:
            log.warning(interrupted.report)
            if trainer is not None and trainer.world_size > 1:
                exit_now(interrupted.code)
            raise
    if trainer is not None and trainer.is_global_zero:
        file_log.info("\n".join([f"{result['status']}: {result['iterations']} iterations", *as_lines(result["final"])]))
        if report:
            print_report(result, directory, trainer)
    return result


def already_finished(start: ResumePoint) -> dict[str, Any]:
    """Log that a run has nothing left to do; return its result."""
    if started_as_rank_zero():
        why = f"has stopped: {start.stopped}" if start.stopped else f"has made its {start.iterations} iterations"
        log.info(f"{os.path.relpath(start.directory)} {why}: nothing to do")
    return start.result()


def prepare(
    settings: Mapping[str, Any], overrides: Sequence[str], start: ResumePoint
) -> tuple[LightningDataModule, GAN, Trainer]:
    """Build the parts of a run, then write what it starts with; a UserError if they cannot be built."""
    first = started_as_rank_zero()
    try:
        with user_errors():
            datamodule, gan, trainer = build(settings, start.directory)
            start_from(gan, settings, resuming=start.checkpoint is not None)
            start.restore_run_files(gan, trainer)
    except UserError as error:
        if first and not start.in_place:
            write_result(start.directory, {"status": "failed", "error": str(error)})
        raise
    if first:
        try:
            write_start(start.directory, settings, overrides)
        except OSError as error:
            raise UserError(
                f"{start.directory} cannot be written ({error.strerror}): make room, or give hydra.run.dir=<folder>"
            ) from error
    described = description(settings, overrides, gan, trainer)
    for logger in trainer.loggers:
        logger.log_hyperparams(described)
    if first:
        samples = getattr(datamodule, "training_size", None)
        log_start(settings, gan, trainer, samples, start.directory, start.iterations)
        if settings.get("note"):
            log.info(settings["note"])
    return datamodule, gan, trainer


def build(settings: Mapping[str, Any], directory: Path) -> tuple[LightningDataModule, GAN, Trainer]:
    """Build the data module with its data at hand, the GAN and the trainer.

    Args:
        settings: the configuration as nested dicts and lists, every interpolation filled in.
        directory: of the run.
    """
    seed_everything(settings["seed"], verbose=False)
    datamodule = instantiate(settings["data"], _convert_="all")
    datamodule.prepare_data()
    datamodule.setup("fit")
    gan = instantiate(settings["gan"], _convert_="all")
    gan.prior.prepare(datamodule.label_counts())
    gan.save_hyperparameters(dict(settings), logger=False)
    callbacks: list[Callback] = [
        *configure_hardware(gan, settings["trainer"]),
        *(part for part in instantiate(settings["callbacks"], _convert_="all").values() if part),
    ]
    refuse_unmeasured(callbacks)
    trainer = Trainer(
        **trainer_settings(settings["trainer"], settings["data"]["shape"], directory),
        default_root_dir=directory,
        callbacks=callbacks,
        logger=[part for part in instantiate(settings["logger"], _convert_="all").values() if part],
        max_epochs=-1,  # training ends at a budget of its own, gan.max_iterations
        limit_val_batches=0,
        # The rhythm of evaluations, so that EarlyStopping and ModelCheckpoint act after them and not after epochs.
        val_check_interval=settings["evaluate_every"],
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        # Lightning adds its own to none, and wants none where this is False.
        enable_checkpointing=any(isinstance(part, lightning_callbacks.Checkpoint) for part in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    return datamodule, gan, trainer


def refuse_unmeasured(callbacks: Sequence[Callback]) -> None:
    """Raise a ValueError for a callback, such as EarlyStopping, that monitors a metric which is not measured."""
    keys = [key for part in callbacks if isinstance(part, Evaluation) for key in part.evaluator.keys]
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if not keys and type(callback).__module__.startswith("gan_lightning."):
            continue  # without evaluations they have nothing to show or to compare
        if str(monitor).startswith("val/") and str(monitor).removesuffix("_best") not in keys:
            known = f"choose from {', '.join(keys)}" if keys else "choose metrics"
            raise ValueError(f"{type(callback).__name__} monitors {monitor}, which is not measured: {known}")


def fit(trainer: Trainer, gan: GAN, datamodule: LightningDataModule, start: ResumePoint) -> dict[str, Any]:
    """Fit, write ``result.json`` however it ends, and return its content."""
    started = time.monotonic()
    status, error, stopped = "failed", None, None
    before = write_running(trainer, gan, start) if trainer.is_global_zero else None
    try:
        trainer.fit(gan, datamodule, ckpt_path=start.checkpoint)
        status = "finished"
        stopped = why_ended_early(getattr(trainer, "callbacks", []), gan)
        if stopped is not None:
            log.info(f"stopped after {gan.iterations} of {gan.max_iterations} iterations: {stopped}")
    except (KeyboardInterrupt, SystemExit):
        status = "interrupted"
        raise
    except (NotSavedError, RankDiedError, DivergedError) as problem:
        error = str(problem)
        raise WorkError(error) from problem
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"
        if was_restoring(problem):
            raise UserError(f"{start.checkpoint} cannot be restored ({error}): give another ckpt_path") from problem
        if isinstance(problem, (ValueError, OSError)) and gan.discriminator_updates == start.discriminator_updates:
            raise UserError(str(problem)) from problem  # the parts do not fit: raised before the first update
        if isinstance(problem, UnreadableImageError):
            error = str(problem)
            raise WorkError(error) from problem
        if (
            isinstance(problem, Exception)
            and gan.discriminator_updates > start.discriminator_updates
            and (diverged := not_finite(gan))
        ):
            error = f"diverged: at iteration {gan.iterations} {diverged} is not finite ({error})"
            raise WorkError(error) from problem  # raised by a part that met such numbers, as a metric
        raise
    finally:
        result = {"status": status, "error": error, "seconds": time.monotonic() - started, **summarize(trainer, gan)}
        result |= {"stopped": stopped, "url": run_url(trainer)}
        untouched = start.in_place and status == "failed" and gan.discriminator_updates <= start.discriminator_updates
        if trainer.is_global_zero:
            write_result(start.directory, before if before and untouched else result)
        end_loggers(trainer, result)
    return result


def write_running(trainer: Trainer, gan: GAN, start: ResumePoint) -> dict[str, Any] | None:
    """Write that the run is in progress; return what ``result.json`` said before, None where there was none.

    With the heartbeat of ``run.lock`` it tells a run in progress from one that was killed, see `status_of`.
    """
    before = read_json(start.directory / "result.json")
    known = {**summarize(trainer, gan), "iterations": start.iterations}
    write_result(start.directory, {"status": "running", "error": None, "seconds": None, **known})
    return before


def was_restoring(problem: BaseException) -> bool:
    """Return whether an exception was raised as Lightning read the content of a checkpoint."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(problem.__traceback__)]
    return any(file.endswith("checkpoint_connector.py") for file in files) and isinstance(problem, Exception)


def exit_now(code: object) -> NoReturn:
    """End this process at once: the other ranks are gone, and closing the connection to them might wait for ever."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def summarize(trainer: Trainer, gan: GAN) -> dict[str, Any]:
    """Return what was reached: counters, the last metrics and the best; and what was wrong."""
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])  # not declared by its type
    evaluation = next((part for part in callbacks if isinstance(part, Evaluation)), None)
    health = next((part for part in callbacks if isinstance(part, Health)), None)
    return {
        "iterations": gan.iterations,
        "discriminator_updates": gan.discriminator_updates,
        "images": gan.images,
        "classes": getattr(getattr(trainer, "datamodule", None), "class_names", None),
        "final": dict(gan.metrics),
        **evaluated(evaluation),
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
    """Silence warnings that a user can do nothing about."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it misses a GPU when it compiles
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(lightning|torch|torchmetrics)\..*")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(lightning|torch|torchmetrics|wandb)\..*")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
