"""What a configuration needs at least of memory, against what the machine has, before anything of it is made."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lightning.trainer.ranks import device_count
from gan_lightning.utils.conf import plain
from gan_lightning.utils.errors import UserError

FLOAT_BYTES = 4


def available_bytes() -> float:
    """Return how much memory is free, within the limit of a container; infinity where the system does not tell."""
    found = [math.inf]
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8")))  # or the word max
    if len(found) == 1:
        with suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found)


def samples_and_memory(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for each number of samples, with their latents, that does not fit into memory at once."""
    dim = OmegaConf.select(config, "prior.dim")
    latent = dim if isinstance(dim, (int, float)) else 0
    floats = math.prod(config.data.shape) + latent
    way_out = "choose a smaller prior.dim, or fewer" if latent > math.prod(config.data.shape) else "choose fewer"
    devices = device_count(config.trainer.devices) * config.trainer.num_nodes
    for key, share in {"data.batch_size": devices, "callbacks.samples.count": 1, "callbacks.density.count": 1}.items():
        count = None
        with suppress(OmegaConfBaseException):  # a part of one's own that has no such key
            count = OmegaConf.select(config, key)
        if isinstance(count, (int, float)) and (need := count / share * floats * FLOAT_BYTES) > available_bytes():
            yield f"{key}={count} {too_much(need)}: {way_out}"


def refuse_large_networks(config: DictConfig) -> None:
    """Raise a UserError where the networks, their gradients and the averaged generator do not fit into memory.

    They are built without memory, on the meta device. Networks that cannot be built so are left to the real attempt.
    """
    import torch  # here, as the command line finds other mistakes before it imports torch
    from hydra.utils import instantiate

    settings = plain(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
    need = 0.0
    for name, copies in {"generator": 3, "discriminator": 2}.items():
        try:
            with torch.device("meta"):
                network = instantiate(settings["gan"][name], _convert_="all")
            need += copies * sum(weight.numel() * weight.element_size() for weight in network.parameters())
        except Exception as error:
            need += math.inf if "overflow" in str(error) else 0  # more elements than an int64 counts
    if need > available_bytes():
        raise UserError(
            f"the networks with their gradients and average {too_much(need, 'need')}: "
            "choose a smaller model or prior.dim"
        )


def too_much(need: float, verb: str = "needs") -> str:
    """Return the sentence's middle for a need of so many bytes."""
    amount = f"{need / 2**30:.3g} GiB" if math.isfinite(need) else "beyond all bounds"
    return f"{verb} at least {amount} of memory, and {available_bytes() / 2**30:.3g} GiB are free here"
