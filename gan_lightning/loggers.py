"""Loggers: a CSV file always, Weights & Biases by default."""

from __future__ import annotations

import csv
import logging
import os
import secrets
from argparse import Namespace
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from gan_lightning.utils.files import atomic_write, write_text

log = logging.getLogger(__name__)


class MetricsCSV(Logger):
    """One CSV file that grows: a row an iteration, a column a metric, empty where there was no value.

    Lightning's CSVLogger deletes the file of a directory that is in use already; this one appends to it.
    When the file cannot be written, as on a full disk, that is logged once and training continues.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns: list[str] = read_table(self.path)[0] if self.path.exists() else []
        self._row: dict[str, Any] = {}
        self._saved = True
        self._start: int | None = None  # where in the file the present row stands, or what was written of it
        self._complained = False

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run directory holds the configuration in a file of its own."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add `metrics` to the row of iteration `step`; a row is written when the next one begins, or by `save`."""
        if step != self._row.get("iteration"):
            self.save()
            self._row = {"iteration": step}
            self._start = None if self._saved else self._start
        self._row.update(metrics)
        self._saved = False

    @rank_zero_only
    def save(self) -> None:
        """Write the row that is being filled, in place of what was written of it before."""
        if self._saved:
            return
        try:
            self._put()
            self._saved = True
        except OSError as error:
            if not self._complained:
                log.error(f"{os.path.relpath(self.path)} cannot be written ({error.strerror}): its numbers are lost")
            self._complained = True

    @rank_zero_only
    def forget_after(self, iteration: int) -> None:
        """Drop the rows later than `iteration`, which a run resumed there writes again."""
        if not self.path.exists():
            return
        _, rows = read_table(self.path)
        with self.path.open("rb") as file:
            whole = file.read().endswith(b"\n")
        rows = rows if whole else rows[:-1]  # the run was killed while it wrote the last
        self._write([row for row in rows if int(row["iteration"]) <= iteration])

    def _put(self) -> None:
        if self._start is not None:
            os.truncate(self.path, self._start)
        new = [column for column in self._row if column not in self._columns]
        if new:
            rows = read_table(self.path)[1] if self.path.exists() else []
            self._columns += new
            self._write(rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            self._start = file.tell()
            csv.DictWriter(file, self._columns).writerow(self._row)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    def _write(self, rows: list[dict[str, str]]) -> None:
        """Write all rows under the present columns; no row is ever lost."""
        with atomic_write(self.path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns of ``metrics.csv`` and its rows; the last may be cut off, where a run was killed.

    Raises:
        ValueError: it is not such a file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = list(reader.fieldnames or ())
    except (csv.Error, UnicodeDecodeError):
        columns, rows = [], []
    if rows and rows[-1].get(None) == [""]:
        rows[-1].pop(None)  # of a row that was cut off behind a comma
    if columns[:1] != ["iteration"] or not all(row["iteration"].isdigit() and None not in row for row in rows):
        raise ValueError(f"{path} is no table of numbers by iteration: move it away, and the run begins a new one")
    return columns, rows


class WandB(WandbLogger):
    """Weights & Biases without a prompt for a login, ended with the run.

    Its mode is decided before it starts: WANDB_MODE if that is set, else online; but offline where there is no API key.
    When the service cannot be reached the run is kept offline. The x-axis is the iteration.

    Args:
        project: W&B project.
        save_dir: the folder in which W&B makes its folder `wandb`.
        id_file: where the run's id is kept, for when it is resumed; None makes a new W&B run each time.
        kwargs: for ``wandb.init``: `name` of the run, `entity` (user or team), `group`, `job_type`, `tags`.
    """

    def __init__(self, project: str, save_dir: str | Path, id_file: str | Path | None = None, **kwargs: Any) -> None:
        import wandb

        settings = wandb.Settings(silent=True, init_timeout=30)
        super().__init__(save_dir=str(save_dir), project=project, mode=wandb_mode(), settings=settings, **kwargs)
        del self._wandb_init["anonymous"]  # W&B has dropped it, and says so at every start
        self._id_file = None if id_file is None else Path(id_file)
        self._ended = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, started at the first access."""
        if self._experiment is None:
            import wandb

            Path(self._wandb_init["dir"]).mkdir(parents=True, exist_ok=True)
            if self._id_file is not None:
                self._wandb_init["id"] = kept_id(self._id_file)
            try:
                self._experiment = wandb.init(**self._wandb_init)
            except wandb.errors.Error as error:
                log.warning(f"W&B could not be reached ({str(error).splitlines()[0]}): this run is kept offline")
                self._experiment = wandb.init(**{**self._wandb_init, "mode": "offline"})
            if self.offline_dir:
                log.info(f"W&B is offline; to upload this run later: wandb sync {self.offline_dir}")
            self._experiment.define_metric("iteration")
            self._experiment.define_metric("*", step_metric="iteration")
        return self._experiment

    @property
    def offline_dir(self) -> Path | None:
        """The folder to give to `wandb sync`; None when the run is online, disabled or has not started.

        A run that was resumed has several, which belong together: then it is a pattern that names them all, also those
        that began within one second, to whose names W&B adds a number.
        """
        run = self._experiment
        if run is None or not getattr(run.settings, "_offline", False):
            return None
        folder = Path(run.dir).parent
        pattern = f"offline-run-*-{run.id}*"
        return Path(os.path.relpath(folder.with_name(pattern) if len([*folder.parent.glob(pattern)]) > 1 else folder))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self.experiment.log(dict(metrics) if step is None else {**metrics, "iteration": step})

    @rank_zero_only
    def alert(self, title: str, text: str) -> None:
        """Send a W&B alert to those who subscribe to alerts; a run that is offline sends it when it is uploaded.

        Args:
            title: shown up to 63 characters.
            text: what is wrong.
        """
        self.experiment.alert(title[:63], text, level="WARN")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the W&B run, so that the next job of a sweep gets a run of its own; once, whatever is said later."""
        if self._experiment is not None and not self._ended:
            self._ended = True
            self._experiment.finish(exit_code=0 if status == "success" else 1)


def kept_id(path: Path) -> str:
    """Return the id of a W&B run that `path` holds; a new one is written there where there is none."""
    if not path.exists():
        write_text(path, secrets.token_hex(4) + "\n")
    return path.read_text(encoding="utf-8").strip()


def wandb_mode() -> str:
    """Return WANDB_MODE where it is set, else online; but offline without credentials."""
    wanted = os.environ.get("WANDB_MODE") or "online"
    return "offline" if wanted == "online" and not wandb_credentials() else wanted


def wandb_credentials() -> bool:
    """Return whether W&B would find a key or a token, in the environment or the file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    for path in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            if path and netrc(os.path.expanduser(path)).authenticators(host):
                return True
        except (OSError, NetrcParseError):
            continue
    return False
