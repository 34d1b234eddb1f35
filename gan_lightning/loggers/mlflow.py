"""MLflow: numbers, pictures and parameters in a database of this machine, or on a server."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities import rank_zero_only

from gan_lightning.utils.conf import leaves
from gan_lightning.utils.files import write_text

TAGS = ("data", "model", "loss", "experiment", "debug")
LONGEST = 500
"""Characters of a parameter's value that MLflow takes on any server."""
STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}
"""How a run ended, in MLflow's words; all else is FAILED."""


class MLflow(MLFlowLogger):
    """A run of MLflow, which a resumed run continues.

    Args:
        tracking_uri: ``sqlite:///`` and a file, or the address of a server.
        artifacts: folder of the pictures where the runs are in a file.
        experiment: of MLflow.
        id_file: where the run's id is kept, for when it is resumed.
        name: of the run.
        group: the sweep that it is a job of, its tag `group`.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
    """

    url = None
    """Of a page; where ``mlflow ui`` serves it is not known here."""

    def __init__(
        self,
        tracking_uri: str,
        artifacts: str | Path,
        experiment: str,
        id_file: str | Path,
        name: str,
        group: str | None = None,
    ) -> None:
        if find_spec("mlflow") is None:
            raise ModuleNotFoundError('logger=mlflow needs MLflow: pip install "gan_lightning[mlflow]"')
        for noisy in ("alembic", "mlflow.store.db.utils", "lightning.pytorch.loggers.mlflow"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self._id_file = Path(id_file)
        local = tracking_uri.startswith("sqlite:///")
        if local:
            Path(tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        super().__init__(
            experiment,
            tracking_uri=tracking_uri,
            run_name=name,
            tags={"group": group} if group else {},
            artifact_location=Path(artifacts).absolute().as_uri() if local else None,
            run_id=self._id_file.read_text(encoding="utf-8").strip() if self._id_file.is_file() else None,
        )

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Keep `params` by dotted key; a resumed run's first values stay, as MLflow changes none."""
        from mlflow.entities import Param, RunTag

        tree = dict(params) if isinstance(params, Mapping) else vars(params)
        client, run = self.experiment, self.run_id
        write_text(self._id_file, f"{run}\n")
        known = client.get_run(run).data.params
        flat = {key: str(value)[:LONGEST] for key, value in leaves(tree)}
        new = [Param(key, value) for key, value in flat.items() if key not in known]
        for start in range(0, len(new), 100):  # as many as MLflow takes at once
            client.log_batch(run, params=new[start : start + 100])
        client.log_batch(run, tags=[RunTag(key, str(tree[key])) for key in TAGS if tree.get(key)])
        client.update_run(run, status="RUNNING")

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Write pictures, (height, width, 3), 8 bits each."""
        for number, picture in enumerate(images):
            self.experiment.log_image(self.run_id, picture, f"{key}/{step or 0:06d}_{number}.png")

    def finalize(self, status: str = "success") -> None:
        """Do nothing: the run is ended by `end`, when its result is known."""

    @rank_zero_only
    def end(self, status: str, summary: Mapping[str, Any]) -> None:
        """See `RunLogger`. Numbers of the summary become metrics, words tags."""
        if not self._initialized:
            return
        for key, value in {"status": status, **summary}.items():
            if isinstance(value, (int, float)):
                self.experiment.log_metric(self.run_id, key, value)
            elif value is not None:
                self.experiment.set_tag(self.run_id, key, value)
        self.experiment.set_terminated(self.run_id, STATUS.get(status, "FAILED"))
