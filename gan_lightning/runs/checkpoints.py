"""A trained GAN, from its checkpoint alone: the checkpoint carries the settings it was made with.

Loading one runs no code that comes with it: the file is read as weights and plain values, and of its settings only what
`safe_targets` allows is built.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from gan_lightning.game import Latent
from gan_lightning.gan import GAN
from gan_lightning.runs.safe_targets import checked_settings, plain_settings
from gan_lightning.utils.checksum import KEY, is_whole_zip, structure_digest
from gan_lightning.utils.conf import plain
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.instantiation import user_errors

COUNTERS = ("iterations", "discriminator_updates", "images")


class LoadedRun(NamedTuple):
    """A checkpoint: the run's settings, but for `safe_targets.NOT_BUILT`, its GAN in evaluation mode, and its file."""

    config: DictConfig
    gan: GAN
    file: Path


class LoadedGenerator(NamedTuple):
    """The averaged generator of a checkpoint alone, in evaluation mode, and the iterations it was trained for."""

    config: DictConfig
    generator: nn.Module
    iterations: int


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Return the content of a checkpoint that train.py wrote, on the CPU, if it is as it was saved.

    Raises:
        UserError: it is no such file, damaged or changed, would run code, or holds weights that are not finite.
    """
    whole = is_whole_zip(checkpoint)
    content: Any = unpickled(checkpoint) if whole or not zipfile.is_zipfile(checkpoint) else None
    if content is None:
        raise UserError(
            f"{checkpoint} is damaged, its checksums do not hold: not loaded; give another ckpt_path, such as the "
            "other file beside it"
        )
    if not whole or not is_of_a_run(content):
        raise UserError(f"{checkpoint} is not a checkpoint that train.py wrote: give another ckpt_path")
    if not is_as_saved(content):
        raise UserError(f"{checkpoint} was changed since train.py wrote it: not loaded; give another ckpt_path")
    if name := nonfinite_weight(content["state_dict"]):
        raise UserError(f"{checkpoint} holds a number in {name} that is not finite: give another ckpt_path")
    run: dict[str, Any] = content
    return run


def unpickled(checkpoint: Path) -> object:
    """Return the content of a file of PyTorch's, on the CPU, of weights and plain values alone.

    Raises:
        UserError: it is none, or would run code.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that torch did not write
            return torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # every kind of file is broken in its own way
        code = re.search(r"GLOBAL (\S+)", str(error))  # as torch calls what is neither a weight nor a plain value
        if isinstance(error, UnpicklingError) and code is not None:
            raise UserError(
                f"{checkpoint} holds {code[1]} beside weights and plain values, which could run code as it is read: it "
                "is not a checkpoint that train.py wrote, give another ckpt_path"
            ) from error
        raise UserError(f"{checkpoint} is not a checkpoint, or not a whole one: give another ckpt_path") from error


PARTS: dict[str, type] = {
    "hyper_parameters": dict,
    "state_dict": dict,
    "game": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
    "callbacks": dict,
    "pytorch-lightning_version": str,
    KEY: str,
}
"""What a checkpoint consists of, at least."""


def is_of_a_run(content: object) -> bool:
    """Return whether the content of a file is what train.py saves."""
    if not isinstance(content, dict) or not all(isinstance(content.get(key), kind) for key, kind in PARTS.items()):
        return False
    settings, game = content["hyper_parameters"], content["game"]
    return (
        all(isinstance(settings.get(part), dict) for part in ("gan", "data"))
        and len(content["optimizer_states"]) == 2
        and sorted(game) == sorted(COUNTERS)
        and all(type(count) is int and count >= 0 for count in game.values())
    )


def is_as_saved(content: Mapping[str, Any]) -> bool:
    """Return whether the structure of a checkpoint is what it says."""
    try:
        return structure_digest(content) == content[KEY]
    except (ValueError, TypeError):
        return False


def nonfinite_weight(weights: Mapping[str, Any]) -> str | None:
    """Return the name of the first weight or running statistic with an infinite number or NaN; None: all are finite."""
    floats = {name: w for name, w in weights.items() if isinstance(w, torch.Tensor) and w.is_floating_point()}
    return next((name for name, weight in floats.items() if not weight.isfinite().all()), None)


def read_settings(checkpoint: Path) -> dict[str, Any]:
    """Return the settings of a checkpoint as plain values, with those of what watched the run; see `plain_settings`.

    Raises:
        UserError: it is not a checkpoint of a run, or they are not plain.
    """
    return plain_settings(read_checkpoint(checkpoint)["hyper_parameters"], checkpoint)


def load(
    checkpoint: Path, device: str, trust: Collection[str] = (), change: Callable[[DictConfig], None] | None = None
) -> LoadedRun:
    """Build the GAN of `checkpoint` and load its weights.

    Args:
        checkpoint: the file.
        device: of the GAN.
        trust: what the settings may name beside what conf/ names, see `safe_targets.checked_settings`.
        change: called with the settings before anything is built of them, to alter them.

    Raises:
        UserError: the file is not a checkpoint of a run, names code that is not trusted, or does not fit together.
    """
    content = read_checkpoint(checkpoint)
    config = settings_of(content, checkpoint, trust)
    refuse_many_seeds(config, checkpoint)
    if change:
        change(config)
    with error_context(checkpoint):
        gan = instantiate(config.gan, _convert_="all")
    if not isinstance(gan, GAN):
        raise UserError(f"{checkpoint} holds no GAN, but a {type(gan).__name__}: give another ckpt_path")
    load_weights(gan, content["state_dict"], checkpoint)
    gan.save_hyperparameters(plain(config), logger=False)
    gan.on_load_checkpoint(content)
    return LoadedRun(config, gan.to(device).eval(), checkpoint)


def load_generator(checkpoint: Path, device: str, trust: Collection[str] = ()) -> LoadedGenerator:
    """Build the averaged generator of `checkpoint` and nothing else, so that no data need be there; see `load`."""
    content = read_checkpoint(checkpoint)
    config = settings_of(content, checkpoint, trust)
    refuse_many_seeds(config, checkpoint)
    with error_context(checkpoint):
        generator = instantiate(config.gan.get("generator"), _convert_="all")
    if not isinstance(generator, nn.Module):
        raise UserError(f"{checkpoint} holds no generator: give another ckpt_path")
    start = "averaged_generator."
    weights = {name.removeprefix(start): w for name, w in content["state_dict"].items() if str(name).startswith(start)}
    load_weights(generator, weights, checkpoint)
    generator.register_forward_pre_hook(latent_of_tensor)
    return LoadedGenerator(config, generator.to(device).eval(), content["game"]["iterations"])


def latent_of_tensor(generator: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of a generator with noise that is a plain tensor (n, dim) as a latent."""
    first, *others = arguments
    return (Latent(first) if isinstance(first, Tensor) else first, *others)


def settings_of(content: Mapping[str, Any], checkpoint: Path, trust: Collection[str]) -> DictConfig:
    """Return the settings in the content of a checkpoint, if building what they name is safe.

    Raises:
        UserError: something does.
    """
    settings = checked_settings(content["hyper_parameters"], checkpoint, trust)
    try:
        return OmegaConf.create(settings)
    except (OmegaConfBaseException, RecursionError) as error:
        raise UserError(f"{checkpoint} has settings that cannot be read: give another ckpt_path") from error


def refuse_many_seeds(config: DictConfig, checkpoint: Path) -> None:
    """Raise a UserError for the checkpoint of a run of several seeds, whose weights are stacked."""
    if config.get("seeds"):
        raise UserError(
            f"{checkpoint} holds {config.seeds} games, one for each seed, and can only be resumed: train one by "
            "itself, seed=N without seeds, to sample or evaluate it"
        )


def load_weights(module: nn.Module, weights: Mapping[str, Any], checkpoint: Path) -> None:
    """Load `weights` into `module`.

    Raises:
        UserError: they are not those of such a module.
    """
    try:
        module.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"{checkpoint} has weights that do not fit the networks of its own settings: give another ckpt_path"
        ) from error


@contextmanager
def error_context(checkpoint: Path) -> Iterator[None]:
    """Within, what constructors object to becomes one sentence about `checkpoint`."""
    try:
        with user_errors():
            yield
    except UserError as error:
        raise UserError(f"{checkpoint} cannot be built from its settings: {' '.join(str(error).split())}") from error


MOVABLE = ("root", "download", "a", "b", "in_memory")
"""Settings of data that say where they lie, and nothing of what they are."""


def move_data(config: DictConfig, moved: dict[Any, Any]) -> None:
    """Put `moved` into the settings of a run's data, and of the prior's copy of them where it draws from them.

    Raises:
        UserError: the data have no such setting.
    """
    for key in moved:
        if key not in config.data:
            able = [name for name in MOVABLE if name in config.data]
            instead = f"it has {', '.join(f'data.{name}' for name in able)}" if able else "leave it out"
            raise UserError(f"data.{key} is no setting of this run's data ({config.data.get('_target_')}): {instead}")
    for place in ("data", "prior.data", "gan.prior.data"):
        data = OmegaConf.select(config, place)
        if isinstance(data, DictConfig):
            data.update(moved)
