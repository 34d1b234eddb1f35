"""Statistics of a number over seeds, and whether groups of runs can be told apart by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import stats

LEVEL = 0.05
"""Adjusted p-values below this tell two groups apart."""

RESAMPLES = 10_000

TEST = "Welch's t-test of all pairs, p-values adjusted by Holm's method"


@dataclass(frozen=True)
class Summary:
    """A number over the seeds of one setting.

    Args:
        n: how many values.
        mean: of the values.
        std: their standard deviation, of n - 1 degrees of freedom; None for one value.
        interval: that holds the mean with 95 % confidence, by the bootstrap; None for one value.
    """

    n: int
    mean: float
    std: float | None
    interval: tuple[float, float] | None


def summarize(values: Sequence[float]) -> Summary:
    """Return the summary of at least one value."""
    several = len(values) > 1
    return Summary(
        n=len(values),
        mean=float(np.mean(values)),
        std=float(np.std(values, ddof=1)) if several else None,
        interval=bootstrap_interval(values) if several else None,
    )


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean, 95 % (Efron 1979), the same at each call."""
    drawn = np.random.default_rng(0).choice(np.asarray(values, dtype=float), size=(RESAMPLES, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of Welch's t-test, of two groups of at least two values each."""
    if np.ptp(first) == np.ptp(second) == 0:  # no spread to compare with
        return float(first[0] == second[0])
    return float(stats.ttest_ind(first, second, equal_var=False).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def compare(groups: Mapping[str, Sequence[float]]) -> dict[frozenset[str], float]:
    """Return the adjusted p-value of each pair of groups with at least two values, see `TEST`."""
    testable = [name for name, values in groups.items() if len(values) > 1]
    pairs = list(combinations(testable, 2))
    adjusted = holm([p_value(groups[a], groups[b]) for a, b in pairs])
    return {frozenset(pair): p for pair, p in zip(pairs, adjusted, strict=True)}


@dataclass(frozen=True)
class Verdict:
    """Which group is the best, as far as it can be told.

    Args:
        best: the group with the best mean.
        equals: other groups that cannot be told apart from it.
        untested: other groups that were not compared with it, as one of the two has a single value.
    """

    best: str
    equals: list[str]
    untested: list[str]

    @property
    def winner(self) -> str | None:
        """The best group, where it can be told apart from all others."""
        return None if self.equals or self.untested else self.best


def verdict(groups: Mapping[str, Sequence[float]], mode: Literal["min", "max"]) -> Verdict:
    """Return which of at least one group is the best.

    Args:
        groups: the values of each, at least one.
        mode: whether the smallest or the largest mean is best.
    """
    sign = 1 if mode == "min" else -1
    best = min(groups, key=lambda name: sign * np.mean(groups[name]))
    found = {name: compared for name in groups if name != best for compared in [frozenset((best, name))]}
    p_values = compare(groups)
    return Verdict(
        best=best,
        equals=[name for name, pair in found.items() if p_values.get(pair, 0.0) >= LEVEL],
        untested=[name for name, pair in found.items() if pair not in p_values],
    )
