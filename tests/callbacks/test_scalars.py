from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from helpers.tiny_gan import Batches, quiet_trainer, tiny_gan
from torch import Tensor

from gan_lightning.callbacks.scalars import LogScalars
from gan_lightning.game import Objective, Round
from gan_lightning.loggers import MetricsCSV
from gan_lightning.losses.adversarial import NonSaturating


def test_losses_rates_and_speed_are_in_the_log(tmp_path: Path):
    gan = tiny_gan(max_iterations=4)
    logger = MetricsCSV(tmp_path / "metrics.csv")
    quiet_trainer(callbacks=[LogScalars(every=2)], logger=logger).fit(gan, Batches(gan))
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open(newline="")))
    assert [row["iteration"] for row in rows] == ["2", "4"]
    for name, loss in gan.losses.items():
        assert float(rows[-1][name]) == pytest.approx(loss.item())
    assert float(rows[0]["lr/generator"]) == float(rows[0]["lr/discriminator"]) == 1e-2
    assert [int(row["images"]) for row in rows] == [16, 32]
    assert all(float(row["images_per_second"]) > 0 for row in rows)


class Counting(Objective):
    """Has no term, and counts turns in a state that it lets be read."""

    turns: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("turns", torch.zeros((), dtype=torch.long))

    def after_discriminator_step(self, round: Round) -> None:
        self.turns.add_(1)

    def scalars(self) -> dict[str, Tensor]:
        return {"turns": self.turns, "twice": 2.0 * self.turns}


def test_readings_of_an_objective_are_in_the_log_under_its_name(tmp_path: Path):
    gan = tiny_gan({"adversarial": NonSaturating(), "counting": Counting()}, max_iterations=4)
    logger = MetricsCSV(tmp_path / "metrics.csv")
    quiet_trainer(callbacks=[LogScalars(every=2)], logger=logger).fit(gan, Batches(gan))
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open(newline="")))
    assert [float(row["counting/turns"]) for row in rows] == [2, 4]
    assert [float(row["counting/twice"]) for row in rows] == [4, 8]
    assert not [name for name in rows[0] if name.startswith("adversarial/")]
