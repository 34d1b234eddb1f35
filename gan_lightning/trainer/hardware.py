"""What `auto` means: precision and strategy by the hardware and the data."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from lightning import Callback
from lightning.pytorch.plugins.environments import ClusterEnvironment, LightningEnvironment
from lightning.pytorch.strategies import Strategy
from omegaconf import OmegaConf

from gan_lightning.cli.compatibility import device_count
from gan_lightning.gan import GAN
from gan_lightning.runs.run_dir import write_json
from gan_lightning.trainer.compile import Compile
from gan_lightning.trainer.launcher import RankCommand
from gan_lightning.trainer.precision import HalfPrecision, ScalePerPlayer, set_tf32
from gan_lightning.trainer.ranks import LAUNCHED_BY, in_srun, slurm_env, started_as_rank_zero
from gan_lightning.trainer.strategy import GameStrategy, JobStrategy
from gan_lightning.utils.conf import PACKAGE


def trainer_settings(trainer: dict[str, Any], shape: Sequence[int]) -> dict[str, Any]:
    """The arguments of Lightning's Trainer for the keys of conf/trainer, every `auto` decided.

    Args:
        trainer: the keys of conf/trainer, plain.
        shape: of one sample.

    Raises:
        ValueError: for GPUs that are not there, and for what only GPUs can do.
    """
    gpu = uses_gpu(trainer["accelerator"])
    refuse_missing_gpus(trainer["accelerator"], trainer["devices"])
    refuse_without_gpu(trainer, gpu)
    settings = {key: value for key, value in trainer.items() if key not in OUR_KEYS}
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
        settings["strategy"] = "auto"
    return settings


OUR_KEYS = ("channels_last", "compile", "tf32")
"""Keys of conf/trainer that are not arguments of Lightning's Trainer."""

STRATEGIES: dict[str, Callable[[RankCommand], Strategy]] = {
    "auto": GameStrategy,
    "ddp_find_unused_parameters_true": partial(JobStrategy, find_unused_parameters=True),
}
"""How several devices become one, by its name in the configuration; made with the command that starts a rank."""


def configure_hardware(gan: GAN, trainer: Mapping[str, Any]) -> list[Callback]:
    """Lay `gan` out in memory and set the hardware up by `OUR_KEYS`; the callbacks that do the rest."""
    set_tf32(trainer["tf32"])
    if trainer["channels_last"]:
        gan.to(memory_format=torch.channels_last)
    return [Compile(cuda_graphs=trainer["compile"] == "cuda_graphs")] if trainer["compile"] else []


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
    """Whether Lightning will take CUDA devices."""
    return accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available()


def on_a_mac() -> bool:
    """Whether `auto` is a Mac's GPU, whose half precision is Lightning's business."""
    return torch.backends.mps.is_available()


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


def job_command() -> RankCommand:
    """How one more rank of this very job is started.

    It carries this job's overrides and its run directory, so that a rank of a sweep's job does not start the sweep
    again, and leaves configuration and log to rank 0. It is the same however this process was started: by a script, as
    a module, or as a worker of a sweep's launcher.
    """
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    return RankCommand(
        arguments=[sys.executable, "-m", "gan_lightning.cli.train", *searched_in(hydra), *overrides(hydra, directory)],
        # Modules are found where this process finds them, and nowhere else: a clone need not be installed.
        environment={
            "PYTHONPATH": os.pathsep.join([*(path or os.getcwd() for path in sys.path), str(PACKAGE.parent)]),
            "PYTHONSAFEPATH": "1",
            LAUNCHED_BY: str(os.getpid()),
        },
        on_stop=partial(write_failure, directory),
    )


def searched_in(hydra: HydraConf) -> list[str]:
    """The options that let a further rank find configurations of the user's own."""
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    paths = [path for path in typed(hydra.overrides.hydra) if path.lstrip("+").startswith("hydra.searchpath=")]
    return [*(f"--config-dir={folder}" for folder in folders), *paths]


def overrides(hydra: HydraConf, directory: Path) -> list[str]:
    """What a further rank's configuration is made from: this job's overrides as they were typed."""
    rank = ["hydra.mode=RUN", f"hydra.run.dir={quoted(str(directory))}", "hydra/job_logging=none"]
    return [*typed(hydra.overrides.task), *rank]


def typed(overrides: list[str]) -> list[str]:
    """Overrides as they were typed: what they refer to stands in the job's configuration, not beside them."""
    found = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(found, list)
    return [str(override) for override in found]


def quoted(text: str) -> str:
    """`text` as a value that Hydra reads as it stands."""
    escaped = re.sub(r"(\\*)'", r"\1\1\'", text)  # only backslashes before a quote are escaped
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped).replace("${", "\\${") + "'"


def write_failure(directory: Path, reason: str) -> None:
    """Note in ``result.json`` that the run was stopped."""
    if started_as_rank_zero():
        write_json(directory / "result.json", {"status": "failed", "error": reason})


def cluster_environment(devices: int, nodes: int) -> ClusterEnvironment | None:
    """What tells the ranks of each other where SLURM has started this process; None leaves it to Lightning."""
    if not in_srun():
        return None
    slurm_env(devices * nodes)
    return LightningEnvironment()
