"""The networks of the run that `init_from` names, in the configuration of a new run. Nothing here imports torch first.

A new run that starts from trained weights takes over what makes the networks and what they are fed with: the groups
`model`, `prior` and `variant`, and of the data the size of images, their channels and the number of clusters. What is
typed stays, and so does what refers to other parts of the configuration. All else is that of the new run.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, flag_override

from gan_lightning.runs.inherit import TakeOver, allowed_in, choice_lines, typed_overrides
from gan_lightning.runs.run_dir import checkpoint_of
from gan_lightning.runs.safe_targets import is_allowed, targets
from gan_lightning.utils.checksum import is_whole_zip
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import atomic_write, cache_folder

GROUPS = ("model", "prior", "variant")
"""Groups that make the networks and their input."""

OF_THE_DATA = ("image_size", "channels", "clusters")
"""Settings of data that the networks depend on."""

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 30.0


def source_of(init_from: str) -> Path:
    """Return the checkpoint file that `init_from` names: of a run directory, a file, or downloaded from its address.

    Raises:
        UserError: there is none.
    """
    if re.match(r"https?://", init_from):
        return downloaded(init_from)
    return checkpoint_of(init_from, key="init_from")


def downloaded(address: str) -> Path:
    """Return the file of an address in the cache, downloaded where it is not there yet: whole, or not at all.

    Raises:
        UserError: it cannot be downloaded, or is not a checkpoint.
    """
    cache = cache_folder()
    assert cache is not None
    path = cache / "checkpoints" / f"{blake2b(address.encode(), digest_size=16).hexdigest()}.ckpt"
    if path.is_file() and not is_whole_zip(path):
        log.warning(f"{path} is damaged, its checksums do not hold: downloaded again")
        path.unlink(missing_ok=True)
    if not path.is_file():
        try:
            with urlopen(address, timeout=TIMEOUT_SECONDS) as answer, atomic_write(path) as unfinished:
                with unfinished.open("wb") as file:
                    shutil.copyfileobj(answer, file)
                if not is_whole_zip(unfinished):
                    raise UserError(f"init_from={address} is not a checkpoint, or did not come whole: try again")
        except (OSError, HTTPException, ValueError) as error:
            raise UserError(f"init_from={address} could not be downloaded ({error}): give a file") from error
    return path


def network_lines(init_from: str, typed: Sequence[Override]) -> list[str]:
    """Return the overrides that answer `GROUPS` as the run of a checkpoint did, but for those that `typed` answers.

    Raises:
        UserError: there is no such checkpoint.
    """
    from gan_lightning.runs.checkpoints import read_settings

    answers = read_settings(source_of(init_from)).get("choices")
    answers = {"variant": "none", **answers} if isinstance(answers, dict) else {}
    return choice_lines({group: answers[group] for group in GROUPS if group in answers}, typed)


def inherit_networks(config: DictConfig) -> None:
    """Give a composed configuration the networks of the run that `init_from` names, where nothing else is typed.

    Args:
        config: of Hydra, `hydra` included; changed in place, but not without `init_from` or where a run is resumed.

    Raises:
        UserError: there is no such checkpoint, or it names code that neither conf/ nor the command line does.
    """
    if config.init_from is None or config.ckpt_path is not None:
        return
    from gan_lightning.runs.checkpoints import read_settings

    checkpoint = source_of(str(config.init_from))
    settings = read_settings(checkpoint)
    keys = {str(override.key_or_group) for override in typed_overrides(config)} - set(GROUPS)
    answers, before = config.hydra.runtime.choices, settings.get("choices") or {}
    written: Any = OmegaConf.to_container(config, resolve=False)
    allowed = allowed_in({key: part for key, part in written.items() if key != "hydra"})
    with flag_override(config, ["struct", "readonly"], [False, False]):
        for part in ("model", "prior"):
            mine, values = written.get(part), settings.get(part)
            if not isinstance(mine, dict) or not isinstance(values, dict) or answers.get(part) != before.get(part):
                continue  # another network is typed
            if unknown := [str(name) for name in targets(values) if not is_allowed(name, allowed)]:
                raise UserError(f"{checkpoint} has _target_={unknown[0]}, which is in no file of conf/: not loaded")
            TakeOver(settings, keys, keep_references=True).merge(config[part], mine, values, f"{part}.")
        for name, value in sizes(settings["data"]).items():
            if name in config.data and f"data.{name}" not in keys:
                config.data[name] = value


def sizes(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `OF_THE_DATA` that the settings of a run's data have, or their shape tells."""
    shape = data.get("shape")
    found = dict(data)
    if isinstance(shape, list) and len(shape) == 3:
        channels, height, width = shape
        found = {"channels": channels, "image_size": height if height == width else [height, width], **data}
    return {name: found[name] for name in OF_THE_DATA if found.get(name) is not None}
