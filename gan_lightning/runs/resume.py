"""The point at which a run starts: the beginning, or a checkpoint with the files that its run has left."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning import Trainer
from omegaconf import DictConfig

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.callbacks.health import Health
from gan_lightning.callbacks.stop import Stop, stop_reason
from gan_lightning.gan import GAN
from gan_lightning.loggers import MetricsCSV, read_table
from gan_lightning.runs.checkpoints import read_checkpoint
from gan_lightning.runs.optimizer_state import flaw_of_optimizers
from gan_lightning.runs.resume_policy import refuse_changes
from gan_lightning.runs.run_dir import checkpoint_of, read_config
from gan_lightning.runs.safe_targets import plain_settings
from gan_lightning.trainer.ranks import started_as_rank_zero
from gan_lightning.utils.conf import plain
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import read_json, write_json


class ResumePoint:
    """The checkpoint that a run starts from, if any; nothing is written before `restore_run_files`.

    Args:
        config: of the run.
        directory: of the run.

    Attributes:
        checkpoint: that training resumes from; None at the beginning.
        in_place: the run resumes in its own directory.
        iterations: made before.
        discriminator_updates: made before.
        stopped: why the run has ended before its budget and still would; None if it has not.
        over: the run that `resume=auto` found has reached its budget, or was stopped.

    Raises:
        UserError: the checkpoint was made with other settings, has reached the budget or cannot be read; or the
            directory holds another run.
    """

    def __init__(self, config: DictConfig, directory: Path) -> None:
        own = directory / "checkpoints" / "last.ckpt"
        self.directory = directory
        self.checkpoint = checkpoint_to_start_from(config, own)
        self.in_place = self.checkpoint is not None and own.is_file()
        self.iterations = self.discriminator_updates = 0
        self.over = False
        self.stopped: str | None = None
        self._content: dict[str, Any] = {}
        if self.checkpoint is None:
            return
        self._content = read_checkpoint(self.checkpoint)
        settings = plain_settings(self._content["hyper_parameters"], self.checkpoint)
        refuse_changes(self.checkpoint, settings, config)
        self.iterations, self.discriminator_updates = (
            self._content["game"][counter] for counter in ("iterations", "discriminator_updates")
        )
        why, way_out = f"has made {self.iterations} iterations", "choose a larger max_iterations"
        if self.iterations < config.max_iterations:
            self.stopped, way_out = self._stopped(config, settings)
            why = f"has stopped: {self.stopped}"
        self.over = self.iterations >= config.max_iterations or self.stopped is not None
        if self.over and config.resume is None:
            raise UserError(f"{self.checkpoint} {why}: {way_out}")

    def _stopped(self, config: DictConfig, settings: Mapping[str, Any]) -> tuple[str | None, str]:
        """Return why the run has ended before its budget and still would, None if it would not; and the way out.

        Args:
            config: of now.
            settings: of the checkpoint.
        """
        counts = self._content["callbacks"].get(Stop.__qualname__, {})
        try:
            now, then = (stop_reason(**part["stop"], **counts) for part in (config, settings))
        except TypeError as problem:
            error = f"the state of its callbacks is damaged: {counts!r:.40}"
            raise UserError(f"{self.checkpoint} cannot be restored ({error}): give another ckpt_path") from problem
        foreign = foreign_callbacks(settings["callbacks"])
        if now or then or not foreign or not self.in_place or foreign != foreign_callbacks(plain(config)["callbacks"]):
            return now, "choose a larger value of that key, or null"
        result = read_json(self.directory / "result.json") or {}
        ended = result.get("stopped") if result.get("status") == "finished" else None
        return ended, f"leave out what ended it, {' '.join(f'+callbacks.{name}=null' for name in foreign)}"

    def restore_run_files(self, gan: GAN, trainer: Trainer) -> None:
        """Bring the run's files to where the checkpoint is: its rows of ``metrics.csv``, and its best checkpoint.

        Raises:
            UserError: `gan` has other networks or optimizers than the checkpoint, or would be trained in another
                precision.
        """
        if self.checkpoint is None:
            forget_rows(trainer, -1)  # of a start that was stopped before it saved
            return
        shapes = {name: weight.shape for name, weight in self._content["state_dict"].items()}
        if shapes != {name: weight.shape for name, weight in gan.state_dict().items()}:
            raise UserError(f"{self.checkpoint} has other networks than these settings: leave out what changes them")
        if flaw := flaw_of_optimizers(self._content["optimizer_states"], gan.configure_optimizers()[0]):
            raise UserError(f"{self.checkpoint} cannot be restored ({flaw}): give another ckpt_path")
        before, now = self._content.get("precision"), str(trainer.precision)
        if before not in (None, now):
            raise UserError(
                f"{self.checkpoint} was trained with trainer.precision={before}, and a resumed run keeps it: "
                f"choose that instead of {now}"
            )
        forget_rows(trainer, self.iterations)
        if trainer.is_global_zero and not self.in_place:
            self._copy_best(self.checkpoint.with_name("best.ckpt"))
        self._content = {}

    def _copy_best(self, best: Path) -> None:
        """Copy `best` into a new run, if it is the best that the checkpoint knows of."""
        when = self._content["callbacks"].get(Evaluation.__qualname__, {}).get("best_iteration")
        if best.is_file() and when is not None and read_checkpoint(best)["game"]["iterations"] == when:
            (self.directory / "checkpoints").mkdir(parents=True, exist_ok=True)
            shutil.copy2(best, self.directory / "checkpoints" / best.name)

    def result(self) -> dict[str, Any]:
        """Return the ``result.json`` of a run that is over, written now if it was killed before that."""
        path = self.directory / "result.json"
        known = read_json(path) or {}
        if known.get("status") != "finished":
            state = self._content["callbacks"].get(Evaluation.__qualname__, {})
            monitor = self._content["hyper_parameters"]["metrics"]["monitor"]
            best = {} if state.get("best") is None else {monitor: state["best"], "iteration": state["best_iteration"]}
            known = {"status": "finished", "error": None, "seconds": None, **self._content["game"]}
            known |= {"monitor": monitor, "final": last_metrics(self.directory / "metrics.csv"), "best": best}
            known |= {"stopped": self.stopped}
            known |= {"final_iteration": state.get("last_iteration"), "protocol": state.get("protocol")}
            known |= {"health": self._content["callbacks"].get(Health.__qualname__, {}).get("records", [])}
            if started_as_rank_zero():
                write_json(path, known)
        return known


def checkpoint_to_start_from(config: DictConfig, own: Path) -> Path | None:
    """Return the checkpoint that `config` resumes from, if any; `own` is the last one of the run's directory.

    Raises:
        UserError: there is none where it names one, or the directory holds another run.
    """
    if config.resume == "auto" and own.is_file():
        return own
    start = checkpoint_of(config.ckpt_path) if config.ckpt_path else None
    if started_as_rank_zero() and own.is_file() and (start is None or not start.samefile(own)):
        run = own.parent.parent
        raise UserError(
            f"{run} holds a run already, which would be overwritten: resume it with ckpt_path={run} or resume=auto, "
            "or choose another directory"
        )
    if started_as_rank_zero() and not own.is_file():
        refuse_unsaved_run(own.parent.parent, config)
    return start


def foreign_callbacks(callbacks: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `callbacks`, by name, that are not of this package, such as Lightning's EarlyStopping."""
    own = "gan_lightning.callbacks."
    return {name: part for name, part in callbacks.items() if part and not str(part.get("_target_")).startswith(own)}


def refuse_unsaved_run(directory: Path, config: DictConfig) -> None:
    """Refuse a directory with the numbers of a run that saved no checkpoint, unless `config` begins that run again.

    Raises:
        UserError: then.
    """
    numbers, settings = directory / "metrics.csv", directory / "config.yaml"
    if not numbers.is_file() or not numbers.stat().st_size:
        return
    if config.resume != "auto" or config.ckpt_path or not settings.is_file():
        raise UserError(
            f"{directory} holds a run that saved no checkpoint, and its metrics.csv would be overwritten: begin that "
            "run again with resume=auto, or choose another directory with hydra.run.dir="
        )
    refuse_changes(settings, plain(read_config(directory)), config)


def forget_rows(trainer: Trainer, after: int) -> None:
    """Drop the rows of ``metrics.csv`` of iterations later than `after`, which are played again."""
    for logger in trainer.loggers:
        if isinstance(logger, MetricsCSV):
            logger.forget_after(after)


def last_metrics(path: Path) -> dict[str, float]:
    """Return the newest value of each metric that ``metrics.csv`` holds."""
    found: dict[str, float] = {}
    for row in read_table(path)[1] if path.is_file() else []:
        for name, text in row.items():
            if text and name.startswith("val/"):
                with suppress(ValueError):
                    found[name] = float(text)
    return found
