"""Checks of a configuration before work starts: all problems at once, within a second, without importing torch."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, flag_override, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from gan_lightning.runs.additions import CONTAINERS, foreign_keys, missing_modules, unread_keys
from gan_lightning.runs.compatibility import incompatibilities, selected_by
from gan_lightning.runs.inherit import inherit
from gan_lightning.runs.init_networks import inherit_networks
from gan_lightning.runs.memory import refuse_large_networks
from gan_lightning.runs.run_dir import refuse_escapes, require_writable
from gan_lightning.trainer.ranks import started_as_rank_zero
from gan_lightning.utils.composition import sentence
from gan_lightning.utils.conf import conf_dir, format_value, leaves, typed
from gan_lightning.utils.errors import UserError, names_that_fit
from gan_lightning.utils.find_images import list_images


class BeforeTheRun(Callback):
    """A callback of Hydra's, between composing a single run's configuration and making its directory."""

    def on_run_start(self, config: DictConfig, config_name: str | None = None, **kwargs: Any) -> None:
        """Take over the settings of a run that is resumed.

        Exits with code 2 and all problems on standard error, if there are any; nothing was written by then.
        """
        with open_dict(config.hydra):
            config.hydra.runtime.output_dir = "."  # not known yet, and referred to by paths below it
        HydraConfig.instance().set_config(config)
        try:
            with names_that_fit():
                inherit(config)
                inherit_networks(config)
                refuse_escapes(Path(config.hydra.run.dir))
                validate(config, config_name or "train")
            if not config.hydra.run.dir:
                raise UserError("hydra.run.dir= is empty: name a folder, or leave it out")
            if started_as_rank_zero():
                directory = Path(config.hydra.run.dir)
                new = not directory.exists()
                require_writable(directory)
                if new:
                    directory.rmdir()  # Hydra makes it again, once the networks are known to fit
            if config_name == "train":
                refuse_large_networks(config)
        except (UserError, OmegaConfBaseException) as error:
            problem = error if isinstance(error, UserError) else UserError(sentence(error))
            if started_as_rank_zero():  # of the ranks that torchrun or srun starts, one reports it
                sys.stderr.write(problem.report() + "\n")
            sys.exit(problem.exit_code)


def validate_job(config: DictConfig, config_name: str) -> None:
    """`validate` for a job that has started: Hydra has taken its own part out of `config` by then."""
    whole = config.copy()
    with open_dict(whole):
        whole.hydra = HydraConfig.get()
    inherit_networks(whole)
    validate(whole, config_name)
    with flag_override(config, ["struct", "readonly"], [False, False]):
        for part in ("model", "prior", "data"):
            config[part] = whole._get_node(part)


def validate(config: DictConfig, config_name: str) -> None:
    """Check a composed configuration, `hydra` included.

    Raises:
        UserError: with every problem found.
    """
    problems = [*wrong_values(config), *wrong_overrides(config, config_name), *missing_modules(config)]
    # What fits what is checked only for values that are there and of their kind.
    problems = problems or list(unresolved(config)) or list(incompatibilities(config))
    if problems:
        raise UserError(list(dict.fromkeys(problems)))


# Values


class Rule(NamedTuple):
    """What the values of the keys that match one of `patterns` must be. The first rule that matches a key holds."""

    patterns: tuple[str, ...]
    holds: Callable[[Any], bool]
    kind: str


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _int(value: Any, minimum: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _below_one(value: Any) -> bool:
    return _number(value) and 0 <= value < 1


def _betas(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_below_one, value))


def _devices(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_int(index, minimum=0) for index in value)
    return value in ("auto", -1) or _int(value)


def _shape(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_int, value))


def _image_size(value: Any) -> bool:
    return all(_int(side) for side in value) and len(value) == 2 if isinstance(value, list) else _int(value)


COUNTS = (
    *("max_iterations", "micro_batches", "*_every", "data.batch_size", "wrappers.*.pack"),
    "trainer.num_nodes",
)
PROFILERS = (None, "simple", "advanced", "pytorch")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")

# The keys that are typed most, and those that the checks of compatibility.py calculate with. All others are checked by
# the constructors that take them.
RULES = (
    Rule(("seed",), lambda value: _int(value, 0) and value < 2**32, "a whole number from 0 to 4294967295"),
    Rule(("seeds", "stop.patience"), lambda value: value is None or _int(value), "a whole number, at least 1, or null"),
    Rule(("stop.max_hours",), lambda value: value is None or _positive(value), "a number above 0, or null"),
    Rule(COUNTS, _int, "a whole number, at least 1"),
    Rule(("data.shape",), _shape, "a list of whole numbers, such as [1,28,28]"),
    Rule(("data.image_size",), _image_size, "a whole number, at least 1, or [height,width]"),
    Rule(("freeze_discriminator",), lambda value: _int(value, 0), "a whole number of layers, from 0"),
    Rule(("resume",), lambda value: value in (None, "auto"), "auto or null"),
    Rule(("optimizer*.lr",), _positive, "a number above 0"),
    Rule(("optimizer*.betas",), _betas, "two numbers from 0 to below 1, such as [0.5,0.999]"),
    Rule(("optimizer*.momentum",), _below_one, "a number from 0 to below 1"),
    Rule(("trainer.devices",), _devices, "a number of devices, a list such as [0,1], or auto"),
    Rule(("trainer.precision",), lambda value: value in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
    Rule(("trainer.benchmark",), lambda value: value in (True, False, None), "true, false or null"),
    Rule(("trainer.profiler",), lambda value: value in PROFILERS, "simple, advanced, pytorch or null"),
    Rule(("trainer.compile",), lambda value: value in (True, False, "cuda_graphs"), "true, false or cuda_graphs"),
    Rule(
        ("trainer.accelerator",),
        lambda value: value in ("auto", "cpu", "gpu", "cuda", "mps"),
        "auto, cpu, gpu or mps",
    ),
)


def wrong_values(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for each value that breaks the rule of its key.

    A value that refers to another key has none, but for one of the environment.
    """
    tree: Any = OmegaConf.to_container(config, resolve=False)
    del tree["hydra"]
    for key, value in leaves(tree):
        rule = rule_of(key)
        if "${oc.env:" in str(value):
            with suppress(OmegaConfBaseException):  # said by `unresolved`
                value = OmegaConf.select(config, key)
        if rule is None or value == "???" or "${" in str(value):
            continue
        if not rule.holds(value):
            yield f"{key} must be {rule.kind}, not {format_value(value)}"


def unresolved(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for the first value that refers to one that is not there."""
    job = config.copy()
    with open_dict(job):
        del job["hydra"]
    try:
        OmegaConf.to_container(job, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        yield f"{error.full_key} has no default: give it, as in {error.full_key}=..."
    except OmegaConfBaseException as error:
        reason = re.sub(r"^\w+ raised while resolving interpolation: ", "", str(error).splitlines()[0]).strip(".'\"")
        if "environment variable" in reason:
            yield f"{error.full_key} cannot be filled in: {reason}"
            return
        if "training images" in reason and (problem := no_images(OmegaConf.select(config, "data.root"))):
            yield problem
            return
        replaced = list(replaced_by_others(config.hydra.runtime.choices))
        way_out = " and ".join(replaced) or "choose data, metrics and callbacks that go together"
        yield f"{error.full_key} cannot be filled in ({reason}): {way_out}"


def no_images(root: object) -> str | None:
    """Return a sentence that says why a folder `root` has no images; None where it has some, or is no path."""
    if isinstance(root, str):
        try:
            list_images("data.root", Path(root).expanduser())
        except FileNotFoundError as error:
            return str(error)
    return None


def replaced_by_others(choices: DictConfig) -> Iterator[str]:
    """Yield a way out for each choice of the variant that the experiment or the command line replaced."""
    variant = choices.get("variant")
    for group, answer in selected_by("variant", variant).items():
        other = choices.get(group)
        if other != answer:
            yield f"add {group}={answer}, which variant={variant} selects and {group}={other} replaced"


def rule_of(key: str) -> Rule | None:
    """Return the first rule for `key`."""
    return next((rule for rule in RULES if any(fnmatchcase(key, pattern) for pattern in rule.patterns)), None)


# Overrides: a value that was typed is compared with the default that it replaces


def wrong_overrides(config: DictConfig, config_name: str) -> Iterator[str]:
    """Yield a sentence for each override whose value is not of the kind of its default, or that nothing reads."""
    given = OverridesParser.create().parse_overrides(typed(config.hydra.overrides.task))
    loader = GlobalHydra.instance().config_loader()
    choices = [override for override in given if loader.get_group_options(override.key_or_group)]
    values = [override for override in given if override not in choices and not override.is_delete()]
    if not values:
        return
    lines = [str(override.input_line) for override in choices]
    defaults = loader.load_configuration(config_name, overrides=lines, run_mode=RunMode.RUN)
    yield from unread_keys(config, [override for override in values if override.is_add()], defaults)
    for key in [str(override.key_or_group) for override in values if not override.is_add()]:
        parent = key.rpartition(".")[0]
        if rule_of(key) is not None or (parent and OmegaConf.select(config, parent) is None):
            continue  # checked already, or of a part that was switched off as a whole
        try:
            before, after = OmegaConf.select(defaults, key), OmegaConf.select(config, key)
        except OmegaConfBaseException:
            continue
        wanted = kind_wanted(before, key)
        if wanted is not None and not wanted.holds(after):
            yield f"{key} must be {wanted.kind}, not {format_value(after)}"


def kind_wanted(default: Any, key: str) -> Rule | None:
    """Return the rule for what may replace the `default` of a key; None where its type does not tell."""
    if isinstance(default, bool):
        return Rule((), lambda value: isinstance(value, bool), "true or false")
    if isinstance(default, (int, float)):
        return Rule((), lambda value: value is None or _number(value), "a number")
    if isinstance(default, ListConfig):
        return Rule((), lambda value: value is None or isinstance(value, ListConfig), "a list such as [1,2]")
    if isinstance(default, DictConfig):
        names = [str(name) for name in default if name != "_target_"]
        kind = f"left as it is, but for its keys, such as {key}.{names[0]}" if names else "a mapping"
        optional = key.rpartition(".")[0] in (*CONTAINERS, "schedule")  # as callbacks.samples=null
        return Rule((), lambda value: isinstance(value, DictConfig) or (optional and value is None), kind)
    return None


def refuse_arguments(arguments: list[str]) -> None:
    """Refuse what Hydra's own checks would not explain.

    Raises:
        UserError: an argument sets one of `additions.FOREIGN_KEYS`, sets a group to null, or chooses a plugin of
            Hydra's that is not installed.
    """
    pairs = [argument.lstrip("+~").partition("=")[::2] for argument in arguments]
    problems = list(foreign_keys(arguments))
    problems += [
        f"{group}=null is no choice: leave {group} out, or name one of the files of conf/{group}"
        + (", such as none" if Path(conf_dir(), group, "none.yaml").is_file() else "")
        for group, value in pairs
        if value == "null" and Path(conf_dir(), group).is_dir()
    ]
    problems += [problem for group, answer in pairs for problem in missing_plugins(group, answer)]
    if problems:
        raise UserError(problems)


def missing_plugins(group: str, answer: str) -> Iterator[str]:
    """Yield a sentence if conf/`group`/`answer`.yaml overrides a part of Hydra's with a plugin that is not installed.

    The comment at the top of that file says how to install it.
    """
    file = Path(conf_dir(), group, f"{answer}.yaml")
    command = re.search(r"pip install \S+", file.read_text(encoding="utf-8")) if file.is_file() else None
    if command is None:
        return
    Plugins.instance()  # adds those that are installed to Hydra's configuration
    plugins = [pair for pair in selected_by(group, answer).items() if pair[0].startswith("hydra/")]
    for plugin_group, plugin in plugins:
        own = Path(conf_dir(), plugin_group, f"{plugin}.yaml").is_file() and find_spec(answer)  # over that library
        if not own and f"{plugin}.yaml" not in ConfigStore.instance().list(plugin_group):
            yield f"{group}={answer} needs a plugin of Hydra that is not installed: {command[0]}"
