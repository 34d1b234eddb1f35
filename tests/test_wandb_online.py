"""Runs with a key, against services on loopback that take them, refuse, fail, do not answer, or are not there."""

from __future__ import annotations

import io
import json
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import wandb
from helpers.run_script import TINY, run_script
from helpers.wandb_files import history, records, wandb_files
from helpers.wandb_service import closed_port, taking_service, wandb_service
from PIL import Image

from gan_lightning.loggers import WandB, weights_and_biases


def test_a_service_is_sent_the_run_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its config, rows, pictures to the pixel, summary and end."""
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    wandb.teardown()  # its service knows the address from its own start
    picture = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    with taking_service() as service:
        monkeypatch.setenv("WANDB_BASE_URL", service.address)
        logger = WandB("gans", tmp_path, id_file=tmp_path / "wandb_run_id", name="loss=lsgan,seed=0", group="losses")
        logger.log_hyperparams({"loss": "lsgan", "settings": {"optimizer": {"lr": 0.5}}})
        logger.log_metrics({"val/fid": 9.0, "images": 640}, step=10)
        logger.log_image("samples", [picture], step=10)
        run = (tmp_path / "wandb_run_id").read_text().strip()
        assert logger.url == f"{service.address}/tester/gans/runs/{run}"
        logger.end("finished", {"best": 9.0})
    wandb.teardown()
    first = service.runs[0]
    assert (first["name"], first["displayName"], first["groupName"]) == (run, "loss=lsgan,seed=0", "losses")
    assert "lsgan" in first["tags"]
    config = {
        key: part["value"]
        for sent in service.runs
        if sent["config"]
        for key, part in json.loads(sent["config"]).items()
    }
    assert (config["loss"], config["settings"]["optimizer"]) == ("lsgan", {"lr": 0.5})
    row = {"val/fid": 9.0, "iteration": 10, "images_seen": 640}
    assert any(row.items() <= sent.items() for sent in service.history(run))
    (image,) = (content for name, content in service.files.items() if name.startswith("media/images/samples"))
    assert (np.asarray(Image.open(io.BytesIO(image))) == picture).all()
    summary = json.loads(service.files["wandb-summary.json"])
    assert (summary["status"], summary["best"], summary["val/fid"]) == ("finished", 9.0, 9.0)


@pytest.mark.parametrize(
    "answer", [401, pytest.param(500, marks=pytest.mark.slow), pytest.param(None, marks=pytest.mark.slow), "closed"]
)
def test_a_service_that_does_not_take_the_run_leaves_it_offline(
    answer: int | str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(weights_and_biases, "INIT_SECONDS", 3)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    wandb.teardown()  # its service knows the address from its own start
    with nullcontext(closed_port()) if isinstance(answer, str) else wandb_service(answer) as address:
        monkeypatch.setenv("WANDB_BASE_URL", address)
        logger = WandB("test", tmp_path, id_file=tmp_path / "wandb_run_id")
        logger.log_metrics({"loss": 1.5}, step=1)
        assert logger.url is None and logger.offline_dir is not None
        logger.end("finished", {})
    wandb.teardown()
    (file,) = (file for file in wandb_files(tmp_path) if file.parent.name.startswith("offline-run-"))
    assert [row["loss"] for row in history(file)] == [1.5]
    assert records(file, "run")[0]["run_id"] == (tmp_path / "wandb_run_id").read_text().strip()
    said = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert len([line for line in said if "W&B could not be reached" in line]) == 1
    assert not [line for line in said if "cannot keep" in line]


@pytest.mark.slow
@pytest.mark.parametrize("answer", [401, None, "closed"])
def test_training_ends_well_without_the_service(answer: int | str | None, tmp_path: Path):
    began = time.monotonic()
    with nullcontext(closed_port()) if isinstance(answer, str) else wandb_service(answer) as address:
        done = run_script(tmp_path, "train.py", *TINY, WANDB_BASE_URL=address, WANDB_API_KEY="k" * 40)
    assert done.returncode == 0, done.stderr
    assert "finished: 6 iterations" in done.stdout
    assert done.stderr.count("W&B could not be reached") == 1
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < 90  # half a minute of which is a slow machine's own
    assert wandb_files(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline", "dryrun", "disabled"])
def test_every_mode_trains_without_a_key(mode: str, tmp_path: Path):
    done = run_script(tmp_path, "train.py", *TINY, WANDB_MODE=mode)
    assert done.returncode == 0, done.stderr
    assert len(wandb_files(tmp_path)) == (mode != "disabled")
    assert done.stderr.count("wandb sync") == (mode != "disabled")


def test_a_disk_that_is_full_at_the_start_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("WANDB_MODE", "offline")

    def refuse(**settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wandb, "init", refuse)
    logger = WandB("test", tmp_path)
    assert logger.experiment is not None  # which the trainer takes before it starts
    logger.log_hyperparams({"loss": "gan"})
    logger.log_metrics({"loss": 1.0}, step=1)
    logger.end("finished", {})
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "W&B cannot keep this run (No space left on device): its page will not be complete"
    ]
