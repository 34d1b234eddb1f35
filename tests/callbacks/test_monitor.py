from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playing import Batches, quiet_trainer, tiny_gan

from gan_lightning.callbacks.monitor import Monitor
from gan_lightning.loggers import MetricsCSV


def test_losses_rates_and_speed_are_in_the_log(tmp_path: Path):
    gan = tiny_gan(max_iterations=4)
    logger = MetricsCSV(tmp_path / "metrics.csv")
    quiet_trainer(callbacks=[Monitor(every=2)], logger=logger).fit(gan, Batches(gan))
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open(newline="")))
    assert [row["iteration"] for row in rows] == ["2", "4"]
    for name, loss in gan.losses.items():
        assert float(rows[-1][name]) == pytest.approx(loss.item())
    assert float(rows[0]["lr/generator"]) == float(rows[0]["lr/discriminator"]) == 1e-2
    assert [int(row["images"]) for row in rows] == [16, 32]
    assert all(float(row["images_per_second"]) > 0 for row in rows)
