"""Loading a checkpoint runs no code that came with it, and each fault of one is a sentence."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoints import save_changed
from helpers.compose import composed, job_part
from helpers.jobs import train
from helpers.run_script import TINY
from helpers.sampled_runs import run, sampled
from helpers.tiny_gan import play, tiny_gan
from lightning import LightningModule, Trainer

from gan_lightning.cli.evaluate import evaluate
from gan_lightning.runs.checkpoints import load, load_generator
from gan_lightning.runs.safe_targets import NOT_BUILT, allowed_targets, checked_settings, targets
from gan_lightning.utils.conf import plain
from gan_lightning.utils.errors import UserError

Content = dict[str, Any]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of a small run."""
    toy = run(tmp_path_factory.mktemp("toy"), *TINY, "callbacks.density=null", "logger=csv", "max_iterations=1")
    return toy / "checkpoints" / "last.ckpt"


@pytest.fixture
def content(toy: Path) -> Content:
    """What it holds, to be changed."""
    loaded: Content = torch.load(toy, weights_only=True)
    return loaded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the checkpoint in question is to lie, alone in its folder."""
    (tmp_path / "theirs").mkdir()
    return tmp_path / "theirs" / "their.ckpt"


class Marking:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.mkdir, (str(self.mark),)  # type: ignore[return-value]


def refused(file: Path) -> str:
    """The sentence with which every program refuses the checkpoint, having written nothing."""
    before = sorted(file.parent.rglob("*"))
    problems = []
    for action in (evaluated, sampled_from, resumed_from):
        with pytest.raises(UserError) as error:
            action(file)
        problems += error.value.problems
    assert len(problems) == 3
    assert sorted(file.parent.rglob("*")) == before
    assert not any("\n" in sentence or len(sentence) > 500 for sentence in problems)
    assert problems[0] == problems[1] and str(file) in problems[0]
    return problems[0]


def evaluated(file: Path) -> None:
    with composed(f"ckpt_path='{file}'", "device=cpu", config_name="eval") as config:
        evaluate(config)


def sampled_from(file: Path) -> None:
    sampled(file, "format=npz", "count=2")


def resumed_from(file: Path) -> None:
    overrides = (*TINY, "callbacks.density=null", "logger=csv", "max_iterations=1", f"ckpt_path='{file}'")
    with composed(*overrides, directory=file.parent / "new") as config:
        train(job_part(config))


@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle"])
def test_a_pickle_that_would_run_code_is_not_run(form: str, content: Content, file: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    evil = {**content, "callbacks": Marking(mark)}
    if form == "plain pickle":
        file.write_bytes(pickle.dumps(Marking(mark), protocol=2))
    else:
        save_changed(evil, file, _use_new_zipfile_serialization=form == "zip")
    words = f"holds {os.mkdir.__module__}.mkdir beside weights and plain values, which could run code as it is read"
    assert words in refused(file)
    assert not mark.exists()
    if form != "plain pickle":
        torch.load(file, weights_only=False)
        assert mark.exists(), "it would have run"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "is not a checkpoint, or not a whole one"),
        (lambda data: data[: len(data) // 2], "is not a checkpoint, or not a whole one"),
        (lambda data: data[-1000:], "is damaged, its checksums do not hold"),
        (lambda data: b"nothing", "is not a checkpoint, or not a whole one"),
        (lambda data: pickle.dumps([1, 2]), "is not a checkpoint"),
    ],
    ids=["empty", "half", "end", "text", "list"],
)
def test_a_broken_file_is_refused(damage: Callable[[bytes], bytes], words: str, toy: Path, file: Path) -> None:
    file.write_bytes(damage(toy.read_bytes()))
    assert words in refused(file)


def test_settings_that_contain_themselves_are_refused(content: Content, file: Path) -> None:
    endless: dict[str, Any] = {"width": 3}
    endless["self"] = endless
    torch.save({**content, "hyper_parameters": {**content["hyper_parameters"], "model": endless}}, file)
    assert "was changed since train.py wrote it: not loaded" in refused(file)


def test_checkpoints_of_others_are_refused(content: Content, file: Path) -> None:
    foreign: list[Any] = [
        content["state_dict"],
        {"state_dict": content["state_dict"], "hyper_parameters": {"lr": 0.1}, "epoch": 3},
        {**content, "hyper_parameters": {"lr": 0.1}},
        {**content, "game": {"iterations": 3, "discriminator_updates": 3, "images": torch.ones(3)}},
    ]
    for each in foreign:
        torch.save(each, file)
        assert "is not a checkpoint that train.py wrote" in refused(file)


def test_a_checkpoint_of_another_project_is_refused(file: Path) -> None:
    class Other(LightningModule):
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(width, width)

    trainer = Trainer(logger=False, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(Other())
    trainer.save_checkpoint(file)
    assert "is not a checkpoint that train.py wrote" in refused(file)


def test_weights_of_another_model_are_refused(content: Content, file: Path) -> None:
    weights = content["state_dict"]
    name = next(name for name in weights if name.startswith("averaged_generator"))
    for other in (torch.zeros(2, 3), "text"):
        save_changed({**content, "state_dict": {**weights, name: other}}, file)
        for action in (evaluated, sampled_from):
            with pytest.raises(UserError, match="has weights that do not fit the networks of its own settings"):
                action(file)
        with pytest.raises(UserError, match="do not fit"):
            load_generator(file, "cpu")


def place_in_gan(settings: Content, node: Any) -> None:
    settings["gan"]["averaging"] = node


def place_whole(settings: Content, node: Any) -> None:
    settings["gan"] = node


def place_in_arguments(settings: Content, node: Any) -> None:
    settings["gan"]["generator"]["_args_"] = [[node]]


def place_in_data(settings: Content, node: Any) -> None:
    settings["data"]["distribution"] = {"within": [node]}


def place_in_metrics(settings: Content, node: Any) -> None:
    settings["metrics"]["metrics"]["new"] = node


@pytest.mark.parametrize("place", [place_in_gan, place_whole, place_in_arguments, place_in_data, place_in_metrics])
@pytest.mark.parametrize("partial", [False, True])
def test_settings_that_would_run_code_are_not_built(
    place: Callable[[Content, Any], None], partial: bool, content: Content, file: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    place(content["hyper_parameters"], {"_target_": "os.mkdir", "_args_": [str(mark)], "_partial_": partial})
    save_changed(content, file)
    for action in (evaluated, sampled_from, lambda file: load_generator(file, "cpu")):
        with pytest.raises(UserError, match=r"names os\.mkdir, which no file of conf/ names: not loaded"):
            action(file)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    [
        "torch.load",
        "torch.hub.load",
        "torch.utils.cpp_extension.load",
        "torch.optim.Adam.__init__.__globals__.get",
        "torch.nn.Linear",
        "functools.partial",
        "hydra.utils.get_method",
        "gan_lightning.runs.run_dir.git",
        "gan_lightning.runs.run_dir.subprocess.run",
        "gan_lightning.gan.GAN.load_from_checkpoint",
        "gan_lightning.callbacks.checkpoint.Checkpoint",
        "gan_lightning.loggers.WandB",
        " torch.optim.Adam",
        "",
        None,
        ["torch.optim.Adam"],
    ],
)
def test_only_what_conf_names_is_built(name: Any, content: Content, file: Path) -> None:
    content["hyper_parameters"]["gan"]["averaging"] = {"_target_": name}
    save_changed(content, file)
    with pytest.raises(UserError, match="which no file of conf/ names"):
        load(file, "cpu")


def test_what_is_imported_meanwhile_is_not_built(content: Content, file: Path) -> None:
    settings = content["hyper_parameters"]
    name = "gan_lightning.cli.sample.hydra.experimental.callback.logging.os.mkdir"
    settings["metrics"]["metrics"]["x"] = {"_target_": "gan_lightning.runs.resume_policy.Nope"}
    settings["gan"] = settings.pop("gan") | {"averaging": {"_target_": name, "path": str(file.parent / "mark")}}
    save_changed(content, file)
    with pytest.raises(UserError, match=r"names .*os\.mkdir.*, which no file of conf/ names"):
        load(file, "cpu")
    assert not (file.parent / "mark").exists()


@pytest.mark.parametrize("text", ["${oc.create:'{_target_: os.mkdir}'}", "${oc.env:HOME}", "a${b}"])
def test_an_interpolation_is_not_filled_in(text: str, content: Content, file: Path) -> None:
    content["hyper_parameters"]["gan"]["averaging"] = text
    save_changed(content, file)
    with pytest.raises(UserError, match=r"has settings with \$\{\.\.\.\} in them, which train.py never writes"):
        load(file, "cpu")


def test_code_of_ones_own_is_named_with_the_way_to_allow_it(content: Content, file: Path) -> None:
    content["hyper_parameters"]["gan"]["objectives"]["drift"] = {"_target_": "helpers.tiny_gan.Drifting"}
    content["state_dict"]["objectives.drift.centre"] = torch.ones(2)
    save_changed(content, file)
    with pytest.raises(UserError, match=r"names helpers.tiny_gan\.Drifting, .* add 'trust=\[helpers.tiny_gan\."):
        sampled_from(file)
    assert len(sampled(file, "format=npz", "count=2", "trust=[helpers.tiny_gan.Drifting]")) == 1
    assert "drift" in load(file, "cpu", ["helpers.tiny_gan.Drifting"]).gan.objectives


def test_a_part_of_another_version_is_refused_by_name(content: Content, file: Path) -> None:
    content["hyper_parameters"]["gan"]["averaging"]["_target_"] = "gan_lightning.ema.Old"
    save_changed(content, file)
    for action in (evaluated, sampled_from):
        with pytest.raises(UserError, match=r"names gan_lightning\.ema\.Old, .*: not loaded; use the version"):
            action(file)


def test_settings_that_do_not_build_are_refused(content: Content, file: Path) -> None:
    content["hyper_parameters"]["gan"]["generator"]["width"] = 0
    save_changed(content, file)
    with pytest.raises(UserError, match="their.ckpt cannot be built from its settings: .*width"):
        load(file, "cpu")
    content["hyper_parameters"]["gan"]["generator"] = {"_target_": "torch.optim.Adam"}
    save_changed(content, file)
    with pytest.raises(UserError, match="cannot be built from its settings") as problems:
        load(file, "cpu")
    assert "\n" not in str(problems.value)


def test_what_watches_a_game_is_not_there_to_be_built(toy: Path, content: Content, file: Path) -> None:
    content["hyper_parameters"]["callbacks"]["own"] = {"_target_": "my_project.Callback"}
    save_changed(content, file)
    assert not set(NOT_BUILT) & set(load(file, "cpu").config)


@pytest.mark.parametrize(
    "experiment", ["dcgan_mnist10k", "infogan", "cyclegan", "biggan", "ring", "wgan_gp", "pacgan", "acgan", "began"]
)
def test_every_run_of_conf_is_trusted(experiment: str, tmp_path: Path) -> None:
    with composed(f"experiment={experiment}", "schedule=cosine", "wrapper=[diffaugment]") as config:
        settings = plain(job_part(config))
    kept = checked_settings(settings, tmp_path)
    assert kept.keys() == settings.keys() - set(NOT_BUILT)
    assert set(targets(kept)) <= allowed_targets()


def test_conf_names_nothing_but_the_game() -> None:
    assert {name.split(".")[0] for name in allowed_targets()} == {"gan_lightning", "torch"}
    assert {name for name in allowed_targets() if name.startswith("torch")} == {f"torch.optim.{n}" for n in OPTIMIZERS}
    assert not any(word in name for name in allowed_targets() for word in ("callbacks", "loggers", "launchers"))


OPTIMIZERS = ("Adam", "RMSprop", "SGD")


def test_a_game_that_was_made_without_settings_is_refused(file: Path) -> None:
    play(tiny_gan(max_iterations=1)).save_checkpoint(file)
    assert "is not a checkpoint that train.py wrote" in refused(file)
