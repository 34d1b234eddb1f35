"""Lightning's own callbacks, `+callbacks.x=`, see the metrics under their names and act after evaluations."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from helpers.compose import composed, job_part
from helpers.evaluated_games import evaluation, fit
from helpers.jobs import train
from helpers.run_script import TINY
from helpers.tiny_gan import play, quiet_trainer, tiny_gan
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.utils.data import DataLoader

from gan_lightning.callbacks.scalars import LogScalars
from gan_lightning.utils.errors import UserError

CALLBACKS = "lightning.pytorch.callbacks"
GAME = (*TINY, "callbacks.density=null", "logger=csv", "trainer.precision=32-true", "data.reference_size=50")


def run(folder: Path, *overrides: str) -> dict:
    with composed(*GAME, "metrics.num_fakes=50", *overrides, directory=folder) as config:
        return train(job_part(config))


def test_early_stopping_counts_evaluations(tmp_path: Path):
    """None of the later evaluations is better by a thousand, so that the patience of 2 ends with the third."""
    settings = "monitor: val/wasserstein1, min_delta: 1000, patience: 2"
    stop = f"+callbacks.stop={{_target_: {CALLBACKS}.EarlyStopping, {settings}}}"
    result = run(tmp_path, stop, "evaluate_every=2", "max_iterations=20")
    assert (result["status"], result["iterations"]) == ("finished", 6)
    assert json.loads((tmp_path / "result.json").read_text())["final_iteration"] == 6


def test_a_monitored_metric_that_is_not_measured_is_refused_before_training(tmp_path: Path):
    with pytest.raises(UserError, match="EarlyStopping monitors val/fid, which is not measured: choose from val/wass"):
        run(tmp_path, f"+callbacks.stop={{_target_: {CALLBACKS}.EarlyStopping, monitor: val/fid}}")
    with pytest.raises(UserError, match="ModelCheckpoint monitors val/fid, which is not measured: choose metrics"):
        run(tmp_path, f"+callbacks.keep={{_target_: {CALLBACKS}.ModelCheckpoint, monitor: val/fid}}", "metrics=none")


def test_model_checkpoint_keeps_the_best_evaluations(tmp_path: Path):
    gan = tiny_gan(max_iterations=6)
    keep = ModelCheckpoint(
        tmp_path, monitor="val/mean", save_top_k=2, filename="{val/mean:.9f}", auto_insert_metric_name=False
    )
    seen: list[float] = []

    class Seen(EarlyStopping):
        def on_validation_end(self, trainer, pl_module):
            seen.append(trainer.callback_metrics["val/mean"].item())

    rhythm = {"val_check_interval": 1, "check_val_every_n_epoch": None}  # as `runs.training.build` sets it
    fit(gan, evaluation(every=1), keep, Seen("val/mean"), **rhythm)
    assert len(seen) == 6
    assert sorted(keep.best_k_models.values()) == pytest.approx(sorted(seen)[:2])
    assert all(Path(file).is_file() for file in keep.best_k_models)


def test_losses_and_rates_are_callback_metrics_too():
    gan = tiny_gan(max_iterations=2)
    trainer = play(gan, callbacks=[LogScalars(1)])
    metrics = trainer.callback_metrics
    assert metrics["generator/adversarial"].item() == pytest.approx(gan.losses["generator/adversarial"].item())
    assert math.isclose(metrics["lr/generator"].item(), 1e-2, rel_tol=1e-6)


def test_a_timer_and_a_monitor_of_learning_rates_work(tmp_path: Path):
    timer = f"+callbacks.timer={{_target_: {CALLBACKS}.Timer, duration: {{milliseconds: 1}}}}"
    result = run(tmp_path, timer, f"+callbacks.lr._target_={CALLBACKS}.LearningRateMonitor", "max_iterations=1000")
    assert result["status"] == "finished" and 0 < result["iterations"] < 1000


@pytest.mark.parametrize("profiler", ["simple", "advanced", "pytorch"])
def test_a_profiler_reports_in_the_run_directory(profiler: str, tmp_path: Path):
    run(tmp_path, f"trainer.profiler={profiler}", "metrics=none", "max_iterations=2")
    report = (tmp_path / "fit-profile.txt").read_text()
    assert ("Self CPU" if profiler == "pytorch" else "training_step") in report


def test_batches_may_be_samples_without_labels():
    gan = tiny_gan(max_iterations=3)
    quiet_trainer().fit(gan, DataLoader(torch.randn(32, 2), 8))  # type: ignore[arg-type]  # a tensor is a data set
    assert (gan.iterations, gan.images) == (3, 24)
