"""What every metric must do, as its own file in conf/ makes it, and what every one of those files must say."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

import gan_lightning.data
from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.data.idx import read_idx
from gan_lightning.metrics.base import SampleMetric

CONF = Path(__file__).parents[2] / "conf" / "metrics"
DIGITS = Path(gan_lightning.data.__file__).parent / "assets" / "mnist10k"
FACTS = {
    "gaussian": {"mean": -2.0, "std": 0.5},
    "ring": {"modes": 8, "radius": 1.0, "std": 0.01},
    "grid": {"side": 5, "spacing": 2.0, "std": 0.05},
}
BY_FEATURES = ["fid", "kid", "inception_score", "precision_recall", "density_coverage", "intra_fid"]
CHOICES = ["digits", "sliced_wasserstein", "gaussian", "ring", "grid", "labelled_digits", "coded_digits", *BY_FEATURES]
CHOICES += ["classification_accuracy", "stacked_mnist"]
OF_OTHERS = ["shapes", "conditional_shapes", "memorization", "natural"]
"""Metrics that need data of their own: tests/metrics/test_{shapes,memorization}.py."""
MONITORED = [choice for choice in CHOICES if choice not in ("labelled_digits", "coded_digits", "precision_recall")]
"""Those whose own metric chooses the best checkpoint."""


def file(choice: str) -> Any:
    """What a file says, with what it builds on beneath."""
    own = OmegaConf.load(CONF / f"{choice}.yaml")
    assert isinstance(own, DictConfig)
    return OmegaConf.merge(*(file(name) for name in own.pop("defaults", []) if name != "_self_"), own)


def config(choice: str) -> Any:
    reader = "StackedDigits" if choice == "stacked_mnist" else "Digits"
    extractor = {"_target_": f"gan_lightning.extractors.digits.{reader}"}
    facts = {"num_classes": 10} | FACTS.get(choice, {})
    config = OmegaConf.create({"data": facts, "extractor": extractor, "metrics": file(choice)})
    return instantiate(config, _convert_="all")["metrics"]


def make(choice: str) -> SampleMetric:
    """The metric that a file adds to those of the file that it builds on."""
    *_, metric = config(choice)["metrics"].values()
    assert isinstance(metric, SampleMetric)
    return metric


def labels_for(choice: str, samples: Tensor) -> Tensor:
    """A label for each sample: by its brightness, so that it keeps it in every batch."""
    classes = 2 if choice == "intra_fid" else 10  # two samples or more of each
    return (samples.double().flatten(1).sum(1).abs() * 1e4).long() % classes


def show(choice: str, metric: SampleMetric, samples: Tensor, real: bool) -> None:
    metric.update(samples, real=real, labels=labels_for(choice, samples))


def close(values: dict[str, float]) -> Any:
    """As near as float32 allows: a deviation of next to nothing comes out of large numbers."""
    return pytest.approx(values, rel=1e-6, abs=1e-7 * max(1.0, *values.values()))


def samples(choice: str, seed: int, count: int = 41) -> Tensor:
    """What might come from the data: off the truth for the toys, digits for the images."""
    rng = torch.Generator().manual_seed(seed)
    if choice == "gaussian":
        return torch.randn(count, 1, generator=rng) * 0.4 - 1.9
    if choice in ("ring", "grid"):
        distribution = next(iter(config(choice)["metrics"].values())).centers
        rows = torch.randint(len(distribution), (count,), generator=rng)
        return distribution[rows] + 0.015 * torch.randn(count, 2, generator=rng)
    images = digits()
    channels = 3 if choice == "stacked_mnist" else 1
    rows = torch.randint(len(images), (count, channels), generator=rng)
    return images[rows].float() / 127.5 - 1.0


@cache
def digits() -> Tensor:
    return read_idx(DIGITS / "t10k-images-idx3-ubyte.gz")


def shown_all(choice: str, real: Tensor, fake: Tensor) -> SampleMetric:
    metric = make(choice)
    show(choice, metric, real, real=True)
    show(choice, metric, fake, real=False)
    return metric


@cache
def numbers(choice: str) -> dict[str, float]:
    """What a new metric says of samples that it is shown at once."""
    return shown_all(choice, samples(choice, 0), samples(choice, 1)).compute()


@pytest.fixture(params=CHOICES)
def choice(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_computes_finite_floats_under_its_keys(choice: str):
    values = numbers(choice)
    assert list(values) == list(make(choice).keys)
    assert all(type(value) is float and math.isfinite(value) for value in values.values())


def test_batches_and_ranks_add_up(choice: str):
    """Two ranks that saw uneven shares, in batches, say what one rank says that saw all at once."""
    real, fake = samples(choice, 0), samples(choice, 1)
    one, other = shown_all(choice, real[:7], fake[:23]), shown_all(choice, real[7:20], fake[23:])
    show(choice, other, real[20:], real=True)
    other.merge_state(one)  # what comes in stands first, as lower ranks do
    assert other.compute() == close(numbers(choice))


def test_reset_forgets_fakes_and_keeps_the_real(choice: str):
    real, fake = samples(choice, 0), samples(choice, 1)
    metric = shown_all(choice, real, samples(choice, 2) + 0.3)
    first = metric.compute()
    for _ in range(2):
        metric.reset()
        show(choice, metric, fake, real=False)
        values = metric.compute()
        assert values == numbers(choice)
        # Of so few fakes nothing is learned, and the accuracy is chance.
        assert values != first or choice == "classification_accuracy"


def test_without_fakes_it_says_what_to_do(choice: str):
    metric = make(choice)
    show(choice, metric, samples(choice, 0), real=True)
    show(choice, metric, samples(choice, 1), real=False)
    metric.reset()
    with pytest.raises(ValueError, match=r"fake"):
        metric.compute()


def test_autocast_and_half_precision_do_not_reach_it(choice: str):
    real, fake = samples(choice, 0), samples(choice, 1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = shown_all(choice, real.double(), fake).compute()
    assert values == shown_all(choice, real, fake.float()).compute()


def test_leaves_torchs_random_state_alone(choice: str):
    before = torch.get_rng_state()
    shown_all(choice, samples(choice, 0), samples(choice, 1)).compute()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("choice", MONITORED)
def test_a_generator_that_makes_nan_is_not_the_best(choice: str):
    metric = shown_all(choice, samples(choice, 0), samples(choice, 1))
    made = config(choice)
    key, sign = made["monitor"].removeprefix("val/"), 1 if made["mode"] == "min" else -1
    good = metric.compute()[key]
    metric.reset()
    fake = samples(choice, 1)
    metric.update(torch.full_like(fake, math.nan), real=False, labels=labels_for(choice, fake))
    bad = metric.compute()[key]
    assert math.isnan(bad) or sign * bad > sign * good


@pytest.mark.parametrize("choice", [*BY_FEATURES, "classification_accuracy"])
def test_one_fake_that_is_nan_makes_every_number_nan(choice: str):
    fake = samples(choice, 1)
    labels = labels_for(choice, fake)
    fake[3] = math.nan
    metric = make(choice)
    show(choice, metric, samples(choice, 0), real=True)
    metric.update(fake, real=False, labels=labels)
    assert all(math.isnan(value) for value in metric.compute().values())


@pytest.mark.parametrize("choice", [*BY_FEATURES, "classification_accuracy"])
def test_too_few_samples_are_refused_with_the_way_out(choice: str):
    metric, fake = make(choice), samples(choice, 1)
    show(choice, metric, samples(choice, 0), real=True)
    if choice != "classification_accuracy":  # one is enough to learn from, though not much
        show(choice, metric, fake[:1], real=False)
    with pytest.raises(ValueError, match=r"needs? .*: raise metrics\.num_fakes"):
        # Classes are drawn, and a run does not end for one that came off badly: `check_count` refuses before.
        metric.check_count(1) if choice == "intra_fid" else metric.compute()


def test_its_settings_are_plain(choice: str):
    stated = make(choice).config
    assert json.loads(json.dumps(stated)) == stated


@pytest.mark.parametrize("choice", [*CHOICES, "none"])
def test_its_file_makes_an_evaluation(choice: str):
    made = config(choice)
    assert made["num_fakes"] >= 1
    Evaluation(1, made["metrics"], made["num_fakes"], monitor=made["monitor"], mode=made["mode"])


def test_every_file_is_tested():
    assert {path.stem for path in CONF.glob("*.yaml")} == {*CHOICES, "none", "inception", "translation", *OF_OTHERS}


@pytest.mark.slow
def test_two_processes_compute_what_one_computes(tmp_path: Path):
    """Rank 0 has all the samples: a metric must survive a rank that has none."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ranks = [subprocess.Popen([sys.executable, __file__, str(tmp_path), str(r)], env=environment) for r in range(2)]
    assert [process.wait(timeout=300) for process in ranks] == [0, 0]
    for choice in CHOICES:
        whole = shown_all(choice, samples(choice, 0), samples(choice, 1)).compute()
        for rank in range(2):
            assert torch.load(tmp_path / str(rank))[choice] == close(whole)


def run_rank(directory: Path, rank: int) -> None:
    torch.distributed.init_process_group("gloo", f"file://{directory}/rendezvous", rank=rank, world_size=2)
    metrics = {
        choice: shown_all(choice, samples(choice, 0), samples(choice, 1)) if rank == 0 else make(choice)
        for choice in CHOICES
    }
    torch.save({choice: metric.compute() for choice, metric in metrics.items()}, directory / str(rank))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    run_rank(Path(sys.argv[1]), int(sys.argv[2]))
