"""Runs evaluated again: the numbers of training to the digit, or other numbers by other options."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoints import save_changed
from helpers.compose import composed, job_part, resolved
from helpers.evaluated_runs import SMALL, mnist, result, run_eval
from helpers.jobs import train
from helpers.run_script import run_script
from hydra.utils import instantiate
from omegaconf import OmegaConf

from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.data.idx import read_idx
from gan_lightning.data.mnist import ASSETS
from gan_lightning.evaluation.protocol import protocol_of
from gan_lightning.evaluation.results import EvaluationResult, reserve_file, write_result
from gan_lightning.metrics.digits import DigitQuality
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lightning.runs.checkpoints import load
from gan_lightning.runs.evaluation import choose_metrics
from gan_lightning.runs.wandb_run import series
from gan_lightning.utils.errors import UserError, WorkError
from gan_lightning.utils.instantiation import user_errors

LINE = re.compile(r"^(val/\S+)\s+(\S+)", re.MULTILINE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in half precision."""
    directory = tmp_path_factory.mktemp("run")
    with composed(*SMALL, directory=directory) as config:
        train(job_part(config))
    return directory


def test_the_result_of_a_run_says_how_it_was_measured(run: Path):
    said = result(run)
    protocol = said["protocol"]
    assert (protocol["num_fakes"], protocol["seed"], protocol["weights"]) == (230, 0, "ema")
    assert protocol["reference"]["split"] == "test" and protocol["reference"]["size"] == 1000
    assert protocol["numbers"]["val/fid"]["extractor"].startswith("digits-")
    assert said["final_iteration"] == said["iterations"] == 6
    assert said["best"]["iteration"] in (3, 6) and said["best"]["val/fid"] <= said["final"]["val/fid"]


@pytest.mark.slow
def test_the_last_checkpoint_gives_every_digit_that_training_printed(tmp_path: Path):
    trained = run_script(tmp_path, "train.py", *SMALL, "hydra.run.dir=run")
    assert trained.returncode == 0, trained.stderr
    again = run_script(
        tmp_path, "eval.py", "ckpt_path=run", "metrics=[digits,kid]", "metrics.metrics.kid.subset_size=50"
    )
    assert again.returncode == 0, again.stderr
    before, after = dict(LINE.findall(trained.stdout)), dict(LINE.findall(again.stdout))
    assert {"val/fid", "val/confidence", "val/class_entropy"} <= before.keys() and "val/kid" in after
    assert {key: after[key] for key in before if not key.endswith("_best")} == {
        key: value for key, value in before.items() if not key.endswith("_best")
    }
    for words in ("iteration 6, averaged generator, seed 0", "230 fakes against 1000 real samples (Mnist10k, test)"):
        assert words in again.stdout
    written = tmp_path / again.stdout.splitlines()[-1]
    known = json.loads(written.read_text())
    assert known["values"]["val/fid"] == result(tmp_path / "run")["final"]["val/fid"]
    assert known["protocol"]["numbers"]["val/fid"] == result(tmp_path / "run")["protocol"]["numbers"]["val/fid"]


def test_half_precision_in_training_leaves_the_numbers_those_of_float32(run: Path):
    """Held against the checkpoint's weights in a plain loop, in float32 and on contiguous memory."""
    trained = load(run / "checkpoints" / "last.ckpt", "cpu")
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["precision"] == "bf16-mixed"
    latent = trained.gan.fixed_latents(230, "evaluation")
    with torch.no_grad():
        fakes = trained.gan.averaged_generator(latent)
    assert fakes.dtype == torch.float32
    metric = DigitQuality()
    metric.update(read_idx(ASSETS / "mnist10k" / "t10k-images-idx3-ubyte.gz")[:, None] / 127.5 - 1, real=True)
    metric.update(fakes, real=False)
    assert result(run)["final"]["val/fid"] == pytest.approx(metric.compute()["fid"], rel=1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(trained.gan.generate(latent), trained.gan.generate(latent).float())
        torch.testing.assert_close(trained.gan.generate(latent), fakes)


def test_other_weights_checkpoints_seeds_and_metrics(run: Path, capsys: pytest.CaptureFixture[str]):
    final = result(run)["final"]
    both = run_eval(f"ckpt_path={run}", "which=both")
    assert both["last"]["val/fid"] == final["val/fid"]
    assert both["best"]["val/fid"] == result(run)["best"]["val/fid"]
    assert run_eval(f"ckpt_path={run}", "weights=raw")["last"]["val/fid"] != final["val/fid"]
    assert "generator without averaging" in capsys.readouterr().out
    assert run_eval(f"ckpt_path={run}", "seed=1")["last"]["val/fid"] != final["val/fid"]
    other = run_eval(f"ckpt_path={run}", "metrics=sliced_wasserstein", "num_fakes=50")
    assert other["last"].keys() == {"val/swd"}
    assert "50 fakes" in capsys.readouterr().out
    names = {path.name for path in (run / "evaluations").iterdir()}
    assert {"last_digits_230_s0.json", "last_raw_digits_230_s0.json", "last_digits_230_s1.json"} < names
    before = len(names)
    run_eval(f"ckpt_path={run}")
    assert len(list((run / "evaluations").iterdir())) == before + 1, "nothing is overwritten"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["which=first"], "which must be last, best or both, not first"),
        (["weights=average"], "weights must be ema or raw"),
        (["num_fakes=0"], "num_fakes must be a whole number"),
        (["wandb=true", "num_fakes=10"], "was not logged to W&B"),
        (["metrics=none"], "measured nothing"),
        (["metrics=ring"], "cannot be filled in"),
        (["metrics=labelled_digits"], "no fake was made for a class"),
        (
            ["extractor=backbone"],
            "extractor=backbone is without effect, as none of the run's metrics (digits) lets one",
        ),
        (["metrics=precision_recall", "extractor=digits", "num_fakes=3"], "needs at least 4 fakes, not 3"),
        (["data.a=photos"], "data.a is no setting of this run's data"),
        (["real=a"], "give two folders: real=... and fake=..."),
        (["real=a", "fake=b"], "ckpt_path is for checkpoints"),
        (["real=a", "fake=b", "ckpt_path=null", "data.root=c"], "data.* is for checkpoints"),
    ],
)
def test_wrong_options_end_with_one_line(run: Path, overrides: list[str], words: str):
    before = sorted((run / "evaluations").glob("*"))
    with pytest.raises(UserError, match=re.escape(words)):
        run_eval(f"ckpt_path={run}", *overrides)
    assert sorted((run / "evaluations").glob("*")) == before


@pytest.mark.parametrize("which", ["best", "both"])
def test_a_file_has_no_best(run: Path, which: str):
    file = run / "checkpoints" / "last.ckpt"
    with pytest.raises(UserError, match=f"which={which} chooses from a run directory, and .*last.ckpt is a file"):
        run_eval(f"ckpt_path={file}", f"which={which}")
    with pytest.raises(UserError, match="ckpt_path=none/such.ckpt holds no checkpoint"):
        run_eval("ckpt_path=none/such.ckpt", f"which={which}")


def test_the_runs_own_metrics_look_through_what_is_chosen():
    with composed("metrics=[fid,kid,digits,labelled_digits]") as config:
        trained = OmegaConf.create(resolved(config))
    with composed("extractor=classifier", "data.root=x", config_name="eval") as config:
        choose_metrics(trained, config.get("metrics"), config.get("extractor"))
    metrics = resolved_part(trained.metrics.metrics)
    for name in ("fid", "kid"):
        assert metrics[name]["extractor"]["_target_"].endswith(".Classifier")
        assert metrics[name]["extractor"]["num_classes"] == 10
    assert "extractor" not in metrics["labels"]


def resolved_part(config: Any) -> Any:
    return OmegaConf.to_container(config, resolve=True)


def test_data_without_an_extractor_say_so():
    with composed("data=ring", "model=mlp") as config:
        trained = OmegaConf.create(resolved(config))
    with composed("metrics=fid", config_name="eval") as config:
        choose_metrics(trained, config.get("metrics"), config.get("extractor"))
    with pytest.raises(UserError, match="fid: needs an extractor, and this data brings none"), user_errors():
        instantiate(trained.metrics.metrics, _convert_="all")


def test_evaluation_shares_one_extractor_among_metrics():
    with composed("metrics=[digits,kid]") as config:
        made = instantiate(config.callbacks.evaluation, _convert_="all")
    assert isinstance(made, Evaluation)
    assert len({id(metric.extractor) for metric in made.metrics.values()}) == 1 and len(made.metrics) == 2


def test_two_evaluations_beside_each_other_take_two_names(tmp_path: Path):
    names = [reserve_file(tmp_path, "last").name for _ in range(3)]
    assert names == ["last.json", "last_2.json", "last_3.json"]


def test_what_cannot_be_written_leaves_no_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(path: Path, content: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("gan_lightning.evaluation.results.write_json", fail)
    said = protocol_of({}, mnist(), num_fakes=1, batch_size=1)
    with pytest.raises(WorkError, match="cannot be written to: no space left"):
        write_result(EvaluationResult({}, said), tmp_path, "last")
    assert not list(tmp_path.iterdir())


# W&B


def test_different_protocols_are_different_series_of_the_runs_own_wandb_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    logged = tmp_path / "run"
    shutil.copytree(run / "checkpoints", logged / "checkpoints")
    for name in ("last", "best"):
        file = logged / "checkpoints" / f"{name}.ckpt"
        content = torch.load(file, weights_only=True)
        content["hyper_parameters"]["logger"] = {"wandb": {"project": "test"}}
        save_changed(content, file)
    (logged / "wandb_run_id").write_text("0123abcd\n")
    run_eval(f"ckpt_path={logged}", "which=both", "num_fakes=30", "metrics=sliced_wasserstein", "wandb=true")
    run_eval(f"ckpt_path={logged}", "weights=raw", "num_fakes=40", "wandb=true")
    expected = [
        rb"eval/last_30_s0_\w{6}/swd",
        rb"eval/best_30_s0_\w{6}/swd",
        rb"eval/last_raw_40_digits-\w+_s0_\w{6}/fid",
    ]
    until = time.monotonic() + 20
    while time.monotonic() < until:  # another process writes the files
        sent = b"".join(file.read_bytes() for file in logged.rglob("*-0123abcd*/*.wandb"))
        if all(re.search(words, sent) for words in expected):
            break
        time.sleep(0.1)
    assert all(re.search(words, sent) for words in expected)
    assert b"reference" in sent, "the protocol, in the config"


def test_a_series_is_of_one_protocol():
    first = protocol_of({"swd": SlicedWasserstein(4)}, mnist(), num_fakes=9, batch_size=9, weights="ema", seed=0)
    other = protocol_of({"swd": SlicedWasserstein(5)}, mnist(), num_fakes=9, batch_size=9, weights="ema", seed=0)
    names = {
        series("last", first, "val/swd"),
        series("best", first, "val/swd"),
        series("last", other, "val/swd"),
        series("last", {**first, "weights": "raw"}, "val/swd"),
        series("last", {**first, "seed": 1}, "val/swd"),
        series("last", {**first, "num_fakes": 8}, "val/swd"),
        series("last", {**first, "reference": {**first["reference"], "split": "train"}}, "val/swd"),
    }
    assert len(names) == 7
    assert series("last", {**first, "batch_size": 1}, "val/swd") == series("last", first, "val/swd")
