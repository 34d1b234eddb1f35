from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.compose import composed
from helpers.tiny_gan import tiny_gan
from torch import nn

from gan_lightning.trainer import hardware
from gan_lightning.trainer.compile import Compile
from gan_lightning.trainer.fast_path import Pacing, SingleDevice
from gan_lightning.trainer.hardware import OUR_KEYS, configure_hardware, trainer_settings
from gan_lightning.trainer.launcher import job_command, write_failure
from gan_lightning.trainer.precision import ScalePerPlayer
from gan_lightning.trainer.strategy import GameStrategy, JobStrategy
from gan_lightning.utils.conf import PACKAGE, quoted

TRAINER: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "precision": "auto",
    "sync_batchnorm": False,
    "channels_last": True,
    "compile": False,
    "tf32": False,
}


@pytest.mark.parametrize(
    ("native", "shape", "precision"),
    [(True, [1, 28, 28], "bf16-mixed"), (False, [1, 28, 28], "32-true"), (True, [2], "32-true")],
)
def test_auto_precision_is_half_for_images_where_the_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, shape: list[int], precision: str
):
    monkeypatch.setattr(hardware, "has_native_bfloat16", lambda gpu: native)
    for wanted, given in ((precision, "auto"), ("bf16-mixed", "bf16-mixed")):
        settings = trainer_settings({**TRAINER, "precision": given}, shape)
        assert settings["precision"] == (None if wanted == "bf16-mixed" else wanted)
        assert [plugin.precision for plugin in settings.get("plugins", [])] == [wanted] * (wanted == "bf16-mixed")


def test_one_device_and_two_get_a_strategy_of_their_own():
    assert isinstance(trainer_settings(TRAINER, [2])["strategy"], SingleDevice)
    with composed("trainer.devices=2", directory="/runs/one"):
        strategy = trainer_settings({**TRAINER, "devices": 2}, [2])["strategy"]
        assert isinstance(strategy, GameStrategy)
        assert strategy.command == job_command()
        lightnings = "ddp_find_unused_parameters_true"
        strategy = trainer_settings({**TRAINER, "devices": 2, "strategy": lightnings}, [2])["strategy"]
        assert isinstance(strategy, JobStrategy)
        assert not isinstance(strategy, GameStrategy)
        assert strategy.command == job_command()


def test_what_only_gpus_can_do_is_refused_without_one(monkeypatch: pytest.MonkeyPatch):
    for key, value in {"precision": "16-mixed", "sync_batchnorm": True, "compile": "cuda_graphs"}.items():
        with pytest.raises(ValueError, match=rf"trainer\.{key}=.* needs? .*NVIDIA GPU.*: (choose|leave)"):
            trainer_settings({**TRAINER, key: value}, [2])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(hardware, "has_native_bfloat16", lambda gpu: True)
    settings = trainer_settings({**TRAINER, "accelerator": "gpu", "precision": "16-mixed"}, [2])
    assert settings["precision"] is None
    assert isinstance(settings["plugins"][0], ScalePerPlayer)


def test_our_own_keys_are_followed_and_kept_from_lightning(monkeypatch: pytest.MonkeyPatch):
    assert not set(OUR_KEYS) & set(trainer_settings(TRAINER, [2]))
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        for allowed, precision in ((True, "high"), (False, "highest")):
            configure_hardware(tiny_gan(), {**TRAINER, "tf32": allowed})
            assert torch.get_float32_matmul_precision() == precision
            assert torch.backends.cudnn.allow_tf32 == allowed
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = cudnn
    for last in (True, False):
        gan = tiny_gan()
        gan.discriminator = nn.Conv2d(3, 4, 2)
        configure_hardware(gan, {**TRAINER, "channels_last": last})
        weight = gan.discriminator.weight
        assert weight.is_contiguous(memory_format=torch.channels_last) == last
    assert [type(part) for part in configure_hardware(tiny_gan(), TRAINER)] == [Pacing]
    _, compiling = configure_hardware(tiny_gan(), {**TRAINER, "compile": "cuda_graphs"})
    assert isinstance(compiling, Compile)
    assert compiling.cuda_graphs


def test_a_further_rank_runs_this_job_in_its_directory_and_not_the_sweep():
    with composed("seed=3", "optimizer.lr=0.5", directory="/runs/one=two"):
        command = job_command()
    assert command.arguments == [
        *(sys.executable, "-m", "gan_lightning.cli.train"),
        *("seed=3", "optimizer.lr=0.5"),
        *("hydra.mode=RUN", "hydra.run.dir='/runs/one=two'", "hydra/job_logging=none"),
    ]
    assert str(PACKAGE.parent) in command.environment["PYTHONPATH"].split(os.pathsep)


@pytest.mark.parametrize("value", ["'a b,c=d'", '"it\'s {x}: [1]"', "'${seed}_${data.batch_size}'"])
def test_values_reach_a_further_rank_as_they_were_typed(value: str):
    with composed(f"name={value}", directory="/runs/one") as config:
        name, arguments = config.name, job_command().arguments
    with composed(*(argument for argument in arguments[3:] if "job_logging" not in argument)) as config:
        assert config.name == name


@pytest.mark.parametrize("path", ["/a b/it's", "/a,b=c/{x}[1]", "/back\\slash", "/end\\", "/quote\\'", "/${seed}/x"])
def test_any_directory_reaches_a_further_rank(path: str):
    with composed(f"hydra.run.dir={quoted(path)}") as config:
        assert config.hydra.run.dir == path


def test_a_failure_is_noted_by_the_first_rank_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    write_failure(tmp_path, "rank 2 ended")
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("LOCAL_RANK", "0")
    write_failure(tmp_path, "rank 2 ended")
    assert json.loads((tmp_path / "result.json").read_text()) == {"status": "failed", "error": "rank 2 ended"}


@pytest.mark.parametrize(
    ("accelerator", "devices", "there", "words"),
    [("gpu", 1, 0, "finds no GPU"), ("gpu", 3, 2, "more GPUs than the 2"), ("auto", [0, 2], 2, "more GPUs than the 2")],
)
def test_missing_gpus_are_refused(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, devices: int | list[int], there: int, words: str
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=words):
        trainer_settings({**TRAINER, "accelerator": accelerator, "devices": devices}, [2])
