"""The variant of a command line that names none."""

from __future__ import annotations

import pytest
from helpers.compose import answers, composed

from gan_lightning.runs.api import checked_overrides
from gan_lightning.runs.compatibility import incompatibilities
from gan_lightning.runs.default_variant import DEFAULT_VARIANT, with_default_variant

SELF_CONDITIONED = ["", "data=fashion_mnist", "data=shapes", "loss=wgan_gp", "model=mlp", "-m seed=1,2"]
UNCONDITIONAL = [
    *("variant=none", "variant=pacgan", "experiment=gan", "ckpt_path=run", "prior=uniform", "prior.dim=64"),
    *("data=ring model=mlp", "data=gaussian model=mlp", "model=biggan", "model=autoencoder loss=ebgan"),
    *(
        "-m model=dcgan,biggan",
        "data=image_folder data.root=x data.in_memory=false",
        "data=nowhere",
        "data=image_folder",
    ),
]


@pytest.mark.parametrize("line", SELF_CONDITIONED)
def test_images_are_self_conditioned(line: str):
    options = 1 if line.startswith("-") else 0
    arguments = line.split()
    assert with_default_variant(arguments) == [*arguments[:options], DEFAULT_VARIANT, *arguments[options:]]


@pytest.mark.parametrize("line", UNCONDITIONAL)
def test_what_names_a_variant_or_cannot_have_clusters_stays(line: str):
    assert with_default_variant(line.split()) == line.split()


def test_ones_own_data_set_counts(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("clusters: null\n")
    (tmp_path / "data" / "points.yaml").write_text("shape: [2]\n")
    where = ["--config-dir", str(tmp_path)]
    assert with_default_variant([*where, "data=mine"]) == [*where, DEFAULT_VARIANT, "data=mine"]
    assert with_default_variant([*where, "data=points"]) == [*where, "data=points"]


def test_ones_own_file_replaces_that_of_conf(tmp_path):
    (tmp_path / "model").mkdir()
    where = ["--config-dir", str(tmp_path)]
    assert with_default_variant(where) == [*where, DEFAULT_VARIANT]
    (tmp_path / "model" / "dcgan.yaml").write_text("energies: true\n")
    assert with_default_variant(where) == where


def test_python_has_the_same_default():
    assert checked_overrides(["seed=1"]) == [DEFAULT_VARIANT, "seed=1"]


@pytest.mark.parametrize("group", ["loss", "model", "schedule", "optimizer", "wrapper"])
def test_the_default_composes_with_every_choice(group: str):
    for choice in answers(group):
        needed = {"began": ["model=autoencoder"], "ebgan": ["model=autoencoder"], "autoencoder": ["loss=ebgan"]}
        line = [f"{group}={choice}", *needed.get(choice, [])]
        if choice == "cyclegan":
            continue  # of pairs
        with composed(*with_default_variant(line)) as config:
            assert not list(incompatibilities(config))


def test_clusters_of_chosen_classes_are_as_large():
    with composed("variant=self_conditioned", "data.classes=[3,5]") as config:
        assert config.data.clusters == 18
