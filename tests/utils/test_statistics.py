"""Statistics beside scipy's, hand values and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gan_lightning.utils.statistics import bootstrap_interval, compare, holm, p_value, summarize, verdict

LOW, HIGH = [1.0, 1.1, 0.9, 1.05], [2.0, 2.2, 1.9, 2.1]


def test_mean_and_deviation_are_those_of_the_hand():
    found = summarize([1.0, 2.0, 4.0, 5.0])
    assert (found.n, found.mean) == (4, 3.0)
    assert found.std == pytest.approx((10 / 3) ** 0.5)


def test_one_value_has_neither_deviation_nor_interval():
    found = summarize([3.0])
    assert (found.n, found.mean, found.std, found.interval) == (1, 3.0, None, None)


def test_the_interval_is_scipys():
    values = [0.3, 0.9, 0.5, 0.4, 0.7]
    reference = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1))
    assert bootstrap_interval(values) == pytest.approx(tuple(reference.confidence_interval), abs=0.01)


def test_the_interval_of_two_values_spans_both():
    """Means of two draws are a, (a + b) / 2 and b with shares 1/4, 1/2, 1/4."""
    assert bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)


def test_welchs_statistic_is_the_formulas():
    a, b = np.array([1.0, 2.0, 4.0]), np.array([2.0, 3.0, 7.0, 8.0])
    va, vb = a.var(ddof=1) / 3, b.var(ddof=1) / 4
    t = (a.mean() - b.mean()) / (va + vb) ** 0.5
    degrees = (va + vb) ** 2 / (va**2 / 2 + vb**2 / 3)
    assert p_value(a.tolist(), b.tolist()) == pytest.approx(2 * stats.t.sf(abs(t), degrees))


@pytest.mark.parametrize(("other", "p"), [(1.0, 1.0), (2.0, 0.0)])
def test_groups_without_spread_differ_where_their_values_do(other: float, p: float):
    assert p_value([1.0, 1.0], [other, other]) == p


def test_holms_adjustment_is_that_of_the_hand():
    """3 * .01, max(2 * .03, .03), max(1 * .04, .06); none above 1."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_a_winner_is_named_where_it_differs_from_all_others():
    found = verdict({"a": HIGH, "b": LOW}, "min")
    assert (found.best, found.winner) == ("b", "b")
    assert verdict({"a": HIGH, "b": LOW}, "max").winner == "a"


def test_there_is_no_winner_where_one_other_cannot_be_told_apart():
    found = verdict({"a": HIGH, "b": LOW, "c": [1.0, 1.2, 0.95, 1.0]}, "min")
    assert (found.best, found.equals, found.winner) == ("b", ["c"], None)


def test_a_single_value_is_never_compared():
    found = verdict({"a": LOW, "b": [5.0]}, "min")
    assert (found.best, found.untested, found.winner) == ("a", ["b"], None)
    assert compare({"a": LOW, "b": [5.0]}) == {}


def test_groups_of_one_distribution_are_told_apart_in_few_of_many_sweeps():
    rng = np.random.default_rng(0)
    sweeps = [{str(name): rng.normal(size=5).tolist() for name in range(6)} for _ in range(100)]
    wrong = sum(any(p < 0.05 for p in compare(groups).values()) for groups in sweeps)
    assert wrong <= 11  # 5 in the mean; without the adjustment some 40
