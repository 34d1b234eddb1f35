"""Lightning's settings from those of conf/trainer: precision and strategy by the hardware and the data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from lightning.pytorch.plugins.environments import ClusterEnvironment, LightningEnvironment
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.strategies import Strategy

from gan_lightning.gan import GAN
from gan_lightning.trainer.compile import Compile
from gan_lightning.trainer.fast_path import Pacing, SingleDevice
from gan_lightning.trainer.launcher import RankCommand, job_command
from gan_lightning.trainer.precision import HalfPrecision, ScalePerPlayer, set_tf32
from gan_lightning.trainer.ranks import device_count, in_srun, slurm_env
from gan_lightning.trainer.strategy import GameStrategy, JobStrategy
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.processor import has_native_bfloat16


def trainer_settings(trainer: Mapping[str, Any], shape: Sequence[int], directory: Path | None = None) -> dict[str, Any]:
    """Return the arguments of Lightning's Trainer for the keys of conf/trainer, every `auto` decided.

    Args:
        trainer: the keys of conf/trainer, plain.
        shape: of one sample.
        directory: where a profiler's report goes; None: nowhere.

    Raises:
        ValueError: for GPUs that are not there, and for what only GPUs can do.
    """
    gpu = uses_gpu(trainer["accelerator"])
    refuse_missing_gpus(trainer["accelerator"], trainer["devices"])
    refuse_without_gpu(trainer, gpu)
    settings = {key: value for key, value in trainer.items() if key not in OUR_KEYS}
    if settings.get("profiler") is not None:
        settings["profiler"] = PROFILERS[settings["profiler"]](dirpath=directory, filename="profile")
    if settings["precision"] == "auto":
        settings["precision"] = "bf16-mixed" if len(shape) == 3 and has_native_bfloat16(gpu) else "32-true"
    if settings["precision"] == "16-mixed":
        settings |= {"precision": None, "plugins": [ScalePerPlayer("cuda")]}
    elif settings["precision"] == "bf16-mixed" and (gpu or settings["accelerator"] == "cpu" or not on_a_mac()):
        settings |= {"precision": None, "plugins": [HalfPrecision("bf16-mixed", "cuda" if gpu else "cpu")]}
    devices, nodes = gpu_or_one(settings["devices"], gpu), settings["num_nodes"]
    if environment := cluster_environment(devices, nodes):
        settings["plugins"] = [*settings.get("plugins", []), environment]
    if devices > 1 or nodes > 1:
        settings["strategy"] = STRATEGIES[settings["strategy"]](job_command())
    else:
        settings["strategy"] = single_device(settings["accelerator"], settings["devices"], gpu)
    return settings


def single_device(accelerator: str, devices: Any, gpu: bool) -> Strategy | str:
    """Return the strategy for one device; a Mac's GPU is left to Lightning."""
    if gpu:
        return SingleDevice(
            torch.device("cuda", devices[0] if isinstance(devices, Sequence) and devices != "auto" else 0)
        )
    return "auto" if accelerator != "cpu" and on_a_mac() else SingleDevice(torch.device("cpu"))


PROFILERS: dict[str, Callable[..., Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}
"""Profilers by their names in the configuration."""

OUR_KEYS = ("channels_last", "compile", "tf32")
"""Keys of conf/trainer that are not arguments of Lightning's Trainer."""

STRATEGIES: dict[str, Callable[[RankCommand], Strategy]] = {
    "auto": GameStrategy,
    "ddp_find_unused_parameters_true": partial(JobStrategy, find_unused_parameters=True),
}
"""Strategies for several devices by their names in the configuration; made with the command that starts a rank."""


def configure_hardware(gan: GAN, trainer: Mapping[str, Any]) -> list[Callback]:
    """Set memory format and hardware up by `OUR_KEYS`; return the callbacks that do the rest."""
    set_tf32(trainer["tf32"])
    if trainer["channels_last"]:
        gan.to(memory_format=torch.channels_last)
    compiling = [Compile(cuda_graphs=trainer["compile"] == "cuda_graphs")] if trainer["compile"] else []
    return [Pacing(), *compiling]


def refuse_without_gpu(settings: Mapping[str, Any], gpu: bool) -> None:
    """Raise a ValueError, with the way out, for settings that only GPUs can follow."""
    if settings["precision"] == "16-mixed" and not gpu:
        raise ValueError("trainer.precision=16-mixed needs an NVIDIA GPU: choose bf16-mixed or 32-true")
    if settings["compile"] == "cuda_graphs" and not gpu:
        raise ValueError("trainer.compile=cuda_graphs needs an NVIDIA GPU: choose trainer.compile=true")
    if settings["sync_batchnorm"] and not gpu:
        raise ValueError(
            "trainer.sync_batchnorm=true needs NVIDIA GPUs: leave it out, or choose networks without batch norm "
            "(loss.discriminator_norm=layer, model=mlp) to play the same game on any number of devices"
        )


def uses_gpu(accelerator: str) -> bool:
    """Return whether Lightning will take CUDA devices."""
    return accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available()


def on_a_mac() -> bool:
    """Return whether `auto` is a Mac's GPU, which is left to Lightning."""
    return torch.backends.mps.is_available()


def refuse_missing_gpus(accelerator: str, devices: Any) -> None:
    """Raise a ValueError, with the way out, where this machine does not have the GPUs of the configuration."""
    there = torch.cuda.device_count()
    needed = accelerator == "cuda" or (accelerator == "gpu" and not torch.backends.mps.is_available())
    if needed and there == 0:
        raise ValueError(f"trainer.accelerator={accelerator} finds no GPU here: choose trainer.accelerator=auto or cpu")
    if uses_gpu(accelerator) and devices not in ("auto", -1):
        wanted = devices if isinstance(devices, int) else max(devices) + 1
        if wanted > there:
            raise ValueError(f"trainer.devices={devices} needs more GPUs than the {there} that are here: choose fewer")


def gpu_or_one(devices: Any, gpu: bool) -> int:
    """Return how many devices a node will use; `auto` is every GPU, or one process on a CPU."""
    if devices in ("auto", -1):
        return torch.cuda.device_count() if gpu else 1
    return device_count(devices)


def cluster_environment(devices: int, nodes: int) -> ClusterEnvironment | None:
    """Return the environment of ranks where SLURM has started this process; None leaves it to Lightning."""
    if not in_srun():
        return None
    slurm_env(devices * nodes)
    return LightningEnvironment()


def device_named(name: str) -> str:
    """Return the device to work on, `auto` being the first GPU or the CPU; a UserError if it is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    number = re.fullmatch(r"cuda(?::(\d+))?", str(name))
    if name != "cpu" and (number is None or int(number[1] or 0) >= torch.cuda.device_count()):
        raise UserError(f"device={name} is not here: choose auto or cpu")
    return name
