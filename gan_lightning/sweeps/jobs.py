"""The jobs of a sweep: the combinations of its values, each with a name that says what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from hydra.core.override_parser.types import Override

from gan_lightning.utils.errors import UserError
from gan_lightning.utils.job_names import job_name


@dataclass(frozen=True)
class Job:
    """A job of a sweep.

    Args:
        overrides: it is composed with, those that all jobs share included.
        settings: what differs from the other jobs, as value by key.
        name: of its directory in the sweep's.
    """

    overrides: tuple[str, ...]
    settings: dict[str, str]
    name: str


def expand(overrides: Sequence[Override], seed: int) -> list[Job]:
    """Return a job for each combination of values, the last key varying fastest, none of them twice.

    Names depend on a job's own values alone, and all have the seed: they stay when values and seeds are added.

    Args:
        overrides: of the sweep.
        seed: of the jobs where `overrides` do not sweep over it.

    Raises:
        UserError: a key has a range without a list of values.
    """
    lines: dict[str, list[str]] = {}
    swept: dict[str, None] = {}  # in the order of `lines`
    for override in overrides:
        key = override.get_key_element()
        swept.pop(key, None)  # of several overrides of one key the last holds
        lines.pop(key, None)
        if override.is_interval_sweep():
            raise UserError(f"{override.input_line} is a range to search in: list values, or add hparams_search=optuna")
        if override.is_sweep_override():
            swept[key] = None
            lines[key] = [f"{key}={value}" for value in dict.fromkeys(override.sweep_string_iterator())]
        else:
            lines[key] = [str(override.input_line)]
    keys = [bare(key) for key in swept]
    jobs = []
    for chosen in product(*lines.values()):
        values = [line.partition("=")[2] for key, line in zip(lines, chosen, strict=True) if key in swept]
        settings = dict(zip(keys, values, strict=True))
        jobs.append(Job(chosen, settings, job_name({**settings, "seed": settings.get("seed", seed)})))
    return jobs


def bare(key: str) -> str:
    """Return a key without the sign that adds it."""
    return key.lstrip("+~")
