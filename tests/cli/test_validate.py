"""What a user mistypes: one clear message, an exit code that is not zero, no traceback, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.compose import answers, composed, job_part
from helpers.jobs import train
from helpers.run_script import Command, run_anew, run_without_torch
from hydra.core.config_store import ConfigStore

from gan_lightning.runs.validate import missing_plugins, refuse_arguments
from gan_lightning.utils.errors import UserError

MISTAKES = {
    "model=dcgan data=gaussian": ["model=dcgan takes images", "data=gaussian has shape [1]", "model=mlp"],
    "model=cs231n data=cifar10": ["model=cs231n takes images of 28 pixels", "model=dcgan", "model=mlp"],
    "model=nope": ["Could not find 'model/nope'", "dcgan"],
    "optimizer.lr=abc": ["optimizer.lr must be a number above 0, not abc"],
    "optimizer.lr=0": ["optimizer.lr must be a number above 0, not 0"],
    "optimizer.discriminator.lr=-1": ["optimizer.discriminator.lr must be a number above 0"],
    "optimizer.betas=[0.5,1.0]": ["optimizer.betas must be two numbers from 0 to below 1"],
    "optimizer.betas=abc": ["optimizer.betas must be two numbers from 0 to below 1"],
    "optimizer.betas=[0,one]": ["optimizer.betas must be two numbers from 0 to below 1"],
    "optimizer.learning_rate=1": ["learning_rate"],
    "data.root=/nowhere": ["data.root=/nowhere does not exist"],
    "data=fashion_mnist data.root=/nowhere data.download=false": ["data.root=/nowhere does not exist"],
    "metrics=inception extractor=inception extractor.weights=/nowhere.pth": [
        "extractor.weights=/nowhere.pth does not exist"
    ],
    "ckpt_path=/nowhere": ["ckpt_path=/nowhere holds no checkpoint"],
    "data.batch_size=1.5": ["data.batch_size must be a whole number"],
    "trainer.devices=3": ["data.batch_size=64", "does not divide among 3", "data.batch_size=63"],
    "micro_batches=100": ["micro_batches=100 is more than the 64 samples"],
    "trainer.precision=7": ["trainer.precision must be one of auto"],
    "trainer.devices=2 trainer.strategy=ddp": ["trainer.strategy=ddp expects every weight", "choose auto"],
    "trainer.devices=2 trainer.strategy=fsdp": ["trainer.strategy=fsdp cuts a model into pieces", "choose auto"],
    "trainer.compile=fast": ["trainer.compile must be true, false or cuda_graphs, not fast"],
    "share_fakes=maybe": ["share_fakes must be true or false, not maybe"],
    "resume=always": ["resume must be"],
    "experiment=r3gan loss=gan": [
        "loss.objectives.r1, loss.objectives.r2 have settings",
        "~loss.objectives.r1 ~loss.objectives.r2",
    ],
    "variant=cyclegan loss=hinge": ["variant=cyclegan has the adversarial loss of its paper, lsgan", "leave loss out"],
    "variant=infogan prior=gaussian": ["'prior.categories' not found", "add prior=coded, which variant=infogan brings"],
    "model=biggan prior.num_classes=12": ["prior.num_classes=12 asks for more classes", "model.generator.num_classes"],
    "loss=began": ["needs a discriminator that gives energies", "model=autoencoder"],
    "experiment=ring_r3gan model=cs231n": ["model=cs231n takes images of 28 pixels", "model=mlp"],
    "experiment=null": ["experiment=null is no answer: leave experiment out"],
    "+trainer.max_steps=5": ["trainer.max_steps", "max_iterations=N"],
    "trainer.gradient_clip_val=1": ["trainer.gradient_clip_val", "clip_gradient_norm=X"],
    "+trainer.accumulate_grad_batches=2": ["micro_batches=N"],
    "model.generator.width=wide": ["model.generator.width must be a number, not wide"],
    "metrics=ring": ["data.modes", "choose data, metrics and callbacks that go together"],
    "data=image_folder": ["data.root has no default: give it, as in data.root=..."],
    "data.image_size=null": ["data.image_size must be a whole number"],
    "trainer.deterministic=3": ["trainer.deterministic must be true or false, not 3"],
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_end_the_command_before_torch_is_imported(line: str, tmp_path: Path):
    done = run_without_torch(tmp_path, "train.py", *line.split())
    assert done.returncode != 0
    for words in MISTAKES[line]:
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_all_problems_are_reported_at_once(tmp_path: Path):
    done = run_without_torch(tmp_path, "train.py", "optimizer.lr=abc", "seed=-1", "max_iterations=0", "prior.dim=none")
    assert done.returncode == 2
    assert "for 4 reasons" in done.stderr
    assert done.stderr.count("\n  - ") == 4


@pytest.mark.parametrize("script", ["train.py", "eval.py", "sample.py"])
@pytest.mark.parametrize("flag", [["--help"], ["--cfg", "job"]])
def test_help_and_configuration_are_printed_without_torch(script: str, flag: list[str], tmp_path: Path):
    done = run_without_torch(tmp_path, script, *flag)
    assert done.returncode == 0, done.stderr
    assert "python train.py model=cs231n" in done.stdout or script != "train.py" or "--cfg" in flag


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("data.classes=[12]", "data.classes=[12] asks for [12], which the data does not have"),
        ("model.discriminator.norm=foo", "model.discriminator.norm=foo is unknown"),
        ("loss=hinge regularizer=label_smoothing", "needs a loss with a target for real data"),
        (
            "experiment=r3gan model=dcgan",
            "model.generator.wide_stages is no setting of DCGANGenerator: remove it",
        ),
        (
            "+model.discriminator.foo=1",
            "remove it with ~model.discriminator.foo, or choose",
        ),
        ("model.generator.width=1.5", "width of model.generator and model.discriminator must be a whole number"),
        ("loss=r3gan loss.objectives.r1.gamma=null", "loss.objectives.r1 cannot be made from its settings"),
        (
            "loss=r3gan loss.objectives.r1.every=0",
            "loss.objectives.r1.every must be a whole number of at least 1",
        ),
        ("loss.discriminator_steps=0", "loss.discriminator_steps must be a whole number of at least 1, not 0"),
        ("clip_gradient_norm=0", "clip_gradient_norm must be above 0, not 0"),
        ("ema.half_life_images=-1", "ema.half_life_images must be 0 or more images, not -1"),
        ("ema.ramp_up=0", "ema.ramp_up must be above 0"),
        ("data.classes=2", "data.classes must be a list of classes"),
        ("data=ring model=mlp data.std=0", "data.std must be above 0, not 0"),
        ("data=ring model=mlp data.train_size=0", "data.train_size must be a whole number of at least 1, not 0"),
        ("metrics.num_fakes=0", "metrics.num_fakes must be a whole number of at least 1, not 0"),
        ("prior.dim=0", "prior.dim must be a whole number of at least 1, not 0"),
        ("callbacks.health.every=0", "`every` of the callback Health must be a whole number of at least 1, not 0"),
        ("model=mlp callbacks=toy", "true density is known"),
        ("data=grid model=mlp callbacks=images", "choose callbacks.samples=null"),
        ("data=gaussian model=mlp metrics=digits", "choose metrics=inception or metrics=sliced_wasserstein"),
        ("loss=wgan_gp model.discriminator.norm=batch", "choose loss.discriminator_norm=layer"),
    ],
)
def test_what_only_the_parts_know_is_told_in_one_sentence_too(line: str, words: str, tmp_path: Path):
    with composed(*line.split(), "logger=csv", directory=tmp_path) as config, pytest.raises(UserError) as error:
        train(job_part(config))
    (sentence,) = error.value.problems
    assert words in sentence and "\n" not in sentence
    assert '"status": "failed"' in (tmp_path / "result.json").read_text()


@pytest.mark.parametrize(
    ("script", "argument"), [("train.py", "optimizer.lr=0"), ("eval.py", "ckpt_path=/nowhere"), ("sample.py", "--help")]
)
def test_a_process_of_its_own_imports_no_torch(script: str, argument: str, tmp_path: Path):
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "torch.py").write_text("raise RuntimeError('torch was imported')\n")
    done = run_anew(tmp_path, script, argument, PYTHONPATH=str(tmp_path / "fake"))
    assert done.returncode == (0 if argument == "--help" else 2), done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_that_only_the_parts_know_ends_the_command(command: Command):
    done = command("train.py", "model.discriminator.norm=foo", "logger=csv")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "model.discriminator.norm=foo is unknown" in done.stderr


def test_a_plugin_that_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ConfigStore, "list", lambda self, group: ["basic.yaml"])
    with pytest.raises(UserError) as caught:
        refuse_arguments(["-m", "launcher=slurm", "+hparams_search=optuna", "loss=gan"])
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "pip install 'gan_lightning[slurm]'",
        "pip install 'gan_lightning[optuna]'",
    ]


@pytest.mark.parametrize("group", ["launcher", "hparams_search"])
def test_every_file_with_a_plugin_says_how_to_install_it(group: str, monkeypatch: pytest.MonkeyPatch):
    assert not any(missing_plugins("launcher", "joblib"))
    monkeypatch.setattr(ConfigStore, "list", lambda self, group: ["basic.yaml"])
    for answer in answers(group):
        (problem,) = missing_plugins(group, answer)
        assert problem.startswith(f"{group}={answer} needs a plugin")
