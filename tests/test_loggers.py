from __future__ import annotations

import csv
from pathlib import Path

import pytest
import wandb

from gan_lightning.loggers import MetricsCSV, WandB, wandb_mode


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_values_of_one_iteration_share_a_row_and_new_columns_keep_old_rows(tmp_path: Path):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    logger.log_metrics({"loss": 1.5}, step=10)
    logger.log_metrics({"loss": 1.25}, step=20)
    logger.log_metrics({"fid": 9.0}, step=20)
    logger.finalize("success")
    assert rows(tmp_path / "metrics.csv") == [
        {"iteration": "10", "loss": "1.5", "fid": ""},
        {"iteration": "20", "loss": "1.25", "fid": "9.0"},
    ]


def test_a_continued_run_goes_on_where_the_file_ends(tmp_path: Path):
    for step in (1, 2):
        logger = MetricsCSV(tmp_path / "metrics.csv")
        logger.log_metrics({"loss": float(step)}, step=step)
        logger.finalize("success")
    assert [row["iteration"] for row in rows(tmp_path / "metrics.csv")] == ["1", "2"]


@pytest.mark.parametrize(
    ("environment", "key", "expected"),
    [({}, None, "offline"), ({}, "k" * 40, "online"), ({"WANDB_MODE": "disabled"}, "k" * 40, "disabled")],
)
def test_wandb_mode_is_decided_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], key: str | None, expected: str
):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(type(wandb.api), "api_key", property(lambda self: key), raising=False)
    assert wandb_mode() == expected


def test_two_runs_in_one_process_are_two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    runs = []
    for _ in range(2):
        logger = WandB("test", tmp_path, group="sweep")
        logger.log_metrics({"loss": 1.0}, step=5)
        runs.append(logger.experiment.id)
        assert logger.offline_dir is not None
        assert wandb.run is not None
        logger.finalize("success")
        assert wandb.run is None
    assert len(set(runs)) == 2
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2


def test_an_unreachable_service_leaves_the_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("WANDB_MODE", "online")
    start = wandb.init

    def refuse(**settings):
        if settings["mode"] == "online":
            raise wandb.errors.CommError("no network")
        return start(**settings)

    monkeypatch.setattr(wandb, "init", refuse)
    logger = WandB("test", tmp_path)
    with caplog.at_level("INFO"):
        logger.log_metrics({"loss": 1.0}, step=1)
    logger.finalize("success")
    assert "could not be reached (no network)" in caplog.text
    assert "wandb sync" in caplog.text
