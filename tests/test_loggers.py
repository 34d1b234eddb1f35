from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import numpy as np
import pytest
import wandb
from PIL import Image

from gan_lightning.loggers import MetricsCSV, WandB
from gan_lightning.loggers.tensorboard import TensorBoard
from gan_lightning.loggers.weights_and_biases import wandb_mode


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


def test_a_resumed_run_continues_where_the_file_ends(tmp_path: Path):
    for step in (1, 2):
        logger = MetricsCSV(tmp_path / "metrics.csv")
        logger.log_metrics({"loss": float(step)}, step=step)
        logger.finalize("success")
    assert [row["iteration"] for row in rows(tmp_path / "metrics.csv")] == ["1", "2"]


@pytest.mark.parametrize("torn", ["", "5,1", "30,0.5,"])
def test_rows_later_than_a_checkpoint_are_dropped(torn: str, tmp_path: Path):
    """Also the one that the run was writing when it was killed."""
    path = tmp_path / "metrics.csv"
    logger = MetricsCSV(path)
    for step in (10, 20, 30):
        logger.log_metrics({"loss": float(step)}, step=step)
    logger.finalize("success")
    path.write_text(path.read_text() + torn)
    logger = MetricsCSV(path)
    logger.forget_after(20)
    logger.log_metrics({"loss": 0.0, "fid": 1.0}, step=25)
    logger.finalize("success")
    assert [(row["iteration"], row["loss"], row["fid"]) for row in rows(path)] == [
        ("10", "10.0", ""),
        ("20", "20.0", ""),
        ("25", "0.0", "1.0"),
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_numbers_that_cannot_be_written_are_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").touch()
    logger = MetricsCSV(tmp_path / "file" / "metrics.csv")
    for step in (1, 2, 3):
        logger.log_metrics({"loss": 1.0}, step=step)
    logger.finalize("success")
    assert [record.getMessage().endswith("(Not a directory): its numbers are lost") for record in caplog.records]
    assert len(caplog.records) == 1


def test_a_resumed_run_is_one_wandb_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    runs = []
    for status in ("finished", "failed"):
        logger = WandB("test", tmp_path, id_file=tmp_path / "run" / "wandb_run_id")
        logger.log_metrics({"loss": 1.0}, step=5)
        runs.append(logger.experiment.id)
        logger.end(status, {})
        logger.end("failed", {})  # what Lightning says when an exception ends a run that has been stopped well
    assert runs == [(tmp_path / "run" / "wandb_run_id").read_text().strip()] * 2
    other = WandB("test", tmp_path, id_file=tmp_path / "other" / "wandb_run_id")
    assert other.experiment.id != runs[0]
    other.end("finished", {})
    assert str(logger.offline_dir) == f"wandb/offline-run-*-{runs[0]}*"
    last = max(tmp_path.glob(str(logger.offline_dir)))
    last.rename(f"{last.parent / last.name.removesuffix('-1')}-2")  # as W&B names those of the same second
    assert len(list(tmp_path.glob(str(logger.offline_dir)))) == 2


NETRC = "machine api.wandb.ai\n  login user\n  password {}\n".format("k" * 40)


@pytest.mark.parametrize(
    ("environment", "netrc", "expected"),
    [
        ({}, None, "offline"),
        ({}, NETRC, "online"),
        ({}, "not a netrc file", "offline"),
        ({"WANDB_BASE_URL": "https://wandb.example"}, NETRC, "offline"),
        ({"WANDB_API_KEY": "k" * 40}, None, "online"),
        ({"WANDB_MODE": "disabled", "WANDB_API_KEY": "k" * 40}, NETRC, "disabled"),
        ({"WANDB_MODE": "online"}, None, "offline"),
        ({"WANDB_MODE": "online"}, NETRC, "online"),
    ],
)
def test_wandb_mode_is_decided_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], netrc: str | None, expected: str
):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_IDENTITY_TOKEN_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if netrc is not None:
        (tmp_path / ".netrc").write_text(netrc)
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
        logger.end("finished", {})
        assert wandb.run is None
    assert len(set(runs)) == 2
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2


def test_an_unreachable_service_leaves_the_run_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    start = wandb.init

    def refuse(**settings):
        if settings["mode"] == "online":
            raise wandb.errors.CommError("no network")
        return start(**settings)

    monkeypatch.setattr(wandb, "init", refuse)
    logger = WandB("test", tmp_path)
    with caplog.at_level("INFO"):
        logger.log_metrics({"loss": 1.0}, step=1)
    logger.end("finished", {})
    assert "could not be reached (no network)" in caplog.text
    assert "wandb sync" in caplog.text


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_alerts_are_kept_where_they_cannot_be_sent(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_MODE", mode)
    logger = WandB("test", tmp_path)
    logger.alert("a title that is longer than the 63 characters which W&B allows titles to have", "fakes are alike")
    logger.end("finished", {})

    def kept() -> bool:
        return any(b"fakes are alike" in file.read_bytes() for file in tmp_path.rglob("*.wandb"))

    until = time.monotonic() + (20 if mode == "offline" else 0)
    while not kept() and time.monotonic() < until:
        time.sleep(0.1)  # another process writes the file
    assert kept() == (mode == "offline")


def test_a_full_disk_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = WandB("test", tmp_path)
    run = logger.experiment

    def refuse(values: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run, "log", refuse)
    for step in (1, 2):
        logger.log_metrics({"loss": 1.0}, step=step)
    logger.end("finished", {})
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "W&B cannot keep this run (No space left on device): its page will not be complete"
    ]


def test_an_unknown_mode_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(ValueError, match="WANDB_MODE=sometimes is no mode of W&B"):
        wandb_mode()


def test_tensorboard_has_scalars_pictures_and_hyperparameters(tmp_path: Path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = TensorBoard(tmp_path)
    logger.log_hyperparams({"loss": "lsgan", "settings": {"metrics": {"monitor": "val/fid"}, "lr": 1e-3}})
    logger.log_metrics({"val/fid": 2.5}, step=7)
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    logger.log_image("samples", [picture], step=7, caption=["ignored"])
    logger.finalize("success")
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    (scalar,) = events.Scalars("val/fid")
    assert (scalar.step, scalar.value) == (7, 2.5)
    (image,) = events.Images("samples")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(image.encoded_image_string))), picture)
    assert b"lsgan" in events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
