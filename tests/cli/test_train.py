"""Whole runs from the command line: one device and two, sweeps, resuming, evaluating and sampling."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.compose import composed, job_part
from helpers.jobs import train
from helpers.run_script import TINY, Command, run_script
from helpers.wandb_files import records, wandb_files
from PIL import Image

from gan_lightning.cli.evaluate import evaluate
from gan_lightning.cli.sample import sample
from gan_lightning.utils.errors import UserError


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A finished run on one device with W&B offline: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    done = run_script(folder, "train.py", *TINY)
    assert done.returncode == 0, done.stderr
    (run,) = folder.glob("outputs/runs/*")
    return run, done


def wandb_records(folder: Path) -> list[dict]:
    """Every record of the W&B runs kept offline below `folder`."""
    records = []
    for file in sorted(folder.rglob("*.wandb")):
        inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
        printed = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout
        records.append({"file": file, "text": printed})
    return records


def state(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def result(run: Path) -> dict:
    return json.loads((run / "result.json").read_text())


def test_a_run_says_where_everything_lies(trained):
    run, done = trained
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}_gaussian-mlp-gan-s0", run.name)
    for path in ("result.json", "metrics.csv", "density.png", "evolution.gif", "checkpoints/best.ckpt"):
        assert f"{run.name}/{path}" in done.stdout
        assert (run / path).is_file()
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "finished"
    assert (result["iterations"], result["images"]) == (6, 720)
    assert "val/mean_error" in result["final"]
    assert "val/mean_error" in done.stdout
    environment = json.loads((run / "environment.json").read_text())
    assert environment["packages"]["torch"] in torch.__version__
    assert (run / "train.log").is_file()


def test_nothing_is_printed_that_the_user_can_do_nothing_about(trained):
    _, done = trained
    for noise in ("Warning", "warn(", "💡", "GPU available", "login"):
        assert noise not in done.stdout + done.stderr


def test_wandb_is_offline_with_one_line_that_says_how_to_sync(trained):
    run, done = trained
    lines = [line for line in done.stderr.splitlines() if "wandb sync" in line]
    assert len(lines) == 1
    folder = lines[0].split("wandb sync ")[1]
    assert (run.parents[2] / folder).is_dir()
    (record,) = wandb_records(run)
    for key in ("discriminator/adversarial", "val/wasserstein1", "lr/generator", "images_per_second", "max_iterations"):
        assert key in record["text"]


def test_a_sweep_with_two_devices_trains_each_job_with_its_own_settings(trained, command: Command, tmp_path: Path):
    """The first job has the settings of the run on one device, and plays the same game."""
    run, _ = trained
    default = yaml.safe_load((run / "config.yaml").read_text())["optimizer"]["lr"]
    sweep = ("-m", f"optimizer.lr={default},0.02", *TINY, "logger=csv", "callbacks.density=null")
    done = command("train.py", *sweep, "trainer.devices=2", "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished: 6 iterations, 720 images") == 2
    same, other = (tmp_path / f"sweep/optimizer.lr={rate},seed=0" for rate in (default, 0.02))
    assert [result(job)["status"] for job in (same, other)] == ["finished"] * 2
    two = state(same)
    for name, tensor in state(run).items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    assert result(same)["final"] == pytest.approx(result(run)["final"], rel=1e-2, abs=1e-3)
    name = "generator.hidden.1.0.weight"
    assert not torch.allclose(state(other)[name], two[name], rtol=1e-3)


@pytest.mark.slow  # tests/runs/test_resume.py holds the same within this process
def test_a_resumed_run_equals_an_uninterrupted_one(trained, command: Command, tmp_path: Path):
    """Which also shows that a run repeats, in another process and with another logger."""
    run, _ = trained
    assert command("train.py", *TINY, "logger=csv", "max_iterations=3", "hydra.run.dir=half").returncode == 0
    done = command("train.py", "ckpt_path=half", "max_iterations=6", "logger=wandb")
    assert done.returncode == 0, done.stderr
    assert "half/checkpoints/last.ckpt" in done.stdout
    whole = state(tmp_path / "half")
    for name, tensor in state(run).items():
        assert torch.equal(whole[name], tensor), name
    assert json.loads((tmp_path / "half" / "result.json").read_text())["iterations"] == 6
    began = yaml.safe_load((tmp_path / "half" / "overrides.yaml").read_text())
    assert began == [*TINY, "logger=csv", "max_iterations=3"]
    assert not (tmp_path / "outputs").exists()


def test_a_sweep_makes_a_wandb_run_a_job_in_one_group_and_survives_a_bad_job(command: Command, tmp_path: Path):
    done = command("train.py", "-m", "seed=0,-1,1", *TINY, "max_iterations=2", "callbacks.density=null")
    assert done.returncode != 0
    assert "seed must be" in done.stderr and "not -1" in done.stderr
    assert "Traceback" not in done.stderr
    (sweep,) = tmp_path.glob("outputs/sweeps/*")
    assert "seed must be" in result(sweep / "seed=-1")["error"]
    assert "seed=-1: failed: seed must be" in (sweep / "summary.md").read_text()
    jobs = (sweep / "seed=0", sweep / "seed=1")
    assert [result(job)["status"] for job in jobs] == ["finished"] * 2
    first, second = map(state, jobs)
    assert not any(torch.equal(first[name], second[name]) for name in first)
    files = {records(file, "run")[0]["display_name"]: file for file in wandb_files(sweep)}
    assert sorted(files) == sorted([f"{sweep.name} summary", "seed=0", "seed=1"])
    assert {records(file, "run")[0]["run_group"] for file in files.values()} == {sweep.name}
    assert {file.parents[1] for file in files.values()} == {sweep / "wandb"}  # one folder to synchronise
    tables = files[f"{sweep.name} summary"].parent / "files" / "media" / "table"
    runs, groups = (json.loads(next(tables.glob(f"{name}_*.table.json")).read_text()) for name in ("runs", "groups"))
    rows = [dict(zip(runs["columns"], row, strict=True)) for row in runs["data"]]
    assert all(row["status"] == "finished" for row in rows if row["run"] in ("seed=0", "seed=1"))
    best = {row["run"]: row["best"] for row in rows}
    assert all(best[job.name] == result(job)["best"][result(job)["monitor"]] for job in jobs)
    (group,) = groups["data"]
    assert dict(zip(groups["columns"], group, strict=True))["n"] == 2


def test_a_crash_in_a_sweep_is_reported_at_once_and_in_the_log_of_its_job(command: Command, tmp_path: Path):
    """The module lies in the working directory, which is importable."""
    (tmp_path / "boom.py").write_text(
        "from lightning import Callback\n"
        "class Boom(Callback):\n"
        "    def __init__(self, text): self.text = text\n"
        "    def on_train_start(self, *args): raise RuntimeError(self.text)\n"
    )
    boom = ("+callbacks.boom._target_=boom.Boom", "+callbacks.boom.text=one,two", "hydra.sweep.dir=sweep")
    done = command("train.py", "-m", *TINY, "callbacks.density=null", "metrics=none", "logger=csv", *boom)
    assert done.returncode == 1
    places = [done.stderr.index(text) for text in ("RuntimeError: one", "RuntimeError: two", "2 jobs of 2 failed")]
    assert places == sorted(places) and done.stderr.count("Traceback") == 2
    for text in ("one", "two"):
        (log_file,) = tmp_path.glob(f"sweep/*text={text}*/train.log")
        log = log_file.read_text()
        assert "The run failed:\nTraceback" in log and log.rstrip().endswith(f"RuntimeError: {text}")


def test_eval_repeats_the_numbers_of_the_run(trained, command: Command):
    run, _ = trained
    done = command("eval.py", f"ckpt_path={run}")
    assert done.returncode == 0, done.stderr
    (written,) = (run / "evaluations").glob("last_*.json")
    evaluation = json.loads(written.read_text())
    final = json.loads((run / "result.json").read_text())["final"]
    for name, value in evaluation["values"].items():
        assert value == pytest.approx(final[name], rel=1e-5)
    assert evaluation["num_fakes"] == 200
    assert "val/wasserstein1" in done.stdout


def test_sample_and_eval_of_a_run_with_a_hostile_name_print_it_escaped(trained, command: Command, tmp_path: Path):
    run = tmp_path / "[red]a[/b]\x1b[2J\r"
    shutil.copytree(trained[0], run)
    path = "ckpt_path='" + str(run) + "'"
    for done in (command("sample.py", path, "format=npz", "count=4"), command("eval.py", path, "num_fakes=50")):
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout + done.stderr and "\r" not in done.stdout + done.stderr
        assert r"[red]a[/b]\x1b[2J\r/" in done.stdout


def test_samples_of_a_toy_are_an_array(trained, tmp_path: Path):
    run, _ = trained
    asked = (f"ckpt_path={run}", "format=npz", "count=10", f"output={tmp_path / 'out'}")
    with composed(*asked, config_name="sample") as config:
        (written,) = sample(config)
    assert np.load(written)["samples"].shape == (10, 1)
    with composed(f"ckpt_path={run}", config_name="sample") as config, pytest.raises(UserError, match="format=npz"):
        sample(config)


def test_samples_of_images_are_pictures(tmp_path: Path):
    small = ("model=mlp", "max_iterations=1", "metrics=none", "logger=csv", "trainer.precision=32-true")
    with composed(*small, "trainer.accelerator=cpu", directory=tmp_path) as config:
        train(job_part(config))
    written = {}
    for form in ("grid", "files", "npz"):
        with composed(
            f"ckpt_path={tmp_path}", f"format={form}", "count=9", "device=cpu", config_name="sample"
        ) as config:
            (written[form],) = sample(config)
    assert Image.open(written["grid"]).size[0] >= 3 * 28
    files = sorted(written["files"].iterdir())
    assert [Image.open(file).size for file in files] == [(28, 28)] * 9
    pixels = np.load(written["npz"])["samples"]
    assert pixels.dtype == np.uint8
    assert pixels.shape == (9, 28, 28, 1)
    assert (pixels[0, :, :, 0] == np.asarray(Image.open(files[0]))).all()


def test_a_checkpoint_that_cannot_be_continued_is_one_sentence(trained, command: Command):
    run, _ = trained
    done = command("train.py", f"ckpt_path={run}", "max_iterations=9", "model.generator.width=5")
    assert done.returncode == 2
    assert "model.generator.width was 32 and is now 5" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", ["eval.py", "sample.py"])
def test_a_wrong_checkpoint_is_one_sentence(script: str, command: Command, tmp_path: Path):
    (tmp_path / "wrong.ckpt").write_bytes(b"nothing")
    done = command(script, "ckpt_path=wrong.ckpt")
    assert done.returncode == 2
    assert "is not a checkpoint" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("path", "words"), [("nowhere", "holds no checkpoint"), ("null", "name a run")])
def test_a_missing_checkpoint_is_one_sentence(path: str, words: str):
    for name, work in (("eval", evaluate), ("sample", sample)):
        with composed(f"ckpt_path={path}", config_name=name) as config, pytest.raises(UserError, match=words):
            work(config)
