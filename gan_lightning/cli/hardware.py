"""What `auto` means: precision and strategy by the hardware and the data."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig

from gan_lightning.cli.fit import device_count
from gan_lightning.strategies import GameStrategy


def trainer_settings(trainer: dict[str, Any], shape: Sequence[int]) -> dict[str, Any]:
    """The arguments of Lightning's Trainer for the keys of conf/trainer, every `auto` decided.

    Args:
        trainer: the keys of conf/trainer, plain.
        shape: of one sample.

    Raises:
        ValueError: for GPUs that are not there.
    """
    settings = dict(trainer)
    gpu = uses_gpu(settings["accelerator"])
    refuse_missing_gpus(settings["accelerator"], settings["devices"])
    if settings["precision"] == "auto":
        settings["precision"] = "bf16-mixed" if len(shape) == 3 and has_native_bfloat16(gpu) else "32-true"
    if settings["strategy"] == "auto" and (gpu_or_one(settings["devices"], gpu) > 1 or settings["num_nodes"] > 1):
        settings["strategy"] = GameStrategy(command=job_command())
    return settings


def uses_gpu(accelerator: str) -> bool:
    """Whether Lightning will take CUDA devices."""
    return accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available()


def has_native_bfloat16(gpu: bool) -> bool:
    """Whether matrix products in bfloat16 run on hardware of their own, so that they are faster and not emulated."""
    if gpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    processor = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(processor.get("avx512_bf16") or processor.get("amx_bf16"))


def refuse_missing_gpus(accelerator: str, devices: Any) -> None:
    """Raise a ValueError, with the way out, when GPUs are asked for that this machine does not have."""
    there = torch.cuda.device_count()
    needed = accelerator == "cuda" or (accelerator == "gpu" and not torch.backends.mps.is_available())
    if needed and there == 0:
        raise ValueError(f"trainer.accelerator={accelerator} finds no GPU here: choose trainer.accelerator=auto or cpu")
    if uses_gpu(accelerator) and devices not in ("auto", -1):
        wanted = devices if isinstance(devices, int) else max(devices) + 1
        if wanted > there:
            raise ValueError(
                f"trainer.devices={devices} asks for more GPUs than the {there} that are here: choose fewer"
            )


def gpu_or_one(devices: Any, gpu: bool) -> int:
    """How many devices a node will use; `auto` is every GPU, or one process on a CPU."""
    if devices in ("auto", -1):
        return torch.cuda.device_count() if gpu else 1
    return device_count(devices)


def job_command() -> list[str]:
    """The command line of one more rank of this very job.

    It carries this job's overrides and its run directory, so that a rank of a sweep's job does not start the sweep
    again, and leaves configuration and log to rank 0.
    """
    import __main__

    hydra = HydraConfig.get()
    module = getattr(__main__, "__spec__", None)
    program = [os.path.abspath(sys.argv[0])] if module is None else ["-m", module.name]
    return [
        sys.executable,
        *program,
        *hydra.overrides.task,
        "hydra.mode=RUN",
        f"hydra.run.dir='{hydra.runtime.output_dir}'",
        "hydra/job_logging=none",
    ]
