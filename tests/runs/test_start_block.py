"""What a run prints before it trains, and what its log holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.compose import composed, job_part
from helpers.run_script import TINY, Command
from helpers.tiny_gan import tiny_gan, weights

from gan_lightning.data.base import RealData
from gan_lightning.runs.start_block import in_minutes, in_words, multiply_adds, operations, start_block
from gan_lightning.runs.training import build
from gan_lightning.utils.conf import plain


def test_multiply_adds_are_those_of_the_matrix_products_and_leave_no_trace():
    gan = tiny_gan(batch_norm=True)
    before, state = weights(gan), torch.random.get_rng_state()
    assert multiply_adds(gan) == {"generator": 3 * 5 + 5 * 2, "discriminator": 2 * 5 + 5}
    assert torch.equal(weights(gan), before) and torch.equal(torch.random.get_rng_state(), state)
    assert gan.generator.training and gan.discriminator.training


def test_multiply_adds_of_a_pack_are_shared_among_its_samples(tmp_path: Path):
    with composed("experiment=ring", "variant=pacgan", "logger=none", directory=tmp_path) as config:
        settings = plain(job_part(config))
    _, gan, _ = build(settings, tmp_path)
    linear = [part for part in gan.discriminator.modules() if isinstance(part, torch.nn.Linear)]
    pack = next(part["pack"] for part in settings["wrappers"].values() if part)
    found = multiply_adds(gan, settings["wrappers"])
    assert found["discriminator"] == sum(part.in_features * part.out_features for part in linear) // pack


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            ["model=mlp", "variant=none", "data.classes=[3,5]"],
            "mnist10k: 1713 samples of 1 x 28 x 28, classes [3, 5], 64 an update",
        ),
        (["experiment=gaussian"], "gaussian: fresh samples for ever of 1, "),
        (["experiment=ring", "data.train_size=500"], "ring: 500 samples of 2, "),
        (["experiment=cyclegan"], "digit_outlines: 4500 samples of 2 x 28 x 28, "),
    ],
)
def test_the_samples_that_are_trained_on_are_counted(changes: list[str], said: str, tmp_path: Path):
    with composed(*changes, "logger=none", directory=tmp_path) as config:
        settings = plain(job_part(config))
    data, gan, trainer = build(settings, tmp_path)
    assert isinstance(data, RealData)
    assert start_block(settings, gan, trainer, data.training_size, tmp_path, 0)["data"].startswith(said)


def test_an_iteration_is_counted_pass_by_pass():
    """Forward 1, backward 2; real, fake and the generator's batch pass the discriminator, fakes are made twice."""
    of_discriminator, of_generator = 7 + 2 * (3 * 100), 3 * 7 + 3 * 100
    work = {"generator": 7, "discriminator": 100}
    assert operations(work, 1) == 2 * (of_discriminator + of_generator)
    assert operations(work, 5) == 2 * (5 * of_discriminator + of_generator)


def test_on_a_cpu_the_budget_says_what_a_gpu_would_take(tmp_path: Path):
    small = ("data=shapes", "data.train_size=8", "model.generator.width=4", "model.discriminator.width=4")
    with composed(*small, "variant=none", "metrics=none", "logger=none", directory=tmp_path) as config:
        settings = plain(job_part(config))
    _, gan, trainer = build(settings, tmp_path)
    work = multiply_adds(gan)
    seconds = settings["max_iterations"] * 64 * operations(work, 1) / 1e12
    assert seconds < 60
    said = start_block(settings, gan, trainer, 8, tmp_path, 0)["budget"]
    assert said.endswith(", less than a minute on a GPU that sustains 1 TFLOP/s")
    settings["max_iterations"] = round(600 / seconds * settings["max_iterations"])
    assert "about 10 minutes on a GPU" in start_block(settings, gan, trainer, 8, tmp_path, 0)["budget"]


def test_durations_are_whole_minutes():
    said = ["less than a minute", "about 1 minute", "about 2 minutes", "about 60 minutes"]
    assert [in_minutes(seconds) for seconds in (59, 89, 91, 3600)] == said


def test_counts_have_three_digits_and_a_unit():
    assert [in_words(number) for number in (7, 1000, 3_140_000, 2_000_000_000)] == ["7", "1 k", "3.14 M", "2 G"]


def test_the_block_is_printed_and_the_log_has_evaluations_and_final_numbers_too(tmp_path: Path, command: Command):
    done = command("train.py", *TINY, "logger=csv", "callbacks.density=null", "stop.patience=9", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    labels = ["data", "networks", "device", "budget", "W&B", "directory"]
    assert [line.split()[0] for line in done.stderr.splitlines()[:6]] == labels
    assert "6 iterations" in done.stderr and "stop.patience=9" in done.stderr
    log = (tmp_path / "run" / "train.log").read_text()
    assert all(f": {label} " in log for label in labels)
    assert "iteration 3: val/" in log and "iteration 6: val/" in log and "finished: 6 iterations\n  val/" in log
    assert "iteration 3: val/" not in done.stdout + done.stderr
