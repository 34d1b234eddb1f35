"""What a user mistypes: one clear message, an exit code that is not zero, no traceback, and nothing written."""

from __future__ import annotations

import shlex
from inspect import signature
from pathlib import Path

import pytest
from helpers.compose import answers, composed, job_part
from helpers.jobs import train
from helpers.run_script import Command, run_anew, run_without_torch
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from lightning import Trainer
from omegaconf import OmegaConf

from gan_lightning.runs.additions import trainer_arguments
from gan_lightning.runs.validate import missing_plugins, refuse_arguments, validate
from gan_lightning.utils.composition import quoted_override
from gan_lightning.utils.conf import register_resolvers
from gan_lightning.utils.errors import UserError

MISTAKES = {
    "model=dcgan data=gaussian": ["model=dcgan takes images", "data=gaussian has shape [1]", "model=mlp"],
    "model=cs231n data=cifar10": ["model=cs231n takes images of 28 pixels", "model=dcgan", "model=mlp"],
    "model=nope": ["model=nope is no choice: choose autoencoder, biggan"],
    "experiment=rings": ["experiment=rings is no choice: did you mean experiment=ring?"],
    "regularizer=[r1,rr2]": ["regularizer=rr2 is no choice: did you mean regularizer=r2?"],
    "max_iteration=5": ["max_iteration is no key here: did you mean max_iterations?"],
    "modl=dcgan": ["modl is no key here: did you mean model?"],
    "lr=1e-3": ["lr is no key here: did you mean optimizer.lr?"],
    "~callbacks.sample": ["callbacks.sample is no key here: did you mean callbacks.samples?"],
    "model.foo=1": ["model.foo is no key here: model has accepts, discriminator, generator"],
    "+seed=1": ["seed is a key already: leave the + out"],
    "+model=mlp": ["model is a group already: leave the + out"],
    "=5": ["=5 is no override: write key=value, or group=choice"],
    "seed": ["seed is no override: write key=value, or group=choice"],
    "data.root=~/images": ["data.root=~/images cannot be read: quote the value, as in \"data.root='~/images'\""],
    "seed=1,2": ["seed=1,2 is several values: add -m for a sweep, write seed=[1,2] for a list"],
    "-m seed=1,2 model=mlp,nope": ["model=nope is no choice"],
    "--config-dir /nowhere": ["'/nowhere' not found"],
    "seed=1 --nope": ["--nope cannot be read: options come before all overrides or after them"],
    "hydra.run.dir=${nowhere}": ["Interpolation key 'nowhere' not found"],
    "hydra.run.dir=": ["hydra.run.dir= is empty"],
    "hydra.run.dir=/dev/null/run": ["/dev/null/run cannot be written (Not a directory)", "hydra.run.dir="],
    "-m hydra.sweep.dir=/dev/null/sweep seed=1,2": ["/dev/null/sweep cannot be written", "hydra.sweep.dir="],
    "gan=null": ["gan must be left as it is, but for its keys"],
    "loss.objectives=5": ["loss.objectives must be left as it is", "such as loss.objectives.adversarial, not 5"],
    "model.generator=[1]": ["model.generator=[1]"],
    "optimizer.lr=${oc.env:NO_SUCH_VARIABLE}": ["there is no environment variable NO_SUCH_VARIABLE"],
    "stop.patience=3 metrics=none": ["stop.patience=3 needs metrics.monitor, which is null"],
    "optimizer.learning_rate=1": [
        "optimizer.learning_rate is no key here: optimizer has betas, discriminator, generator, lr"
    ],
    "data.root=/nowhere": ["data.root=/nowhere does not exist"],
    "data=image_folder data.root=/nowhere": ["data.root=/nowhere is no folder: give a folder with images in it"],
    "data=image_folder data.root=/dev/null": ["data.root=/dev/null is no folder and no zip"],
    **{
        f"{key}={'n' * 300}": [f"{'n' * 40}... is too long for the name of a file or folder: give a shorter one"]
        for key in ("data", "ckpt_path")
    },
    f"hydra.run.dir={'n' * 300}": ["nnn... is too long for the name of a file or folder"],
    f"experiment={'n' * 300}": ["nnn... is too long for the name of a file or folder"],
    "data=fashion_mnist data.root=/nowhere data.download=false": ["data.root=/nowhere does not exist"],
    "metrics=inception extractor=inception extractor.weights=/nowhere.pth": [
        "extractor.weights=/nowhere.pth does not exist"
    ],
    "ckpt_path=/nowhere": ["ckpt_path=/nowhere holds no checkpoint"],
    "trainer.devices=3": ["data.batch_size=64", "does not divide among 3", "data.batch_size=63"],
    "micro_batches=100": ["micro_batches=100 is more than the 64 samples"],
    "trainer.devices=2 trainer.strategy=ddp": ["trainer.strategy=ddp expects every weight", "choose auto"],
    "trainer.devices=2 trainer.strategy=fsdp": ["trainer.strategy=fsdp cuts a model into pieces", "choose auto"],
    "experiment=r3gan loss=gan": [
        "loss.objectives.r1, loss.objectives.r2 have settings",
        "~loss.objectives.r1 ~loss.objectives.r2",
    ],
    "variant=cyclegan loss=hinge": ["variant=cyclegan has the adversarial loss of its paper, lsgan", "leave loss out"],
    "variant=infogan prior=gaussian": [
        "'prior.categories' not found",
        "add prior=coded, which variant=infogan selects",
    ],
    "model=biggan prior.num_classes=12": ["prior.num_classes=12 has more classes", "model.generator.num_classes"],
    "loss=began": ["needs a discriminator that gives energies", "model=autoencoder"],
    "experiment=ring model=cs231n": ["model=cs231n takes images of 28 pixels", "model=mlp"],
    "experiment=null": ["experiment=null is no choice: leave experiment out"],
    "+trainer.max_steps=5": ["trainer.max_steps", "max_iterations=N"],
    "trainer.gradient_clip_val=1": ["trainer.gradient_clip_val", "clip_gradient_norm=X"],
    "+trainer.accumulate_grad_batches=2": ["micro_batches=N"],
    "metrics=ring": ["data.modes", "choose data, metrics and callbacks that go together"],
    "data=image_folder": ["data.root has no default: give it, as in data.root=..."],
    "data.batch_size=1000000000000": ["data.batch_size=1000000000000 needs at least", "GiB are free here"],
    "callbacks.samples.count=1000000000": ["callbacks.samples.count=1000000000 needs at least"],
    "trainer.num_nodes=2": ["trainer.num_nodes=2 would wait for other machines", "torchrun or srun"],
}


WRONG_SETTINGS = {
    "+foo=1": ["+foo is read by nothing: leave it out"],
    "+ema.decay=.9": ["+ema.decay is read by nothing: leave it out"],
    "+callbacks.stop=1": ["+callbacks.stop is read by nothing: give it a _target_"],
    "+trainer.foo=1": ["trainer.foo is no argument of Lightning's Trainer"],
    "trainer.benchmark=7": ["trainer.benchmark must be true, false or null, not 7"],
    "trainer.profiler=fast": ["trainer.profiler must be simple, advanced, pytorch or null, not fast"],
    "+callbacks.x._target_=nowhere.Callback": ["there is no module nowhere here", "PYTHONPATH"],
    "stop.patience=0": ["stop.patience must be a whole number, at least 1, or null, not 0"],
    "stop.max_hours=long": ["stop.max_hours must be a number above 0, or null, not long"],
    "optimizer.lr=abc": ["optimizer.lr must be a number above 0, not abc"],
    "optimizer.lr=0": ["optimizer.lr must be a number above 0, not 0"],
    "optimizer.discriminator.lr=-1": ["optimizer.discriminator.lr must be a number above 0"],
    "optimizer.betas=[0.5,1.0]": ["optimizer.betas must be two numbers from 0 to below 1"],
    "optimizer.betas=abc": ["optimizer.betas must be two numbers from 0 to below 1"],
    "optimizer.betas=[0,one]": ["optimizer.betas must be two numbers from 0 to below 1"],
    "data.batch_size=1.5": ["data.batch_size must be a whole number"],
    "trainer.precision=7": ["trainer.precision must be one of auto"],
    "trainer.compile=fast": ["trainer.compile must be true, false or cuda_graphs, not fast"],
    "share_fakes=maybe": ["share_fakes must be true or false, not maybe"],
    "resume=always": ["resume must be"],
    "model.generator.width=wide": ["model.generator.width must be a number, not wide"],
    "data.image_size=null": ["data.image_size must be a whole number"],
    "trainer.deterministic=3": ["trainer.deterministic must be true or false, not 3"],
}
"""Each is a sentence of its own, and all are reported together."""


def batches() -> list[list[str]]:
    """Return `WRONG_SETTINGS` as command lines that have each key once."""
    found: list[dict[str, str]] = []
    for override in WRONG_SETTINGS:
        key = override.partition("=")[0]
        line = next((line for line in found if key not in line), None)
        if line is None:
            found.append(line := {})
        line[key] = override
    return [list(line.values()) for line in found]


@pytest.mark.parametrize("overrides", batches(), ids=len)
def test_every_wrong_setting_is_a_sentence_of_one_report(overrides: list[str], tmp_path: Path):
    done = run_without_torch(tmp_path, "train.py", *overrides)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    _, *sentences = done.stderr.splitlines()
    assert len(sentences) == len(overrides)
    for override in overrides:
        assert any(all(words in sentence for words in WRONG_SETTINGS[override]) for sentence in sentences), override
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_end_the_command_before_torch_is_imported(line: str, tmp_path: Path):
    done = run_without_torch(tmp_path, "train.py", *line.split())
    assert done.returncode == 2
    for words in MISTAKES[line]:
        assert words in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 2
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sample.py cout=4", "cout is no key here: did you mean count?"),
        (f"sample.py ckpt_path={'n' * 300}", "nnn... is too long for the name of a file or folder"),
        (f"eval.py ckpt_path={'n' * 300}", "nnn... is too long for the name of a file or folder"),
        ("sample.py +foo=4", "+foo is read by nothing"),
        ("sample.py ckpt_path=last", "ckpt_path=last finds no run"),
        ("eval.py metrics=fidd", "metrics=fidd is no choice: did you mean metrics=fid?"),
        ("eval.py seed=1,2", "seed=1,2 is several values"),
    ],
)
def test_mistakes_of_the_other_commands_are_one_sentence_too(line: str, words: str, tmp_path: Path):
    done = run_without_torch(tmp_path, *line.split())
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 2


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
def test_errors_of_constructors_are_one_sentence_too(line: str, words: str, tmp_path: Path):
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


def test_a_mistake_that_only_the_parts_know_ends_the_command_and_leaves_no_run(command: Command, tmp_path: Path):
    done = command("train.py", "model.discriminator.norm=foo", "logger=csv")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "model.discriminator.norm=foo is unknown" in done.stderr
    assert not list((tmp_path / "outputs" / "runs").iterdir())


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("3", 3), ("true", True), ("[1,2]", [1, 2]), ("/a (1)", "/a (1)"), ("${x}", "${x}")],
)
def test_a_value_of_the_environment_has_the_type_that_it_would_have_if_it_were_typed(
    text: str, value: object, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SOME_VALUE", text)
    register_resolvers()
    config = OmegaConf.create({"key": "${oc.env:SOME_VALUE}", "other": "${oc.env:NO_SUCH_VARIABLE,5}"})
    assert (config.key, config.other) == (value, 5)


def test_a_value_of_the_environment_is_checked_as_one_that_was_typed(monkeypatch: pytest.MonkeyPatch):
    for text, message in (("fast", "optimizer.lr must be a number above 0, not fast"), ("1e-4", None)):
        monkeypatch.setenv("RATE", text)
        with composed("optimizer.lr=${oc.env:RATE}", directory="nowhere") as config:
            if message is None:
                validate(config, "train")
                continue
            with pytest.raises(UserError, match=message):
                validate(config, "train")


def test_keys_that_something_reads_may_be_added(monkeypatch: pytest.MonkeyPatch):
    with composed(
        *("+rate=1e-3", "optimizer.lr=${rate}", "+trainer.detect_anomaly=true", "++seed=1", "+model.generator.x=1"),
        "+callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping",
    ) as config:
        validate(config, "train")


def test_the_arguments_of_lightnings_trainer_are_those_of_its_signature():
    """They are read in its source, so that mistakes are answered before Lightning is imported."""
    assert trainer_arguments() == set(signature(Trainer.__init__).parameters) - {"self"}


@pytest.mark.parametrize("value", ["/a b (1)", "it's", 'say "x"', "a,b=c", "$HOME"])
def test_an_override_in_quotes_reads_as_it_stands(value: str):
    """Through a shell and Hydra's grammar."""
    (line,) = shlex.split(quoted_override("key", value))
    assert OverridesParser.create().parse_override(line).value() == value


def test_a_plugin_that_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ConfigStore, "list", lambda self, group: ["basic.yaml"])
    monkeypatch.setattr("gan_lightning.runs.validate.find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        refuse_arguments(["-m", "launcher=slurm", "+hparams_search=optuna", "loss=gan"])
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "pip install 'gan_lightning[slurm]'",
        "pip install 'gan_lightning[optuna]'",
    ]


def test_libraries_of_other_files_are_no_plugins_of_hydra():
    refuse_arguments(["data=hf_dataset", "logger=mlflow", "+logger=tensorboard"])


@pytest.mark.parametrize("group", ["launcher", "hparams_search"])
def test_every_file_with_a_plugin_says_how_to_install_it(group: str, monkeypatch: pytest.MonkeyPatch):
    assert not any(missing_plugins("launcher", "joblib"))
    monkeypatch.setattr(ConfigStore, "list", lambda self, group: ["basic.yaml"])
    monkeypatch.setattr("gan_lightning.runs.validate.find_spec", lambda name: None)
    for answer in {*answers(group)} - {"grid"}:
        (problem,) = missing_plugins(group, answer)
        assert problem.startswith(f"{group}={answer} needs a plugin")
