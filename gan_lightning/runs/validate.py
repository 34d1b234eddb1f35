"""What cannot work, told before work starts: all problems at once, in well under a second, without importing torch."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from gan_lightning.runs.compatibility import incompatibilities, selected_by
from gan_lightning.trainer.ranks import started_as_rank_zero
from gan_lightning.utils.conf import conf_dir, format_value
from gan_lightning.utils.errors import UserError


class BeforeTheRun(Callback):
    """Hydra calls this between composing a single run's configuration and making its directory."""

    def on_run_start(self, config: DictConfig, config_name: str | None = None, **kwargs: Any) -> None:
        """Exit with code 2 and all problems on standard error, if there are any; nothing was written by then."""
        with open_dict(config.hydra):
            config.hydra.runtime.output_dir = "."  # not known yet, and asked for by paths below it
        HydraConfig.instance().set_config(config)
        try:
            validate(config, config_name or "train")
        except UserError as error:
            if started_as_rank_zero():  # of the ranks that torchrun or srun starts, one tells it
                sys.stderr.write(error.report() + "\n")
            sys.exit(error.exit_code)


def validate_job(config: DictConfig, config_name: str) -> None:
    """`validate` for a job that has started: Hydra has taken its own part out of `config` by then."""
    whole = config.copy()
    with open_dict(whole):
        whole.hydra = HydraConfig.get()
    validate(whole, config_name)


def validate(config: DictConfig, config_name: str) -> None:
    """Check a composed configuration, `hydra` included.

    Raises:
        UserError: with every problem found.
    """
    problems = [*wrong_values(config), *wrong_types(config, config_name)]
    # What fits what is asked only of values that are there and what they should be.
    problems = problems or list(unresolved(config)) or list(incompatibilities(config))
    if problems:
        raise UserError(list(dict.fromkeys(problems)))


# Values


class Rule(NamedTuple):
    """What the values of the keys that match `pattern` must be; the first pattern that matches a key counts."""

    pattern: str
    holds: Callable[[Any], bool]
    kind: str


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _positive_whole(value: Any) -> bool:
    return _whole(value) and value >= 1


def _whole_from_zero(value: Any) -> bool:
    return _whole(value) and value >= 0


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _not_negative(value: Any) -> bool:
    return _number(value) and value >= 0


def _share_below_one(value: Any) -> bool:
    return _number(value) and 0 <= value < 1


def _betas(value: Any) -> bool:
    return isinstance(value, ListConfig) and len(value) == 2 and all(_share_below_one(beta) for beta in value)


def _indices(value: Any) -> bool:
    return isinstance(value, ListConfig) and len(value) > 0 and all(_whole(index) and index >= 0 for index in value)


def _devices(value: Any) -> bool:
    return _indices(value) or value in ("auto", -1) or _positive_whole(value)


def _or_null(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or holds(value)


PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")

RULES = (
    Rule("seed", lambda value: _whole(value) and 0 <= value < 2**32, "a whole number from 0 to 4294967295"),
    Rule("max_iterations", _positive_whole, "a whole number of iterations, at least 1"),
    Rule("resume", lambda value: value in (None, "auto"), "auto or null"),
    Rule("micro_batches", _positive_whole, "a whole number, at least 1"),
    Rule("*_every", _positive_whole, "a whole number of iterations, at least 1"),
    Rule("callbacks.*.every", _positive_whole, "a whole number of iterations, at least 1"),
    Rule("clip_gradient_norm", _or_null(_positive), "a number above 0, or null"),
    Rule("ema.half_life_images", _not_negative, "a number of images, 0 or more"),
    Rule("ema.ramp_up", _or_null(_positive), "a number above 0, or null"),
    Rule("data.batch_size", _positive_whole, "a whole number of samples, at least 1"),
    Rule("data.classes", _or_null(_indices), "a list of classes such as [2] or [0,1], or null for all"),
    Rule("data.std", _positive, "a number above 0"),
    Rule("loss.discriminator_steps", _positive_whole, "a whole number of discriminator updates, at least 1"),
    Rule("loss.objectives.*.every", _positive_whole, "a whole number of turns, at least 1"),
    Rule("loss.objectives.*.pool_size", _whole_from_zero, "a whole number of images, 0 or more"),
    Rule("metrics.num_fakes", _positive_whole, "a whole number of samples, at least 1"),
    Rule("optimizer*.lr", _positive, "a number above 0"),
    Rule("optimizer*.betas", _betas, "two numbers from 0 to below 1, such as [0.5,0.999]"),
    Rule("optimizer*.momentum", _share_below_one, "a number from 0 to below 1"),
    Rule("model.*.width", _positive_whole, "a whole number, at least 1"),
    Rule("model.*.depth", _positive_whole, "a whole number, at least 1"),
    Rule("model.*.blocks", _positive_whole, "a whole number, at least 1"),
    Rule("model.*.embedding_dim", _positive_whole, "a whole number, at least 1"),
    Rule("model.*.halvings", lambda value: value in (1, 2), "1 or 2"),
    Rule("model.*.code_dim", _positive_whole, "a whole number, at least 1"),
    Rule("wrappers.*.pack", _positive_whole, "a whole number of samples, at least 1"),
    Rule("prior.dim", _positive_whole, "a whole number, at least 1"),
    Rule("trainer.devices", _devices, "a number of devices, a list such as [0,1], or auto"),
    Rule("trainer.num_nodes", _positive_whole, "a whole number, at least 1"),
    Rule("trainer.precision", lambda value: value in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
    Rule("trainer.compile", lambda value: value in (True, False, "cuda_graphs"), "true, false or cuda_graphs"),
    Rule("data.train_size", _or_null(_positive_whole), "a whole number of samples, at least 1, or null"),
    Rule("data.image_size", _positive_whole, "a whole number of pixels, at least 1"),
    Rule("data.reference_size", _positive_whole, "a whole number of samples, at least 1"),
    Rule("trainer.accelerator", lambda value: value in ("auto", "cpu", "gpu", "cuda", "mps"), "auto, cpu, gpu or mps"),
)


def wrong_values(config: DictConfig) -> Iterator[str]:
    """A sentence for each value that breaks the rule of its key."""
    for key, value in leaves(config):
        rule = rule_of(key)
        if rule is not None and not rule.holds(value):
            yield f"{key} must be {rule.kind}, not {format_value(value)}"


def unresolved(config: DictConfig) -> Iterator[str]:
    """A sentence for the first value that refers to one that is not there."""
    job = config.copy()
    with open_dict(job):
        del job["hydra"]
    try:
        OmegaConf.to_container(job, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        yield f"{error.full_key} has no default: give it, as in {error.full_key}=..."
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        replaced = list(replaced_by_others(config.hydra.runtime.choices))
        way_out = " and ".join(replaced) or "choose data, metrics and callbacks that go together"
        yield f"{error.full_key} cannot be filled in ({reason}): {way_out}"


def replaced_by_others(choices: DictConfig) -> Iterator[str]:
    """A way out for each part that the variant brought along and the experiment or the command line replaced."""
    variant = choices.get("variant")
    for group, answer in selected_by("variant", variant).items():
        other = choices.get(group)
        if other != answer:
            yield f"add {group}={answer}, which variant={variant} brings along and {group}={other} replaced"


def rule_of(key: str) -> Rule | None:
    """The first rule that is about `key`."""
    return next((rule for rule in RULES if fnmatchcase(key, rule.pattern)), None)


def leaves(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that somebody typed, with its dotted key: interpolations are their source's business."""
    for name in map(str, config):
        key = prefix + name
        if key == "hydra" or OmegaConf.is_missing(config, name) or OmegaConf.is_interpolation(config, name):
            continue
        value = config[name]
        if isinstance(value, DictConfig):
            yield from leaves(value, f"{key}.")
        elif not isinstance(value, ListConfig) or not any(
            OmegaConf.is_interpolation(value, index) for index in range(len(value))
        ):
            yield key, value


# Types: a value that a user gave is held against the value it replaces


def wrong_types(config: DictConfig, config_name: str) -> Iterator[str]:
    """A sentence for each overridden value that is not of the kind of the default it replaces."""
    given = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    loader = GlobalHydra.instance().config_loader()
    choices = [override for override in given if loader.get_group_options(override.key_or_group)]
    keys = [o.key_or_group for o in given if o not in choices and not o.is_add() and not o.is_delete()]
    keys = [key for key in keys if rule_of(key) is None]
    if not keys:
        return
    lines = [str(override.input_line) for override in choices]
    defaults = loader.load_configuration(config_name, overrides=lines, run_mode=RunMode.RUN)
    for key in keys:
        parent = key.rpartition(".")[0]
        if parent and OmegaConf.select(config, parent) is None:
            continue  # a part that was switched off as a whole
        try:
            before, after = OmegaConf.select(defaults, key), OmegaConf.select(config, key)
        except OmegaConfBaseException:
            continue
        wanted = kind_wanted(before)
        if wanted is not None and not wanted.holds(after):
            yield f"{key} must be {wanted.kind}, not {format_value(after)}"


def kind_wanted(default: Any) -> Rule | None:
    """What may replace `default`; None where that cannot be told from it."""
    if isinstance(default, bool):
        return Rule("", lambda value: isinstance(value, bool), "true or false")
    if isinstance(default, (int, float)):
        return Rule("", _number, "a number")
    if isinstance(default, ListConfig):
        return Rule("", lambda value: value is None or isinstance(value, ListConfig), "a list such as [1,2]")
    return None


# Keys of Lightning that this game counts, clips or splits by itself

FOREIGN_KEYS = {
    "trainer.max_steps": "max_iterations=N counts generator updates (Lightning's steps count every optimizer's)",
    "trainer.max_epochs": "max_iterations=N is the budget, in generator updates",
    "trainer.max_time": "max_iterations=N is the budget, in generator updates",
    "trainer.gradient_clip_val": "clip_gradient_norm=X clips each player's gradient",
    "trainer.gradient_clip_algorithm": "clip_gradient_norm=X clips each player's gradient",
    "trainer.accumulate_grad_batches": "micro_batches=N computes each update in N pieces of data.batch_size",
    "trainer.val_check_interval": "evaluate_every=N evaluates every N iterations",
    "trainer.check_val_every_n_epoch": "evaluate_every=N evaluates every N iterations",
    "trainer.log_every_n_steps": "log_every=N logs every N iterations",
    "trainer.fast_dev_run": "max_iterations=2 makes a short run",
}


def refuse_foreign_keys(arguments: list[str]) -> None:
    """Name our own key to whoever uses Lightning's, and the way out to whoever answers a question with null.

    Raises:
        UserError: when a command-line argument sets one of `FOREIGN_KEYS`, or a group to null, on which Hydra fails.
    """
    keys = [argument.lstrip("+~").split("=")[0] for argument in arguments]
    problems = [
        f"{key} does not apply to a game of two players: {FOREIGN_KEYS[key]}" for key in keys if key in FOREIGN_KEYS
    ]
    groups = [key for key, _, value in (argument.partition("=") for argument in arguments) if value == "null"]
    problems += [
        f"{group}=null is no answer: leave {group} out, or name one of the files of conf/{group}"
        for group in groups
        if Path(conf_dir(), group).is_dir()
    ]
    if problems:
        raise UserError(problems)
