"""Keys and code that conf/ does not have: those that nothing reads or that cannot be imported. Needs no torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from gan_lightning.utils.conf import leaves

FOREIGN_KEYS = {
    "trainer.max_steps": "max_iterations=N counts generator updates (Lightning's steps count every optimizer's)",
    "trainer.max_epochs": "max_iterations=N is the budget, in generator updates",
    "trainer.gradient_clip_val": "clip_gradient_norm=X clips each player's gradient",
    "trainer.gradient_clip_algorithm": "clip_gradient_norm=X clips each player's gradient",
    "trainer.accumulate_grad_batches": "micro_batches=N computes each update in N pieces of data.batch_size",
    "trainer.val_check_interval": "evaluate_every=N evaluates every N iterations",
    "trainer.check_val_every_n_epoch": "evaluate_every=N evaluates every N iterations",
    "trainer.limit_val_batches": "metrics.num_fakes=N is the size of an evaluation",
    "trainer.num_sanity_val_steps": "evaluate_every=N evaluates every N iterations",
    "trainer.log_every_n_steps": "log_every=N logs every N iterations",
    "trainer.fast_dev_run": "max_iterations=2 makes a short run",
    "trainer.callbacks": "+callbacks.NAME={_target_: ...} adds a callback",
    "trainer.logger": "logger=csv, wandb or none chooses loggers",
    "trainer.default_root_dir": "hydra.run.dir=DIR is the run directory",
    "trainer.enable_checkpointing": "callbacks.checkpoint=null saves no checkpoints",
    "trainer.enable_progress_bar": "callbacks.progress=null shows no progress",
    "trainer.enable_model_summary": "+callbacks.summary._target_=lightning.pytorch.callbacks.ModelSummary prints one",
    "trainer.use_distributed_sampler": "data.batch_size is shared among the devices in any case",
    "trainer.plugins": "trainer.precision and trainer.strategy choose them",
}
"""Arguments of Lightning's Trainer that training sets itself, and what to choose in their place."""

CONTAINERS = ("callbacks", "logger", "metrics.metrics", "loss.objectives", "wrappers")
"""Mappings whose values are all built, or null: a part of one's own is added there."""

OPTIONAL = ("loss.energy", "model.accepts", "model.energies")
"""Facts that files of conf/ may state or leave out."""


def foreign_keys(arguments: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each of `FOREIGN_KEYS` that a command line sets."""
    for argument in arguments:
        key = argument.lstrip("+~").partition("=")[0]
        if key in FOREIGN_KEYS:
            yield f"{key} does not apply to a game of two players: {FOREIGN_KEYS[key]}"


def unread_keys(config: DictConfig, added: Sequence[Override], defaults: DictConfig) -> Iterator[str]:
    """Yield a sentence for each key that was added, with ``+key=``, and that nothing reads.

    Args:
        config: the whole configuration.
        added: overrides that add keys.
        defaults: the configuration without them.
    """
    tree: Any = OmegaConf.to_container(config, resolve=False)
    references = set(re.findall(r"[\w.]+", " ".join(str(value) for _, value in leaves(tree) if "${" in str(value))))
    for override in added:
        key = str(override.key_or_group)
        if key.startswith("hydra.") or key in OPTIONAL or OmegaConf.select(defaults, key) is not None:
            continue
        if override.value() is None and key.rpartition(".")[0] in CONTAINERS:
            continue  # leaves out a part that a run had which is resumed
        if key.startswith("trainer."):
            if key.removeprefix("trainer.") not in trainer_arguments():
                yield f"{key} is no argument of Lightning's Trainer: leave it out"
        elif not (is_built(tree, key) or key in references):
            inside = key.rpartition(".")[0]
            way_out = (
                f"give it a _target_, as in '+{key}={{_target_: ...}}'" if inside in CONTAINERS else "leave it out"
            )
            yield f"+{key} is read by nothing: {way_out}"


def is_built(tree: Any, key: str) -> bool:
    """Return whether a key is an argument of a part that is built, or such a part itself."""
    node, names = tree, key.split(".")
    for depth, name in enumerate(names, start=1):
        node = node.get(name) if isinstance(node, dict) else None
        if isinstance(node, dict) and "_target_" in node:
            return depth < len(names) or ".".join(names[:-1]) in CONTAINERS
    return False


@cache
def trainer_arguments() -> frozenset[str]:
    """Return the arguments of Lightning's Trainer, read in its source, as importing it takes seconds."""
    found = find_spec("lightning")
    assert found is not None and found.submodule_search_locations
    source = Path(found.submodule_search_locations[0], "pytorch", "trainer", "trainer.py")
    functions = (node for node in ast.walk(ast.parse(source.read_bytes())) if isinstance(node, ast.FunctionDef))
    init = next(function for function in functions if function.name == "__init__")
    return frozenset(argument.arg for argument in init.args.kwonlyargs)


def missing_modules(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for each package that a ``_target_`` names and that cannot be imported."""
    tree: Any = OmegaConf.to_container(config, resolve=False)
    for key, target in leaves({name: part for name, part in tree.items() if name != "hydra"}):
        package = str(target).partition(".")[0]
        if key.endswith("_target_") and package.isidentifier() and find_spec(package) is None:
            yield (
                f"{key}={target}: there is no module {package} here: start in the folder that holds it, name that "
                f"folder in PYTHONPATH, or install it"
            )
