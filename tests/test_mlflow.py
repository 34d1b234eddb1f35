from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate

from gan_lightning.loggers import mlflow as own
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.instantiation import user_errors

MADE = {"_target_": "gan_lightning.loggers.mlflow.MLflow", "experiment": "gans", "name": "first", "group": "losses"}


def logger(folder: Path) -> own.MLflow:
    places = {"tracking_uri": f"sqlite:///{folder}/kept/mlflow.db", "artifacts": str(folder / "pictures")}
    with user_errors():
        made: own.MLflow = instantiate({**MADE, **places, "id_file": str(folder / "mlflow_run_id")})
        return made


def test_a_missing_package_is_one_sentence_that_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(own, "find_spec", lambda name: None)
    with pytest.raises(UserError) as raised:
        logger(tmp_path)
    assert str(raised.value) == 'logger=mlflow needs MLflow: pip install "gan_lightning[mlflow]"'


def test_a_run_is_kept_with_numbers_pictures_and_its_end_and_continued(tmp_path: Path):
    pytest.importorskip("mlflow")
    description = {"loss": "lsgan", "data": "ring", "settings": {"optimizer": {"lr": 0.1}, "note": None}}
    first = logger(tmp_path)
    first.log_hyperparams(description)
    first.log_metrics({"val/fid": 9.0}, step=10)
    first.log_image("samples", [np.zeros((4, 6, 3), np.uint8)], step=10)
    first.finalize("success")
    first.end("interrupted", {"best": 9.0, "health": "fine", "error": None})

    again = logger(tmp_path)
    again.log_hyperparams({**description, "settings": {"optimizer": {"lr": 0.1}, "note": "longer", "new": 1}})
    again.log_metrics({"val/fid": 7.0}, step=20)
    again.end("finished", {"best": 7.0})
    again.finalize("failed")  # says nothing after that

    assert first.run_id == again.run_id
    client = again.experiment
    run = client.get_run(again.run_id)
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert run.data.params["settings.optimizer.lr"] == "0.1" and run.data.params["settings.new"] == "1"
    assert run.data.params["settings.note"] == "None", "the first value stays"
    tags = {"loss": "lsgan", "data": "ring", "group": "losses", "status": "finished", "health": "fine"}
    assert tags.items() <= run.data.tags.items()
    history = client.get_metric_history(again.run_id, "val/fid")
    assert [(number.step, number.value) for number in history] == [(10, 9.0), (20, 7.0)]
    assert run.data.metrics["best"] == 7.0
    assert [file.path for file in client.list_artifacts(again.run_id, "samples")] == ["samples/000010_0.png"]
    assert list((tmp_path / "pictures").rglob("000010_0.png"))
