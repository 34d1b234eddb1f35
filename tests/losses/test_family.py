"""What every loss and regularizer must do, as its own file in conf/ makes it: who has a term, and who learns by it."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from gan_lightning.game import Latent, Objective, Round

CONF = Path(__file__).parents[2] / "conf"
LOSSES = ["gan", "minimax", "lsgan", "hinge", "wgan", "wgan_gp"]
REGULARIZERS = ["r1", "r2", "gradient_penalty", "label_smoothing"]
DISCRIMINATOR_ONLY = {"weight_clipping", *REGULARIZERS}


@cache
def choose(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def parts() -> list[Any]:
    """Each loss's objectives and each regularizer, as parameters (name, objective)."""
    chosen = [(loss, name, part) for loss in LOSSES for name, part in choose(f"loss={loss}").loss.objectives.items()]
    chosen += [(name, name, choose(f"regularizer={name}").loss.objectives[name]) for name in REGULARIZERS]
    return [pytest.param(name, instantiate(part), id=f"{file}-{name}") for file, name, part in chosen]


def make_round(player: str, objective: Objective) -> Round:
    """A turn of `player` as the training loop makes it."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 6), nn.Unflatten(1, (1, 2, 3)))
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    z = torch.randn(5, 3)
    with torch.set_grad_enabled(player == "generator"):
        fake = generator(z)
    discriminator.requires_grad_(player == "discriminator")
    images = objective.needs_image_gradients and player == "discriminator"
    return Round(
        generator,
        discriminator,
        Latent(z),
        torch.randn(5, 1, 2, 3).requires_grad_(images),
        fake.requires_grad_() if images else fake,
    )


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize(("name", "objective"), parts())
def test_a_term_teaches_its_player_and_nobody_else(name: str, objective: Objective, player: str, half: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
        round = make_round(player, objective)
        term = getattr(objective, player)(round)
        if name == "weight_clipping" or (player == "generator" and name in DISCRIMINATOR_ONLY):
            assert term is None
            return
        assert term.shape == ()
        assert term.dtype == torch.float32
        assert term.isfinite()
        term.backward()
    learners, others = round.discriminator, round.generator
    if player == "generator":
        learners, others = others, learners
    weights = [weight for weight in learners.parameters() if weight.dim() == 2]
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in weights)
    assert all(weight.grad is None for weight in others.parameters())


@pytest.mark.parametrize("path", sorted((CONF / "loss").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_loss_states_the_facts_that_others_read(path: Path) -> None:
    loss = choose(f"loss={path.stem}").loss
    assert isinstance(loss.discriminator_steps, int)
    assert loss.discriminator_steps >= 1
    assert loss.discriminator_norm in ("batch", "layer", "none")
    assert isinstance(loss.label_targets, bool)
    assert all("_target_" in objective for objective in loss.objectives.values())
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", sorted((CONF / "regularizer").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_regularizer_joins_the_objectives_under_its_own_name(path: Path) -> None:
    config = choose("loss=hinge", f"regularizer={path.stem}")
    assert list(config.loss.objectives) == ["adversarial", path.stem]


def test_regularizers_add_up_and_take_overrides() -> None:
    config = choose("loss=hinge", "regularizer=[r1,r2]", "loss.objectives.r1.gamma=3")
    objectives = instantiate(config.loss.objectives)
    assert list(objectives) == ["adversarial", "r1", "r2"]
    assert (objectives["r1"].gamma, objectives["r2"].gamma) == (3, 10)


def test_a_loss_that_forbids_batch_norm_asks_for_none() -> None:
    for loss in LOSSES:
        config = choose(f"loss={loss}").loss
        strict = any(objective.forbids_batch_norm for objective in instantiate(config.objectives).values())
        assert strict == (config.discriminator_norm != "batch")
