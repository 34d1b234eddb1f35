"""Weights & Biases: online where there is a key, else offline; a run that nothing of it can stop."""

from __future__ import annotations

import logging
import os
import secrets
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import DummyExperiment, rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from gan_lightning.loggers.base import kept_id

log = logging.getLogger(__name__)

INIT_SECONDS = 30
"""To wait for the service at the start, before the run is kept offline."""

LONGEST_TAG, LONGEST_NAME = 64, 128
MODES = {"dryrun": "offline", "run": "online", **{name: name for name in ("online", "offline", "disabled", "shared")}}
"""Values of WANDB_MODE, and what they are called today."""


class WandB(WandbLogger):
    """Weights & Biases without a prompt for a login, ended with the run.

    Its mode is decided before it starts: WANDB_MODE if that is set, else online; but offline where there is no API key.
    When the service cannot be reached the run is kept offline; when it is lost later, or the disk is full, that is
    logged once and training continues. The x-axis is the iteration; `images_seen`, in every row, is offered as another.
    The run's Logs tab has the lines of ``train.log``.

    Args:
        project: W&B project.
        save_dir: the folder in which W&B makes its folder `wandb`.
        id_file: where the run's id is kept, for when it is resumed; None makes a new W&B run each time.
        tags: of the run, beside those that `log_hyperparams` finds.
        upload_timeout: seconds to wait at the end for what is not yet uploaded.
        log_model: upload the checkpoints beside `id_file` as an artifact when the run has finished.
        kwargs: for ``wandb.init``: `name` of the run, `entity` (user or team), `group`, `job_type`.

    Raises:
        ValueError: WANDB_MODE is none of W&B's.
    """

    def __init__(
        self,
        project: str,
        save_dir: str | Path,
        id_file: str | Path | None = None,
        tags: Sequence[str] = (),
        upload_timeout: float = 60,
        log_model: bool = False,
        **kwargs: Any,
    ) -> None:
        import wandb

        settings = wandb.Settings(
            silent=True,
            init_timeout=INIT_SECONDS,
            finish_timeout=upload_timeout,
            finish_timeout_raises=True,
            console="off",  # progress bars are full of escape codes
            capture_loggers={"root": "INFO"},
        )
        if kwargs.get("name"):
            kwargs["name"] = kwargs["name"][:LONGEST_NAME]
        super().__init__(
            save_dir=str(save_dir), project=project, mode=wandb_mode(), settings=settings, tags=list(tags), **kwargs
        )
        del self._wandb_init["anonymous"]  # W&B has dropped it, and says so at every start
        self._id_file = None if id_file is None else Path(id_file)
        self._upload_checkpoints = log_model
        self._ended = self._broken = False
        self._model: Any = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, started at the first access; one that takes anything where it could not be started."""
        if self._experiment is None and not self._broken:
            try:
                self._experiment = self._start()
            except Exception as error:  # W&B's, of its service, or of the disk: there are many kinds
                self._complain(error)
        return DummyExperiment() if self._experiment is None else self._experiment

    def _start(self) -> Any:
        import wandb

        Path(self._wandb_init["dir"]).mkdir(parents=True, exist_ok=True)
        self._wandb_init["id"] = kept_id(self._id_file, secrets.token_hex(4))
        try:
            run = self._experiment = wandb.init(**self._wandb_init)
        except Exception as error:
            if self._wandb_init["mode"] != "online":
                raise
            log.warning(f"W&B could not be reached ({reason(error)}): this run is kept offline")
            logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # which says so once more
            wandb.teardown()  # its service holds the id of the run that was not started
            run = self._experiment = wandb.init(**{**self._wandb_init, "mode": "offline"})
        if self.offline_dir:
            log.info(f"W&B is offline; to upload this run later: wandb sync {self.offline_dir}")
        elif self.url:
            log.info(f"W&B  {self.url}")
        run.define_metric("iteration")
        run.define_metric("images_seen")
        run.define_metric("*", step_metric="iteration")
        return run

    @property
    def url(self) -> str | None:
        """The run's page; None when the run is offline, disabled or has not started."""
        run = self._experiment
        return None if run is None or run.offline or run.disabled else str(run.url)

    @property
    def offline_dir(self) -> Path | None:
        """The folder to give to `wandb sync`; None when the run is online, disabled or has not started.

        A run that was resumed has several, which belong together: then it is a pattern that names them all, also those
        that began within one second, to whose names W&B adds a number.
        """
        run = self._experiment
        if run is None or run.disabled or not run.offline:
            return None
        folder = Path(run.dir).parent
        pattern = f"offline-run-*-{run.id}*"
        return Path(os.path.relpath(folder.with_name(pattern) if len([*folder.parent.glob(pattern)]) > 1 else folder))

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Keep `params` as the run's config; its data, model, loss, experiment and debug are tags."""
        given = dict(params) if isinstance(params, Mapping) else vars(params)
        if self._experiment is None:
            words = [str(given[key]) for key in ("data", "model", "loss", "experiment", "debug") if given.get(key)]
            tags = [tag[:LONGEST_TAG] for tag in (*self._wandb_init["tags"], *words)]
            self._wandb_init["tags"] = list(dict.fromkeys(tags))
        self._attempt(lambda: self.experiment.config.update(given, allow_val_change=True))

    def log_graph(self, model: Any, *args: Any, **kwargs: Any) -> None:
        """Keep the model, which Lightning hands over at the start, for the images that it has seen."""
        self._model = model

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        row = {key: value for key, value in metrics.items() if key != "images"}  # in every row, as images_seen
        if step is not None:
            row["iteration"] = step
        if "images" in metrics or self._model is not None:
            row["images_seen"] = metrics.get("images", getattr(self._model, "images", None))
        self._attempt(lambda: self.experiment.log(row))

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        self._attempt(lambda: super(WandB, self).log_image(key, images, step, **kwargs))

    @rank_zero_only
    def log_video(self, key: str, videos: list[Any], step: int | None = None, **kwargs: Any) -> None:
        self._attempt(lambda: super(WandB, self).log_video(key, videos, step, **kwargs))

    @rank_zero_only
    def alert(self, title: str, text: str) -> None:
        """Send a W&B alert to those who subscribe to alerts; a run that is offline sends it when it is uploaded.

        Args:
            title: shown up to 63 characters.
            text: what is wrong.
        """
        self._attempt(lambda: self.experiment.alert(title[:63], text, level="WARN"))

    def finalize(self, status: str) -> None:
        """Do nothing: the run is ended by `end`, when its result is known."""

    @rank_zero_only
    def end(self, status: str, summary: Mapping[str, Any]) -> None:
        """See `RunLogger`. The next job of a sweep gets a W&B run of its own."""
        if self._experiment is None or self._ended:
            return
        self._ended = True
        run = self._experiment
        self._attempt(lambda: run.summary.update({"status": status, **summary}))
        if status == "finished" and self._upload_checkpoints and (file := self._id_file) is not None:
            self._attempt(lambda: self._log_checkpoints(file.parent))
        try:
            self._experiment.finish(exit_code=1 if status == "failed" else 0)
        except TimeoutError:
            folder = os.path.relpath(Path(self._experiment.dir).parent)
            log.warning(f"W&B has not taken all of this run in time; to upload the rest: wandb sync {folder}")
        except Exception as error:
            self._complain(error)

    def _log_checkpoints(self, directory: Path) -> None:
        import wandb

        assert self._experiment is not None  # `end` sees to it
        artifact = wandb.Artifact(f"checkpoints-{self._experiment.id}", type="model")
        for path in directory.glob("checkpoints/*.ckpt"):
            artifact.add_file(str(path))
        self._experiment.log_artifact(artifact)

    def _attempt(self, action: Callable[[], object]) -> None:
        """Do what W&B may refuse, as on a full disk, where it is no reason to stop training."""
        if self._broken:
            return
        try:
            action()
        except Exception as error:  # its service, its files and the network raise many kinds
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._broken:
            log.error(f"W&B cannot keep this run ({reason(error)}): its page will not be complete")
        self._broken = True


def reason(error: Exception) -> str:
    """Return what went wrong, in a line."""
    return getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__


def wandb_mode() -> str:
    """Return WANDB_MODE where it is set, else online; but offline without credentials.

    Raises:
        ValueError: it is none of W&B's modes.
    """
    wanted = os.environ.get("WANDB_MODE") or "online"
    if wanted not in MODES:
        raise ValueError(f"WANDB_MODE={wanted} is no mode of W&B: choose online, offline or disabled")
    mode = MODES[wanted]
    return "offline" if mode == "online" and not wandb_credentials() else mode


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
