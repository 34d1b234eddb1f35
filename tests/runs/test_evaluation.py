"""Evaluating a run from Python: the numbers of training, other metrics by name, and a GAN that stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.compose import composed, job_part
from helpers.evaluated_games import MeanOfFakes, data
from helpers.evaluated_runs import SMALL, mnist, result
from helpers.jobs import train
from helpers.tiny_gan import tiny_gan
from hydra.core.global_hydra import GlobalHydra

from gan_lightning.gan import GAN
from gan_lightning.metrics.digits import DigitQuality
from gan_lightning.runs.checkpoints import load
from gan_lightning.runs.evaluation import evaluate
from gan_lightning.utils.conf import plain
from gan_lightning.utils.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    with composed(*SMALL, directory=directory) as config:
        train(job_part(config))
    return directory


@pytest.fixture
def gan(run: Path) -> GAN:
    """The trained GAN, which knows the configuration of its run."""
    trained = load(run / "checkpoints" / "last.ckpt", "cpu")
    trained.gan.save_hyperparameters(plain(trained.config))
    return trained.gan


@pytest.fixture(autouse=True)
def quiet(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """See that nothing is printed."""
    yield
    assert capsys.readouterr().out == ""


def test_a_run_a_checkpoint_and_a_gan_give_the_numbers_of_training(run: Path, gan: GAN):
    final = {key: value for key, value in result(run)["final"].items() if not key.endswith("_best")}
    for source in (run, str(run), run / "checkpoints" / "last.ckpt", gan):
        found = evaluate(source, device="cpu", cache=None)
        assert found.values == final and found["fid"] == found["val/fid"] == final["val/fid"]
        assert found.protocol == result(run)["protocol"]
        assert (found.source["iterations"], found.source["num_fakes"]) == (6, 230)
    assert evaluate(run, which="best", device="cpu")["fid"] == result(run)["best"]["val/fid"]
    assert not (run / "evaluations").exists(), "nothing is written"


def test_metrics_are_chosen_by_name_without_a_hydra_job_and_within_one(run: Path, gan: GAN):
    names = ["fid", "sliced_wasserstein"]
    assert not GlobalHydra.instance().is_initialized()
    alone = evaluate(gan, names, extractor="digits", num_fakes=50)
    assert alone.values.keys() == {"val/fid", "val/swd"} and alone.protocol["num_fakes"] == 50
    assert not GlobalHydra.instance().is_initialized()
    with composed("data=ring"):
        running = GlobalHydra.instance().hydra
        assert evaluate(run, names, extractor="digits", num_fakes=50, device="cpu").values == alone.values
        assert GlobalHydra.instance().hydra is running
    assert evaluate(gan, "digits", num_fakes=50).values.keys() == {"val/fid", "val/confidence", "val/class_entropy"}


def test_the_gan_stays_as_it_was(gan: GAN):
    gan.train()
    seed, averaged = gan.seed, gan.averaged_generator
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    ema, raw = (evaluate(gan, num_fakes=50, seed=3, weights=weights) for weights in ("ema", "raw"))
    assert ema["fid"] != raw["fid"] and raw.protocol["weights"] == "raw"
    assert ema.protocol["seed"] == 3 != gan.seed == seed
    assert gan.averaged_generator is averaged and gan.generator.training
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())


def test_a_gan_without_a_run_is_evaluated_by_metrics_and_data_that_are_given():
    gan = tiny_gan()
    found = evaluate(gan, {"mean": MeanOfFakes()}, num_fakes=23, data=data())
    expected = gan.generate(gan.fixed_latents(23, "evaluation")).double().mean().item()
    assert found["mean"] == pytest.approx(expected, rel=1e-6) and found["real_count"] == 50
    assert evaluate(gan, ["sliced_wasserstein"], num_fakes=23, data=data()).values.keys() == {"val/swd"}


def test_other_data_take_the_place_of_the_runs(run: Path, gan: GAN):
    other = mnist()
    other.reference = "train"
    found = evaluate(gan, {"digits": DigitQuality()}, data=other, cache=None)
    assert found.protocol["reference"]["split"] == "train"
    assert found["fid"] != result(run)["final"]["val/fid"]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"metrics": ["no_such"]}, "metrics=no_such is no choice"),
        ({"metrics": "none"}, "measured nothing"),
        ({"num_fakes": 0}, "num_fakes must be a whole number"),
        ({"weights": "average"}, "weights must be ema or raw"),
        ({"which": "first"}, "which must be last or best"),
        ({"data": {"a": "photos"}}, "data.a is no setting of this run's data"),
        ({"device": "tpu"}, "device=tpu is not here"),
    ],
)
def test_wrong_choices_end_with_one_line(run: Path, choice: dict[str, Any], words: str):
    with pytest.raises(UserError, match=words):
        evaluate(run, **{"device": "cpu", **choice})


def test_a_gan_that_knows_no_data_says_what_to_give():
    with pytest.raises(UserError, match="give data="):
        evaluate(tiny_gan(), ["sliced_wasserstein"], num_fakes=9)
    with pytest.raises(UserError, match="Give num_fakes"):
        evaluate(tiny_gan(), {"mean": MeanOfFakes()}, data=data())
