"""The benchmark of metrics: all libraries find the same numbers, and its table says what they cost."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from benchmarks import metrics
from gan_lightning.metrics import fid as frechet
from gan_lightning.metrics import precision_recall as manifold


def test_metrics_of_all_libraries_agree_and_the_table_says_so(tmp_path: Path) -> None:
    fake, real = (metrics.random_features(200, 24, seed, scale) for seed, scale in ((1, 1.0), (2, 1.3)))
    for name, contenders in metrics.MEASURES.items():
        installed = [by for by in contenders if by != "pytorch-fid" or importlib.util.find_spec("pytorch_fid")]
        found = [metrics.CONTENDERS[by](name, fake, real) for by in installed]
        # Of all samples each time, the deviation of KID over its subsets is nothing but rounding.
        assert all(values == pytest.approx(found[0], rel=1e-4, abs=1e-6) for values in found)
        assert len(found) >= 2 and found[0][0] > 0


@pytest.mark.parametrize("name", ["FID", "KID", "precision, recall", "density, coverage"])
def test_a_later_evaluation_finds_the_real_samples_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake, real = metrics.random_features(120, 8, 1), metrics.random_features(100, 8, 2)
    shown: list[tuple[int, bool]] = []
    of_real = {"factor": 0, "radii": 0}
    metric = metrics.ours(name, 8)
    update = metric.update

    def noted(batch: Tensor, real: bool) -> None:
        shown.append((len(batch), real))
        update(batch, real)

    monkeypatch.setattr(metric, "update", noted)

    def counting(key: str, work: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def counted(features: Tensor, *more: int) -> Tensor:
            of_real[key] += key == "factor" or len(features) == len(real)
            return work(features, *more)

        return counted

    monkeypatch.setattr(frechet, "factor", counting("factor", frechet.factor))
    monkeypatch.setattr(manifold, "radii", counting("radii", manifold.radii))
    values, _ = metrics.again(metric, fake, real)
    assert shown == [(100, True), (120, False), (120, False)]
    assert of_real == {"factor": int(name == "FID"), "radii": int("," in name)}
    assert values == pytest.approx(metrics.shown(metrics.ours(name, 8), fake, real))


@pytest.mark.slow  # the processes load every library first
def test_a_metric_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    metrics.write_features(2000, 64, tmp_path)
    found = metrics.measure("density, coverage", "all distances at once", tmp_path)
    assert isinstance(found, metrics.Measured)
    assert found.seconds > 0
    assert 15 < found.mib < 150  # a matrix of 2 000 x 2 000 in float32 has 15 MiB
    failed = metrics.measure("FID", "all distances at once", tmp_path / "absent")
    assert isinstance(failed, str) and "No such file" in failed


def test_the_table_of_metrics_has_ratios_and_says_what_is_not_installed() -> None:
    results: dict[tuple[str, str], metrics.Measured | str] = {
        ("FID", metrics.OURS): metrics.Measured(2.0, 10.0, [1.25]),
        ("FID", "torchmetrics"): metrics.Measured(5.0, 20.0, [1.25]),
        ("FID", "pytorch-fid"): "not installed",
    }
    text = metrics.markdown(metrics.rows_of(results), metrics.remarks(9, 3, 61.0, results))
    assert "| FID | torchmetrics | 5.0 | 20 | 2.50 | 2.00 | 1.25 |" in text
    assert "| FID | pytorch-fid | not installed |" in text and "gan_lightning[benchmark]" in text


def test_the_measurement_of_metrics_writes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[str, str]] = []

    def measure(name: str, by: str, folder: Path) -> metrics.Measured:
        assert (folder / "fake.npy").is_file() and (folder / "real.npy").is_file()
        measured.append((name, by))
        return metrics.measure_here(name, by, folder)

    monkeypatch.setattr(metrics, "measure", measure)
    monkeypatch.setattr(metrics, "in_own_process", lambda work, *given: work(*given))
    monkeypatch.setattr(metrics, "MEASURES", {"FID": [metrics.OURS], "KID": [metrics.OURS, "torch-fidelity"]})
    monkeypatch.setattr(
        sys, "argv", ["metrics", "--count", "30", "--dim", "6", "--results", str(tmp_path / "results" / "m.md")]
    )
    metrics.main()
    assert measured == [("FID", metrics.OURS), ("FID", metrics.LATER), ("KID", metrics.OURS), ("KID", "torch-fidelity")]
    lines = (tmp_path / "results" / "m.md").read_text().splitlines()
    assert sum(line.startswith(("| FID", "| KID")) for line in lines) == 4
