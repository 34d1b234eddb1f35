from __future__ import annotations

from typing import Any

import pytest
import torch
from composing import composed

from gan_lightning.cli import hardware
from gan_lightning.cli.hardware import job_command, trainer_settings
from gan_lightning.strategies import GameStrategy

TRAINER: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "precision": "auto",
}


@pytest.mark.parametrize(
    ("native", "shape", "precision"),
    [(True, [1, 28, 28], "bf16-mixed"), (False, [1, 28, 28], "32-true"), (True, [2], "32-true")],
)
def test_auto_precision_is_half_for_images_where_the_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, shape: list[int], precision: str
):
    monkeypatch.setattr(hardware, "has_native_bfloat16", lambda gpu: native)
    assert trainer_settings(TRAINER, shape)["precision"] == precision
    assert trainer_settings({**TRAINER, "precision": "16-mixed"}, shape)["precision"] == "16-mixed"


def test_one_device_needs_no_strategy_and_two_get_ours():
    assert trainer_settings(TRAINER, [2])["strategy"] == "auto"
    with composed("trainer.devices=2", directory="/runs/one"):
        strategy = trainer_settings({**TRAINER, "devices": 2}, [2])["strategy"]
        assert isinstance(strategy, GameStrategy)
        assert strategy.command == job_command()
    assert trainer_settings({**TRAINER, "devices": 2, "strategy": "ddp"}, [2])["strategy"] == "ddp"


def test_a_further_rank_runs_this_job_in_its_directory_and_not_the_sweep():
    with composed("seed=3", "optimizer.lr=0.5", directory="/runs/one=two"):
        command = job_command()
    assert command[-5:] == [
        "seed=3",
        "optimizer.lr=0.5",
        "hydra.mode=RUN",
        "hydra.run.dir='/runs/one=two'",
        "hydra/job_logging=none",
    ]


@pytest.mark.parametrize(
    ("accelerator", "devices", "there", "words"),
    [("gpu", 1, 0, "finds no GPU"), ("gpu", 3, 2, "more GPUs than the 2"), ("auto", [0, 2], 2, "more GPUs than the 2")],
)
def test_missing_gpus_are_told(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, devices: int | list[int], there: int, words: str
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=words):
        trainer_settings({**TRAINER, "accelerator": accelerator, "devices": devices}, [2])
