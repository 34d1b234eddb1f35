from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from scipy.integrate import quad
from scipy.stats import norm

from benchmarks import theory
from benchmarks.theory import (
    DATA,
    FIXED,
    OptimalDiscriminator,
    error_of,
    trained_discriminator,
    value_at_optimum,
    values_of_training,
)
from gan_lightning.data.distributions import Gaussian


def test_the_value_at_the_optimum_is_the_integral_of_equation_4() -> None:
    p, q = norm(3.0, 0.5), norm(2.0, 1.0)

    def integrand(x: float) -> float:
        best = p.pdf(x) / (p.pdf(x) + q.pdf(x))
        return float(p.pdf(x) * math.log(best) + q.pdf(x) * math.log(1 - best))

    assert value_at_optimum(DATA, FIXED) == pytest.approx(quad(integrand, -3, 8, points=[2, 3])[0], abs=1e-5)
    assert value_at_optimum(DATA, Gaussian(3.0, 0.5)) == pytest.approx(-math.log(4), abs=1e-6)
    assert value_at_optimum(Gaussian(-2.0, 0.1), Gaussian(6.0, 0.1)) == pytest.approx(0, abs=1e-6)


def test_the_best_discriminator_has_no_error_and_a_constant_one_that_of_one_half() -> None:
    assert error_of(OptimalDiscriminator(FIXED)) == pytest.approx(0, abs=1e-6)
    p, q = norm(3.0, 0.5), norm(2.0, 1.0)
    expected = quad(lambda x: abs(p.pdf(x) - q.pdf(x)) / 4, -4, 9, limit=200)[0]  # |1/2 - p / (p + q)| (p + q) / 2
    assert error_of(OptimalDiscriminator(DATA)) == pytest.approx(expected, abs=1e-4)


def test_more_samples_bring_the_discriminator_nearer() -> None:
    few, many = (sum(error_of(trained_discriminator(size, seed, 150)) for seed in (0, 1)) for size in (20, 2000))
    assert many < 0.7 * few


def test_a_generator_against_the_best_discriminator_comes_nearer_to_the_least_value() -> None:
    values = values_of_training((2.0, 1.0), 0, 300)
    assert values[0] == pytest.approx(value_at_optimum(DATA, FIXED))
    assert values[-1] < -1.38 and min(values) >= -math.log(4) - 1e-6
    assert torch.tensor(values).diff().clamp(min=0).sum() < 0.01, "it hardly ever rises"


def test_the_quick_form_leaves_tables_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theory.main(["--quick", "--results", str(tmp_path)])
    text = (tmp_path / "theory.md").read_text()
    assert "| 50 | 0." in text and "| N(1, 1) | -0.4377 |" in text
    assert text in capsys.readouterr().out
    with Image.open(tmp_path / "theory.png") as picture:
        assert picture.width > 500
