from __future__ import annotations

import pytest
from helpers.compose import CONF, GROUPS, answers, composed, resolved

from gan_lightning.runs.validate import missing_plugins

NOT_INSTALLED = pytest.mark.skipif(any(missing_plugins("launcher", "ray")), reason="ray is too heavy for every test")
FILES = [
    pytest.param(group, name, marks=[NOT_INSTALLED] if (group, name) == ("launcher", "ray") else [])
    for group in GROUPS
    for name in answers(group)
]
TRAINED = ("experiment", "loss", "regularizer", "optimizer", "schedule", "prior")
"""Groups whose files all compose and resolve in test_experiments.py, which trains them."""
NEEDED = {
    "hf_dataset": ["data.name=/no/data/set"],
    "image_folder": ["data.root=/pictures"],
    "unpaired_folders": ["data.a=/photos", "data.b=/paintings"],
}
"""What an answer asks the user for."""


@pytest.mark.parametrize(("group", "name"), [file for file in FILES if file.values[0] not in TRAINED])
def test_every_file_composes_and_resolves(group: str, name: str):
    # A perceptron takes any data; metrics of one kind of data are composed beside it.
    others = {"data": ["model=mlp"], "metrics": [f"data={name}"] if name in answers("data") else []}.get(group, [])
    if group == "metrics" and others:
        others.append("model=mlp")
    with composed(f"{group}={name}", *others, *NEEDED.get(name, [])) as config:
        assert config.hydra.runtime.choices[group] in (name, [name])
        values = resolved(config)
    assert values["gan"]["_target_"] == "gan_lightning.gan.GAN"


@pytest.mark.parametrize(("group", "name"), FILES)
def test_every_file_says_what_it_is(group: str, name: str):
    lines = (CONF / group / f"{name}.yaml").read_text().splitlines()
    first = next(line for line in lines if not line.startswith("# @package"))
    assert first.startswith("# "), "a file opens with a comment that says what it is and when to choose it"


def test_an_experiment_wins_over_the_root_and_the_command_line_over_both():
    with composed("experiment=gaussian") as config:
        assert config.max_iterations == 4000
        assert config.hydra.runtime.choices.data == "gaussian"
        assert config.hydra.runtime.choices.metrics == "gaussian"
    with composed("experiment=gaussian", "max_iterations=7", "metrics=none", "data.mean=-2") as config:
        assert config.max_iterations == 7
        assert config.hydra.runtime.choices.metrics == "none"
        assert config.data.mean == -2


def test_dcgan_is_the_default_without_r1():
    with composed("regularizer=[]") as config:
        plain = resolved(config)
    with composed("experiment=dcgan_mnist10k", "regularizer=[]") as config:
        named = resolved(config)
    assert named["choices"].pop("experiment") == "dcgan_mnist10k"
    assert named.pop("published") and plain.pop("published") is None
    for settings in (named, plain):
        settings["logger"]["wandb"].pop("name")  # says what was typed
    assert named == plain


def test_regularizers_stand_beside_the_loss():
    with composed("loss=hinge", "regularizer=[r1,r2]", "loss.objectives.r1.gamma=3") as config:
        assert list(config.gan.objectives) == ["adversarial", "r1", "r2"]
        assert config.gan.objectives.r1.gamma == 3
        assert config.gan.objectives.r2.gamma != 3


def test_one_key_sets_both_learning_rates_and_two_set_one_each():
    with composed("optimizer.lr=0.5", "optimizer.discriminator.lr=0.25") as config:
        assert config.gan.generator_optimizer.lr == 0.5
        assert config.gan.discriminator_optimizer.lr == 0.25
