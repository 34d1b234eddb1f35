from __future__ import annotations

from typing import Any

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gan_lightning.sweeps.space import distribution, shortened, suggest
from gan_lightning.utils.errors import UserError


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("loss=gan,lsgan", CategoricalDistribution(["gan", "lsgan"])),
        ("optimizer.betas=choice([0,0.99],[0.5,0.999])", CategoricalDistribution(["[0,0.99]", "[0.5,0.999]"])),
        ("scale=choice(1,1e39)", CategoricalDistribution(["1", "1e+39"])),
        ("lr=interval(0,1)", FloatDistribution(0, 1)),
        ("lr=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("dim=int(interval(1,10))", IntDistribution(1, 10)),
        ("dim=range(1,10,2)", IntDistribution(1, 9, step=2)),
        ("beta=range(0,1,0.25)", FloatDistribution(0, 0.75, step=0.25)),
    ],
)
def test_hydras_grammar_is_the_space(line: str, expected: Any):
    assert distribution(OverridesParser.create().parse_override(line)) == expected


@pytest.mark.parametrize("line", ["lr=tag(log,interval(0,1))", "lr=interval(1,0)", "dim=range(3,3)"])
def test_a_space_without_values_is_refused(line: str):
    with pytest.raises(UserError, match="cannot be searched"):
        distribution(OverridesParser.create().parse_override(line))


def test_what_a_trial_draws_can_be_typed_and_is_drawn_once():
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    space = {
        "lr": FloatDistribution(1e-6, 1e-4, log=True),
        "n": IntDistribution(1, 9),
        "o": CategoricalDistribution("ab"),
    }
    drawn = {name: suggest(trial, name, values) for name, values in space.items()}
    assert float(drawn["lr"]) == trial.params["lr"] and int(drawn["n"]) == trial.params["n"]
    assert drawn == {name: suggest(trial, name, values) for name, values in space.items()}


@pytest.mark.parametrize(
    ("value", "short"), [("0.00123456", "0.001235"), ("12", "12"), ("[0,1]", "[0,1]"), ("adam", "adam")]
)
def test_names_have_numbers_of_four_digits(value: str, short: str):
    assert shortened(value) == short
