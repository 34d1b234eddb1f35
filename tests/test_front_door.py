"""The package from Python: `import gan_lightning as gl`."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.compose import composed, resolved
from helpers.run_script import ROOT, run_script
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from lightning import Trainer
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import gan_lightning as gl
from gan_lightning.ema import Averaging
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.priors import Gaussian
from gan_lightning.utils.errors import UserError, WorkError

TOY = (
    "experiment=ring",
    "schedule=constant",
    "max_iterations=4",
    "evaluate_every=2",
    "log_every=1",
    "metrics.num_fakes=100",
    "data.reference_size=100",
    "callbacks.density=null",
    "logger=csv",
    "trainer.accelerator=cpu",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> gl.Run:
    return gl.train(TOY, tmp_path_factory.mktemp("toy") / "run")


def test_importing_is_quick_and_imports_no_torch() -> None:
    program = (
        "import sys, time; start = time.perf_counter(); import gan_lightning as gl;"
        "seconds = time.perf_counter() - start;"
        "heavy = {'torch', 'lightning', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules);"
        "assert not heavy, heavy; assert gl.__version__; assert 'load' in dir(gl); print(seconds)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.2


def test_every_name_of_the_front_door_is_there_and_documented() -> None:
    for name in gl.__all__:
        assert name == "__version__" or len(getattr(gl, name).__doc__) > 40, name
    for name in ("Run", "compose", "evaluate", "export", "load", "train"):
        assert "Examples:" in getattr(gl, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'no_such'"):
        gl.no_such  # noqa: B018


def test_the_configuration_is_the_one_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    GlobalHydra.instance().clear()
    overrides = ["experiment=wgan_gp", "seed=3", "optimizer.lr=1e-3", "variant=cgan"]
    found = gl.compose(overrides)
    assert gl.compose(overrides) is not found
    assert not GlobalHydra.instance().is_initialized()
    directory = Path(found.callbacks.checkpoint.directory).parent
    assert directory.parent == tmp_path / "outputs" / "runs" and directory.name.endswith("-s3")
    with composed(*overrides, directory=directory) as config:
        assert OmegaConf.to_container(found, resolve=True) == resolved(config)
        assert found.optimizer.lr == 1e-3
    assert not list(tmp_path.iterdir())


def test_composing_leaves_a_running_job_as_it_was(tmp_path: Path) -> None:
    with composed(*TOY, directory=tmp_path) as config:
        running = HydraConfig.get().runtime.output_dir
        assert gl.compose(["data=grid"]).name.startswith("grid-")
        assert GlobalHydra.instance().is_initialized()
        assert HydraConfig.get().runtime.output_dir == running == str(tmp_path)
        assert resolved(config)["name"].startswith("ring-")


def test_a_run_holds_what_the_command_line_writes(run: gl.Run, tmp_path: Path) -> None:
    done = run_script(tmp_path, "train.py", *TOY, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    theirs = gl.Run(tmp_path / "run")
    page = {"report.html"}  # from Python it is gl.report's
    assert {file.name for file in theirs.directory.iterdir()} - page == {file.name for file in run.directory.iterdir()}
    for name, weight in theirs.gan.state_dict().items():
        assert torch.equal(weight, run.gan.state_dict()[name]), name
    assert {**theirs.result, "seconds": 0} == {**run.result, "seconds": 0}
    ours, other = (
        {**OmegaConf.to_container(each.config), "callbacks": 0, "logger": 0}  # type: ignore[dict-item]
        for each in (run, theirs)
    )
    assert ours == other
    assert (theirs.directory / "overrides.yaml").read_text() == (run.directory / "overrides.yaml").read_text()


def test_a_run_says_how_it_went(run: gl.Run) -> None:
    assert run.result == json.loads((run.directory / "result.json").read_text())
    assert run.result["status"] == "finished" and run.result["iterations"] == 4
    rows = run.metrics if isinstance(run.metrics, list) else run.metrics.to_dict("records")
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4]
    assert [row["val/modes"] for row in rows if row.get("val/modes", -1) >= 0][-1] == run.result["final"]["val/modes"]
    assert os.fspath(run) == str(run.directory)
    assert gl.Run(str(run.directory)) == run


def test_metrics_are_a_list_where_pandas_is_missing(run: gl.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lightning.runs.api.find_spec", lambda name: None)
    rows = run.metrics
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4]
    assert "val/modes" not in rows[0] and isinstance(rows[1]["val/modes"], float)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run directory"):
        gl.Run(tmp_path)
    with pytest.raises(UserError, match="holds no checkpoint"):
        gl.load(tmp_path)


def test_training_is_resumed_in_place_and_quietly(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    half = gl.train([*TOY, "max_iterations=2"], tmp_path / "pieces")
    run = gl.train([f"ckpt_path={half.directory}", "max_iterations=4"])
    assert run == half
    whole = gl.train(TOY, tmp_path / "whole")
    for name, weight in whole.gan.state_dict().items():
        assert torch.equal(weight, run.gan.state_dict()[name]), name
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["loss=foo"], "loss=foo is no choice: choose began"),
        (["max_iterations=0"], "max_iterations must be a whole number"),
        (["experiment=ring", "model=dcgan"], "image"),
        (["seed=0,1"], "each call is one run"),
        (["-m", "seed=0"], "each call is one run"),
        (["trainer.devices=2"], "trainer.devices=2 needs a process for each device"),
        (["trainer.max_steps=2"], "max_iterations=N"),
        ("seed=0", r"list of strings: \['seed=0'\]"),
    ],
)
def test_what_cannot_run_is_one_sentence_and_leaves_nothing(
    overrides: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words) as error:
        gl.train(overrides)
    assert "\n" not in error.value.problems[0] and not isinstance(error.value, WorkError)
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_refused_or_crashes_says_so_in_its_log(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="width of model.generator"):
        gl.train([*TOY, "model.generator.width=-1"], tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    level = logging.getLogger("gan_lightning").level
    with pytest.raises(RuntimeError, match="boom"):
        gl.train([*TOY, "+callbacks.boom._target_=helpers.tiny_gan.Boom"], tmp_path / "crashed")
    text = (tmp_path / "crashed" / "train.log").read_text()
    assert "ERROR gan_lightning: The run failed:\nTraceback" in text and text.rstrip().endswith("RuntimeError: boom")
    assert (logging.getLogger("gan_lightning").handlers, logging.getLogger("gan_lightning").level) == ([], level)


@pytest.fixture
def in_the_foreground() -> Iterator[None]:
    """A job in the background, as these tests may be, ignores Ctrl+C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("in_the_foreground")
def test_interrupting_saves_and_raises_what_python_raises(tmp_path: Path) -> None:
    asked = (
        "+callbacks.asked._target_=helpers.tiny_gan.Signalled",
        "+callbacks.asked.step=2",
        "+callbacks.asked.number=2",
    )
    with pytest.raises(KeyboardInterrupt, match="SIGINT: saved iteration"):
        gl.train([*TOY, "max_iterations=400", *asked], tmp_path / "run")
    assert gl.Run(tmp_path / "run").result["status"] == "interrupted"
    assert gl.load(tmp_path / "run").hparams["max_iterations"] == 400


def test_a_loaded_gan_is_that_of_the_run(run: gl.Run) -> None:
    gan = gl.load(run.directory / "checkpoints" / "last.ckpt")
    assert isinstance(gan, gl.GAN) and not gan.training
    assert gan.hparams["seed"] == 0 and gan.hparams["data"]["batch_size"] == 128
    latent = gan.fixed_latents(5, "test")
    assert torch.equal(gan.generate(latent), run.gan.generate(latent))
    assert gl.load(run, which="best").hparams == gan.hparams
    with pytest.raises(UserError, match="which must be last or best, not first"):
        gl.load(run, which="first")  # type: ignore[arg-type]


def test_a_run_is_evaluated_as_in_training(run: gl.Run) -> None:
    found = gl.evaluate(run, cache=None)
    assert found.values == {name: run.result["final"][name] for name in found.values}
    assert gl.evaluate(run.gan, cache=None).values == found.values


# Without configurations and runs


class Generator(nn.Sequential):
    def forward(self, latent: gl.Latent) -> Tensor:
        samples: Tensor = super().forward(latent.z)
        return samples


def test_a_gan_of_three_modules_is_trained_by_a_plain_trainer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = Generator(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    discriminator = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1), nn.Flatten(0))
    adam = partial(torch.optim.Adam, lr=5e-3, betas=(0.5, 0.999))
    losses = {"adversarial": NonSaturating()}
    gan = gl.GAN(generator, discriminator, Gaussian(2), losses, adam, adam, Averaging(1000), max_iterations=150)
    before = {name: weight.clone() for name, weight in gan.state_dict().items()}

    data = TensorDataset(torch.randn(512, 2) / 10 + 2, torch.zeros(512))
    trainer = Trainer(accelerator="cpu", max_epochs=-1, default_root_dir=tmp_path, enable_progress_bar=False)
    trainer.fit(gan, DataLoader(data, batch_size=64, shuffle=True, drop_last=True))
    assert not any(torch.equal(weight, before[name]) for name, weight in gan.state_dict().items())
    mean = gan.generate(gan.fixed_latents(1000, "test")).mean(0)
    assert torch.allclose(mean, torch.full((2,), 2.0), atol=0.5)
