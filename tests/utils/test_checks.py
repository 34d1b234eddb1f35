from __future__ import annotations

import math

import pytest
from omegaconf import OmegaConf

from gan_lightning.utils import checks


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.check_int, [1, 64], [0, -1, 1.0, "1", None, True]),
        (checks.check_finite, [0, -2.5], [math.nan, math.inf, "2", None, False]),
        (checks.check_positive, [1, 1e-3], [0, -1.0, math.inf, "1", None, True]),
        (checks.check_bool, [True, False], [0, 1, "true", None]),
        (checks.check_ints, [[0], (3, 1)], [[], 3, "3", [1.0], [-1], [True], None]),
    ],
)
def test_what_passes_comes_back_and_what_does_not_names_the_key(check, good, bad):
    for value in good:
        assert check("data.key", value) == (tuple(value) if check is checks.check_ints else value)
    for value in bad:
        with pytest.raises(ValueError, match="data.key"):
            check("data.key", value)


def test_a_list_of_a_configuration_is_a_list():
    assert checks.check_ints("data.shape", OmegaConf.create([1, 28, 28])) == (1, 28, 28)
