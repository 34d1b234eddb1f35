"""A trial of a search that is worse than others were at its iteration ends early."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.callbacks.periodic import Periodic
from gan_lightning.gan import GAN
from gan_lightning.utils.distributed import run_on_rank_zero

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

LOCK_SECONDS = 15
"""After so many seconds the lock of a study is taken from a process that was killed as it held it."""

STUDY = "search"
"""The name of the study in its file."""

TRIAL_FILE = "trial.json"
"""In the run directory: ``journal``, the study's file; ``trial_id``; and ``first_step``, added to the iteration."""


class Pruning(Periodic, Checkpoint):
    """Reports the monitored metric to an Optuna study after each evaluation, and ends the run where its pruner says so.

    Lightning calls a callback of its `Checkpoint` kind after all others, and so after the evaluation.

    The run must have a `TRIAL_FILE`, which the search writes; without one nothing is done.

    Args:
        every: iterations between two evaluations.
        pruner: of Optuna, such as `optuna.pruners.MedianPruner`.

    Attributes:
        reason: why the run has ended early; None as long as it has not.
    """

    def __init__(self, every: int, pruner: Any) -> None:
        super().__init__(every)
        self.pruner = pruner
        self.reason: str | None = None

    def run(self, trainer: Trainer, gan: GAN) -> None:
        file = Path(trainer.default_root_dir) / TRIAL_FILE
        evaluation = next(part for part in getattr(trainer, "callbacks", []) if isinstance(part, Evaluation))
        value = gan.metrics.get(str(evaluation.monitor), math.nan)
        if not file.is_file() or math.isnan(value) or gan.iterations >= gan.max_iterations:
            return
        trial_file = file.read_bytes()
        if run_on_rank_zero(lambda: self.is_hopeless(json.loads(trial_file), gan.iterations, value)):
            measured = f"{evaluation.monitor} {value:.4g}"
            self.reason = f"pruned at iteration {gan.iterations}: {measured} is worse than in others"
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do nothing: the search reads the last value from ``result.json``."""

    def is_hopeless(self, trial_file: dict[str, Any], iteration: int, value: float) -> bool:
        """Report `value` to the study and return whether the pruner would end the trial."""
        import optuna

        storage = study_storage(Path(trial_file["journal"]))
        study = optuna.load_study(study_name=STUDY, storage=storage, pruner=self.pruner)
        trial = optuna.trial.Trial(study, trial_file["trial_id"])
        trial.report(value, trial_file["first_step"] + iteration)
        return trial.should_prune()


def study_storage(journal: Path) -> JournalStorage:
    """Return the study kept in a file, which several processes may read and write.

    Optuna's default lock, a symbolic link, never ends for a path that is relative, once its owner was killed.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    return JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal), LOCK_SECONDS)))
