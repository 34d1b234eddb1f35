"""Runs with a key, against services on loopback that refuse, fail, do not answer, or are not there."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import wandb
from helpers.run_script import TINY, run_script
from helpers.wandb_files import history, records, wandb_files
from helpers.wandb_service import closed_port, wandb_service

from gan_lightning.loggers import WandB, weights_and_biases


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
