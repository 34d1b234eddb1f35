"""The folder conf/, its resolvers, and configurations as plain values and text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from gan_lightning.utils.choices import job_choices
from gan_lightning.utils.dataset_rows import Source, dataset_facts
from gan_lightning.utils.folder_facts import FolderFacts, file_name_of, folder_facts, nearest_side
from gan_lightning.utils.job_names import single_name

_NO_DEFAULT = object()

PACKAGE = Path(__file__).resolve().parent.parent


def conf_dir() -> str:
    """Return the folder conf/: inside the package when it was installed from a wheel, beside it in a clone."""
    inside = PACKAGE / "conf"
    return str(inside if inside.is_dir() else PACKAGE.parent / "conf")


def sweep_dir() -> Path | None:
    """Return the folder of the sweep that this job belongs to; None for a single run."""
    hydra = HydraConfig.get()
    return Path(hydra.sweep.dir) if hydra.mode == RunMode.MULTIRUN else None


def register_resolvers() -> None:
    """Register the resolvers that conf/ uses: ``${float:...}``, ``${widened:...}`` and others."""
    OmegaConf.register_new_resolver("float", float, replace=True)
    OmegaConf.register_new_resolver("oc.env", _environment, replace=True)
    OmegaConf.register_new_resolver("total", _total, replace=True)
    OmegaConf.register_new_resolver("first", _first, replace=True)
    OmegaConf.register_new_resolver("hundredth", _hundredth, replace=True)
    OmegaConf.register_new_resolver("clusters_without", _clusters_without, replace=True)
    OmegaConf.register_new_resolver("up_to", _up_to, replace=True)
    OmegaConf.register_new_resolver("widened", _widened, replace=True)
    OmegaConf.register_new_resolver("image_shape", _image_shape, replace=True)
    facts = {"images_in": "images", "class_names_in": "class_names", "classes_in": "class_count"}
    for name, fact in {**facts, "channels_in": "channels"}.items():
        OmegaConf.register_new_resolver(name, partial(_fact_in, fact=fact), replace=True)
    OmegaConf.register_new_resolver("dataset_fact", _dataset_fact, replace=True)
    OmegaConf.register_new_resolver("dataset_image_size", _dataset_image_size, replace=True)
    OmegaConf.register_new_resolver("image_size_in", _image_size_in, replace=True)
    OmegaConf.register_new_resolver("name_of", _name_of, replace=True)
    OmegaConf.register_new_resolver("file_name", file_name_of, replace=True)
    OmegaConf.register_new_resolver("choices", job_choices, replace=True)
    OmegaConf.register_new_resolver("job_type", lambda: "sweep" if sweep_dir() else "train", replace=True)
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)
    OmegaConf.register_new_resolver("job_name", _job_name, replace=True)
    OmegaConf.register_new_resolver("swept_keys", _swept_keys, replace=True)
    OmegaConf.register_new_resolver("sweep_or_run_dir", _sweep_or_run_dir, replace=True)


@contextmanager
def hydra_at_conf(search_path: Sequence[str] = ()) -> Iterator[None]:
    """Within, Hydra composes files of conf/; afterwards it is initialised as before.

    Args:
        search_path: further folders like conf/, as ``file:///folder`` or ``pkg://package.conf``, to look in before it.
    """
    register_resolvers()
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    path = create_config_search_path(conf_dir())
    for folder in search_path:
        path.prepend("command-line", folder, SearchPathQuery(provider="main"))
    try:
        Hydra.create_main_hydra2(task_name="train", config_search_path=path)
        yield
    finally:
        GlobalHydra.instance().hydra = running


def _environment(name: str, default: Any = _NO_DEFAULT) -> Any:
    """Return an environment variable as if its text were typed: ``1e-4`` is a number, ``true`` a bool.

    Raises a KeyError if there is none, and no default.
    """
    text = os.environ.get(name)
    if text is None:
        if default is _NO_DEFAULT:
            raise KeyError(f"there is no environment variable {name}")
        return default
    try:
        return text if "$" in text else OverridesParser.create().parse_override(f"{name}={text}").value()
    except HydraException:
        return text  # as a path with brackets


def _total(*numbers: int | None) -> int:
    return sum(number or 0 for number in numbers)


def _first(*options: Any) -> Any:
    """Return the first option that is not null."""
    return next((option for option in options if option is not None), None)


def _hundredth(size: int | None, classes: Sequence[int] | None = None, of: int | None = None) -> int:
    """Return a hundredth of `size`, of the share of it that the chosen `classes` `of` so many have, and at least 2.

    Raises:
        ValueError: `size` is None.
    """
    if size is None:
        raise ValueError("the number of training images is not known: give data.clusters=N, about a hundredth of them")
    share = 1.0 if classes is None or not of else len(classes) / of
    return max(int(size * share) // 100, 2)


def _clusters_without(classes: int | None, size: int | None) -> int | None:
    """Return a hundredth of `size`, the number of images; None where there are classes, or no images are known."""
    return None if classes is not None or size is None else _hundredth(size)


def _up_to(value: float | None, limit: float, within: Any, beyond: Any) -> Any:
    """Return `within` where a value is at most `limit`, else `beyond`."""
    return within if value is not None and value <= limit else beyond


def _widened(shape: Sequence[int], times: int, plus: int | None = 0) -> ListConfig:
    """Return `shape` with `times` as many channels, and `plus` more."""
    return ListConfig([shape[0] * times + (plus or 0), *shape[1:]])


def _image_shape(channels: int, size: int | Sequence[int]) -> ListConfig:
    """Return [channels, height, width] of images of one size, their side or [height, width]."""
    return ListConfig([channels, *(size if isinstance(size, Sequence) else (size, size))])


def _fact_in(key: str, default: Any = None, *, fact: str, _parent_: DictConfig) -> Any:
    """Return a fact of the folder that the key beside names; `default` where it names no folder of images."""
    facts = None if _names_nothing(_parent_, key) else folder_facts(str(_parent_[key]))
    return default if facts is None else _plain_fact(facts, fact)


def _dataset_fact(fact: str, default: Any = None, *, _parent_: DictConfig) -> Any:
    """Return a fact of the data set that the keys beside name; `default` where they name none that can be read."""
    if _names_nothing(_parent_, "name"):
        return default
    facts = dataset_facts(Source(*(_parent_[key] for key in Source._fields)))
    return default if facts is None else _plain_fact(facts, fact)


def _plain_fact(facts: FolderFacts, fact: str) -> Any:
    value = getattr(facts, fact)
    return ListConfig(list(value)) if isinstance(value, tuple) else value


def _dataset_image_size(accepts: Mapping[str, Any] | None, *, _parent_: DictConfig) -> int:
    """Return the side, of those that a model accepts, nearest to the images of that data set."""
    return nearest_side(_dataset_fact("side", 64, _parent_=_parent_), accepts)


def _image_size_in(key: str, accepts: Mapping[str, Any] | None, *, _parent_: DictConfig) -> int:
    """Return the side, of those that a model accepts, nearest to the images of that folder; to 64 where it has none."""
    return nearest_side(_fact_in(key, 64, fact="side", _parent_=_parent_), accepts)


def _name_of(key: str, *, _parent_: DictConfig) -> str | None:
    """Return the name of the file or folder that the key beside names, without its ending."""
    return None if _names_nothing(_parent_, key) else Path(str(_parent_[key])).expanduser().absolute().stem


def _names_nothing(config: DictConfig, key: str) -> bool:
    return OmegaConf.is_missing(config, key) or config[key] is None


def _sweep_name() -> str | None:
    directory = sweep_dir()
    return directory.name if directory else None


def _job_name(name: str) -> str:
    """Return what a job is called in its sweep; `name` and what else was typed for a single run."""
    hydra = HydraConfig.get()
    return Path(hydra.sweep.subdir).name if sweep_dir() else single_name(name, typed(hydra.overrides.task))


def _swept_keys(*, _root_: DictConfig) -> str:
    """Return the keys that a command line sweeps over, such as ``loss-seed``; ``search`` where it lists none."""
    overrides = OverridesParser.create().parse_overrides(typed(_root_.hydra.overrides.task))
    keys = [re.sub(r"[^\w.]+", "_", override.key_or_group) for override in overrides if override.is_sweep_override()]
    return "-".join(dict.fromkeys(keys))[:100] or "search"


def _sweep_or_run_dir() -> str:
    return str(sweep_dir() or HydraConfig.get().runtime.output_dir)


def plain(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as nested dicts and lists, every interpolation filled in."""
    return {str(key): value for key, value in plain_value(config).items()}


def plain_value(value: Any) -> Any:
    """Return a value of a configuration as plain Python has it, every interpolation filled in."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that is no mapping, with its dotted key."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def format_value(value: Any) -> str:
    """Return a value as the user would type it."""
    if isinstance(value, (DictConfig, ListConfig)):
        return str(OmegaConf.to_container(value))
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def typed(overrides: list[str]) -> list[str]:
    """Return overrides as they were typed, interpolations unresolved."""
    found = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(found, list)
    return [str(override) for override in found]


def quoted(text: str) -> str:
    """Return `text` quoted, so that Hydra reads it as it stands."""
    escaped = re.sub(r"(\\*)'", r"\1\1\'", text)  # only backslashes before a quote are escaped
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped).replace("${", "\\${") + "'"


def unquoted(choice: str) -> str:
    """Return a value of a sweep without Hydra's quotes."""
    return str(OverridesParser.create().parse_override(f"key={choice}").value())


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Return `arguments` with quotes about paths that are there and that Hydra would read as lists.

    Such as the directory of a sweep's job, ``ckpt_path=outputs/sweeps/losses/loss=lsgan,seed=0``.
    """
    pairs = [argument.partition("=") for argument in arguments]
    return [f"{key}={quoted(value)}" if is_odd_path(value) else key + sign + value for key, sign, value in pairs]


def is_odd_path(value: str) -> bool:
    """Return whether `value` is a path that is there, with signs in it that mean something to Hydra."""
    return re.search("[=,]", value) is not None and os.path.exists(os.path.expanduser(value))
