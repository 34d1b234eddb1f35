"""Errors of constructors that Hydra calls, as one line that names the key a user typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from gan_lightning.utils.conf import conf_dir
from gan_lightning.utils.errors import UserError


@contextmanager
def user_errors() -> Iterator[None]:
    """Raise what constructors object to within the block as a `UserError` of one line.

    Raises:
        UserError: for a ValueError, an OSError, a MisconfigurationException of Lightning, or a target that Hydra cannot
            make.
    """
    try:
        yield
    except UserError:
        raise
    except InstantiationException as error:
        raise UserError(instantiation_problem(error)) from error
    except Exception as error:
        # Lightning's exception is compared by name, so that nothing has to import Lightning.
        if isinstance(error, (ValueError, OSError)) or type(error).__name__ == "MisconfigurationException":
            raise UserError(str(error)) from error
        raise


def instantiation_problem(error: InstantiationException) -> str:
    """Return what a constructor says, in one line; its key stands before what does not name it."""
    cause, message = error.__cause__, str(error)
    if isinstance(cause, (ValueError, OSError)) or (isinstance(cause, ImportError) and "pip install" in str(cause)):
        return str(cause)
    if located := re.search(r"Error locating target '([^']+)'", message):
        while cause is not None and cause.__cause__ is not None:
            cause = cause.__cause__
        return f"_target_={located[1]} cannot be imported: {' '.join(str(cause).split())}"
    key = typed_key(message.rpartition("full_key: ")[2].strip()) if "full_key: " in message else ""
    if unknown := re.search(r"(\S+?)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'", str(cause)):
        return (
            f"{key}.{unknown[2]} is no setting of {unknown[1]}: remove it with ~{key}.{unknown[2]}, or choose the part "
            "that it belongs to"
        )
    if key and isinstance(cause, TypeError):
        return f"{key} cannot be made from its settings: {cause}"
    return " ".join(message.split())


def typed_key(key: str) -> str:
    """Return the key that a user types for a part: ``gan.generator`` is ``${model.generator}`` in train.yaml."""
    node: Any = OmegaConf.load(Path(conf_dir(), "train.yaml"))
    names = key.split(".")
    node = node if names[0] in node else node.gan  # made from a copy of that part of the configuration alone
    for depth, name in enumerate(names, start=1):
        if not isinstance(node, DictConfig) or name not in node:
            break
        if OmegaConf.is_interpolation(node, name):
            raw: Any = OmegaConf.to_container(node, resolve=False)
            source = str(raw[name]).strip("${}")
            return ".".join([source, *names[depth:]])
        node = node[name]
    return key
