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
from torch import Tensor, nn

from gan_lightning.game import Latent, Objective, Round, check_objectives, has_critic
from gan_lightning.losses.energy import EnergyOutput
from gan_lightning.utils.choices import lineage, read_conf

CONF = Path(__file__).parents[2] / "conf"
LOSSES = sorted(path.stem for path in (CONF / "loss").glob("*.yaml"))
REGULARIZERS = sorted(path.stem for path in (CONF / "regularizer").glob("*.yaml"))
GENERATOR_ONLY = {"feature_matching", "pull_away", "orthogonal"}
DISCRIMINATOR_ONLY = {"r1", "r2", "gradient_penalty", "dragan", "label_smoothing", "lecam", "consistency"}
"""All others have a term for both players, but weight clipping, which has none."""


@cache
def choose(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def parts() -> list[Any]:
    """Return each loss's objectives and each regularizer, as parameters (file, name of the objective)."""
    losses = {
        loss: dict.fromkeys(
            objective
            for name in lineage("loss", loss, (str(CONF),))
            for objective in read_conf(f"loss/{name}.yaml", [CONF]).get("objectives", {})
        )
        for loss in LOSSES
    }
    pairs = [(loss, name) for loss, names in losses.items() for name in names] + [(name, name) for name in REGULARIZERS]
    return [pytest.param(file, name, id=f"{file}-{name}") for file, name in pairs]


@cache
def objective_of(file: str, name: str) -> Objective:
    """Return an objective of a loss, or a regularizer, as its file makes it."""
    if file in REGULARIZERS:
        return make(choose(f"regularizer=[{','.join(REGULARIZERS)}]").loss.objectives[name])
    return make(choose(f"loss={file}", "regularizer=[]").loss.objectives[name])


def make(part: DictConfig) -> Objective:
    """An objective; one that is made for networks is made for those of `make_networks`."""
    if "generator" not in part:
        return instantiate(part, every=1) if "every" in part else instantiate(part)
    generator, discriminator = make_networks()
    return instantiate(part, generator=generator, discriminator=discriminator)


class Discriminator(nn.Module):
    """Energies as an autoencoder gives them, with the codes as features: it can play any loss."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))
        self.decode = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6))

    def forward(self, samples: Tensor) -> EnergyOutput:
        codes = self.encode(samples)
        return EnergyOutput(-(self.decode(codes).float() - samples.flatten(1).float()).square().mean(1), codes)


def make_networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 6), nn.Unflatten(1, (1, 2, 3)))
    return generator, Discriminator()


def make_round(player: str, objective: Objective) -> Round:
    """A round of `player` as the training loop makes it, after one update, so that there are past values."""
    generator, discriminator = make_networks()
    past = Round(generator, discriminator, Latent(torch.zeros(5, 3)), torch.randn(5, 1, 2, 3), torch.randn(5, 1, 2, 3))
    with torch.no_grad():
        objective.after_discriminator_step(past)
        for weight in (*generator.parameters(), *discriminator.parameters()):
            weight.mul_(1.5)
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
        discriminator_updates=1,
    )


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize(("file", "name"), parts())
def test_a_term_gives_gradients_to_its_player_only(file: str, name: str, player: str, half: bool) -> None:
    objective = objective_of(file, name)
    with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
        round = make_round(player, objective)
        term = getattr(objective, player)(round)
        others = GENERATOR_ONLY if player == "discriminator" else DISCRIMINATOR_ONLY
        if name in others or name == "weight_clipping":
            assert term is None
            return
        assert term.shape == ()
        assert term.dtype == torch.float32
        assert term.isfinite()
        term.backward()
    learners, rest = round.discriminator, round.generator
    if player == "generator":
        learners, rest = rest, learners
    weights = [weight for weight in learners.parameters() if weight.dim() == 2]
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in weights)
    assert all(weight.grad is None for weight in rest.parameters())


@pytest.mark.parametrize("path", sorted((CONF / "loss").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_loss_states_the_facts_that_others_read(path: Path) -> None:
    loss = choose(f"loss={path.stem}").loss
    assert isinstance(loss.discriminator_steps, int)
    assert loss.discriminator_steps >= 1
    assert loss.discriminator_norm in ("batch", "layer", "none")
    assert loss.get("energy") in (None, "squared", "absolute")
    assert all("_target_" in objective for objective in loss.objectives.values())
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", sorted((CONF / "regularizer").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_regularizer_joins_the_objectives_under_its_own_name(path: Path) -> None:
    config = choose("loss=hinge", f"regularizer={path.stem}")
    assert list(config.loss.objectives) == ["adversarial", path.stem]


def test_regularizers_add_up_and_take_overrides() -> None:
    config = choose("loss=hinge", "regularizer=[r1,r2]", "loss.objectives.r1.gamma=3", "loss.objectives.r2.gamma=10")
    objectives = instantiate(config.loss.objectives)
    assert list(objectives) == ["adversarial", "r1", "r2"]
    assert (objectives["r1"].gamma, objectives["r2"].gamma) == (3, 10)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_that_forbids_batch_norm_chooses_another_norm(loss: str) -> None:
    config = choose(f"loss={loss}").loss
    strict = any(objective.forbids_batch_norm for objective in instantiate(config.objectives).values())
    assert not strict or config.discriminator_norm != "batch"


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_states_that_it_needs_energies(loss: str) -> None:
    """By asking each for the discriminator's term of scores."""
    config = choose(f"loss={loss}").loss
    scores = Round(nn.Identity(), nn.Identity(), Latent(torch.zeros(2, 1)), torch.ones(2), torch.zeros(2))
    with pytest.raises(ValueError, match="energies") if config.get("energy") else nullcontext():
        instantiate(config.objectives.adversarial).discriminator(scores)


def test_penalties_that_a_loss_brings_are_as_their_regularizers_bring_them() -> None:
    """But for strengths, which a paper may set: the same class with the same keys."""
    for loss in LOSSES:
        for name, part in choose(f"loss={loss}", "regularizer=[]").loss.objectives.items():
            if name in REGULARIZERS:
                other = choose(f"regularizer=[{','.join(REGULARIZERS)}]").loss.objectives[name]
                assert part.keys() == other.keys(), (loss, name)
                assert part["_target_"] == other["_target_"]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_of_log_odds_is_no_critic(loss: str) -> None:
    """D(x) = p / (p + q) is the optimum of these losses alone, which `critic` says."""
    objectives = instantiate(choose(f"loss={loss}").loss.objectives).values()
    assert has_critic(objectives) == (loss not in ("gan", "minimax", "dragan"))


@pytest.mark.parametrize("loss", LOSSES)
def test_label_smoothing_is_refused_where_no_target_can_be_moved(loss: str) -> None:
    objectives = instantiate(choose(f"loss={loss}", "regularizer=label_smoothing").loss.objectives)
    able = loss in ("gan", "minimax", "dragan", "lsgan")
    with nullcontext() if able else pytest.raises(ValueError, match="label_smoothing needs a loss with a target"):
        check_objectives(nn.Identity(), objectives)
