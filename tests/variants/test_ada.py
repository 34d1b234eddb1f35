"""ADA's probability by hand for scripted scores, and the variant as a whole."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.compose import SMALL, composed, job_part
from helpers.jobs import train
from helpers.tiny_gan import TinyDiscriminator
from torch import nn

from gan_lightning.game import DiscriminatorOutput, Latent, Objective, Round, share_score_threshold
from gan_lightning.losses.adversarial import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from gan_lightning.losses.energy import BoundaryEquilibrium, EnergyBased
from gan_lightning.losses.relativistic import RelativisticAverage, RelativisticPairing
from gan_lightning.randomness import Noise
from gan_lightning.variants.ada import AdaptiveAugmentation, AdaptiveProbability
from gan_lightning.wrappers.base import Wrapper


def augmentation(p: float = 0.0) -> AdaptiveAugmentation:
    made = AdaptiveAugmentation(nn.Identity(), ["contrast"])
    made.p.fill_(p)
    return made


def scripted(logits: list[float], discriminator: nn.Module, turn: int = 0, **settings: Any) -> Round:
    """A round whose data have these scores."""
    samples = torch.zeros(len(logits), 1, 4, 4)
    round = Round(
        nn.Identity(), discriminator, Latent(samples), samples, samples, discriminator_updates=turn, **settings
    )
    round.__dict__["real_output"] = DiscriminatorOutput(torch.tensor(logits))
    return round


SURE, UNSURE, FOOLED = [3.0, 0.1, 2.0, 1.0], [1.0, 1.0, 1.0, -5.0], [-1.0, -1.0, -0.1, 2.0]
"""Scores whose signs have the mean 1, .5 and -.5."""


def trajectory(
    objective: AdaptiveProbability, discriminator: nn.Module, script: list[list[float]], **settings: Any
) -> list[float]:
    """p after each turn."""
    found = []
    for number, logits in enumerate(script):
        objective.after_discriminator_step(scripted(logits, discriminator, number, **settings))
        found.append(round(objective.p.item(), 6))
    return found


def test_p_follows_the_mean_sign_of_the_last_turns() -> None:
    """4 images a turn, and so 8 images of 40, a fifth, every 2 turns."""
    discriminator = augmentation()
    objective = AdaptiveProbability(target=0.6, adjustment_images=40, every=2)
    script = [SURE, SURE, SURE, UNSURE, UNSURE, UNSURE, FOOLED, SURE, FOOLED, FOOLED, *[SURE] * 12]
    #         r = 1     r = .75       r = .5          r = .25       r = -.5
    expected = [0.0, 0.2, 0.2, 0.4, 0.4, 0.2, 0.2, 0.0, 0.0, 0.0]
    expected += [0.0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8, 1.0, 1.0, 1.0]
    assert trajectory(objective, discriminator, script) == expected
    assert discriminator.p.item() == objective.p.item() == 1
    assert objective.r.item() == 1


def test_p_stays_at_the_target_and_counts_signs_alone() -> None:
    discriminator = augmentation()
    objective = AdaptiveProbability(target=0.5, adjustment_images=40, every=1)
    assert trajectory(objective, discriminator, [UNSURE, [100.0, 100.0, 100.0, -1e-3]]) == [0, 0]
    assert objective.r.item() == 0.5


@pytest.mark.parametrize(
    ("loss", "threshold"),
    [(NonSaturating(), 0.0), (Minimax(), 0.0), (Hinge(), 0.0), (LeastSquares(), 0.5), (LeastSquares(-1, 1, 0), 0.0)],
)
def test_scores_count_from_where_the_best_discriminator_is_undecided(loss: Objective, threshold: float) -> None:
    """Where data and fakes are as likely: the score at which the discriminator's loss of both together is least."""
    scores = torch.linspace(-3, 3, 1201)
    rounds = [scripted([score], nn.Identity()) for score in scores.tolist()]
    for each in rounds:
        each.__dict__["fake_output"] = each.__dict__["real_output"]
    terms = [loss.discriminator(each) for each in rounds]
    costs = torch.stack([term for term in terms if term is not None])
    best = scores[costs <= costs.min() + 1e-6]  # of a hinge loss all from -1 to 1
    assert best.mean().item() == pytest.approx(threshold, abs=0.01)
    objective = AdaptiveProbability(adjustment_images=40, every=1)
    share_score_threshold({"adversarial": loss, "ada": objective})
    trajectory(objective, augmentation(), [[threshold + 0.1, threshold + 0.1, threshold + 0.1, threshold - 0.1]])
    assert objective.r.item() == 0.5


@pytest.mark.parametrize(
    "loss", [Wasserstein(), RelativisticPairing(), RelativisticAverage(), EnergyBased(), BoundaryEquilibrium()]
)
def test_losses_whose_scores_have_no_zero_are_refused_unless_p_is_fixed(loss: Objective) -> None:
    with pytest.raises(ValueError, match=r"those of this loss have no zero: choose loss=gan, .* wrappers\.ada\.p=0\.3"):
        share_score_threshold({"adversarial": loss, "ada": AdaptiveProbability()})
    share_score_threshold({"adversarial": loss, "ada": AdaptiveProbability(target=None)})


def test_p_is_fixed_or_follows_a_schedule_whatever_the_scores() -> None:
    discriminator = AdaptiveAugmentation(nn.Identity(), ["contrast"], p=0.3)
    assert trajectory(AdaptiveProbability(target=None, every=1), discriminator, [SURE, FOOLED]) == [0.3, 0.3]
    # 4 images a turn, 8 of 40 every 2 turns: a fifth, until .65 is reached; and down as well.
    up = AdaptiveProbability(target=None, adjustment_images=40, every=2, final_p=0.65)
    assert trajectory(up, discriminator, [FOOLED] * 6) == [0.3, 0.5, 0.5, 0.65, 0.65, 0.65]
    down = AdaptiveProbability(target=None, adjustment_images=40, every=1, final_p=0.5)
    assert trajectory(down, discriminator, [SURE] * 3) == [0.55, 0.5, 0.5]
    assert down.scalars().keys() == {"p"}
    with pytest.raises(ValueError, match=r"wrappers\.ada\.p must be in \[0, 1\], not -1"):
        AdaptiveAugmentation(nn.Identity(), ["contrast"], p=-1)


def test_the_settings_of_the_paper() -> None:
    objective = AdaptiveProbability()
    found = trajectory(objective, augmentation(), [SURE] * 8)
    assert found == [0, 0, 0, 16 / 500_000, 16 / 500_000, 16 / 500_000, 16 / 500_000, 32 / 500_000]


def test_ranks_move_p_together() -> None:
    """Each sees its own scores; the mean of both is what counts, and the images of both are counted."""
    script = {0: SURE, 1: FOOLED}  # mean sign .25
    ends = []
    for rank, mine in script.items():
        other = torch.tensor(script[1 - rank]).sign().mean()
        ranks = {"all_reduce_mean": lambda mean, other=other: (mean + other) / 2, "noise": Noise(0, batch_size=8)}
        discriminator, objective = augmentation(0.5), AdaptiveProbability(adjustment_images=80, every=1)
        assert trajectory(objective, discriminator, [mine], **ranks) == [0.4]
        ends.append((discriminator.p.item(), objective.r.item()))
    assert ends[0] == ends[1]
    assert ends[0][1] == 0.25


def test_the_wrapper_is_found_within_others() -> None:
    within = augmentation(0.5)
    trajectory(AdaptiveProbability(adjustment_images=40, every=1), Wrapper(within), [SURE])
    assert within.p.item() == pytest.approx(0.6)


def test_its_state_is_in_buffers_and_it_has_no_term() -> None:
    objective = AdaptiveProbability()
    round = scripted(SURE, augmentation())
    assert objective.discriminator(round) is None
    assert objective.generator(round) is None
    assert not list(objective.parameters())
    assert {name: reading.dim() for name, reading in objective.scalars().items()} == {"p": 0, "r": 0}


QUICK = ("variant=ada", "trainer.precision=32-true", "metrics=none", "data.batch_size=8", *SMALL)
TINY = ("model.generator.width=4", "model.discriminator.width=4")
EAGER = tuple(f"loss.objectives.ada.{setting}" for setting in ("every=1", "target=-1", "adjustment_images=100"))
"""p goes up after each turn, unless all data are taken for fakes."""


def test_a_checkpoint_keeps_p_and_the_log_shows_it(tmp_path: Path) -> None:
    with composed(*QUICK, *TINY, *EAGER, directory=tmp_path) as config:
        train(job_part(config))
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
    assert state["discriminator.p"].item() == pytest.approx(2 * 8 / 100)
    assert state["discriminator.p"] == state["objectives.ada.p"]
    assert {"objectives.ada.r", "objectives.ada.signs"} < state.keys()
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open(newline="")))
    assert [float(row["ada/p"]) for row in rows if row["ada/p"]] == pytest.approx([0.08, 0.16])
    assert all(-1 < float(row["ada/r"]) <= 1 for row in rows if row["ada/r"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": 1.5}, r"ada\.target must be in \[-1, 1\], or null, not 1\.5"),
        ({"adjustment_images": 0}, r"ada\.adjustment_images must be above 0"),
        ({"every": 0}, r"ada\.every must be a whole number of at least 1"),
        ({"target": None, "final_p": 1.5}, r"ada\.final_p must be in \[0, 1\], not 1\.5"),
        ({"final_p": 0.5}, r"a scheduled p's: add loss\.objectives\.ada\.target=null"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaptiveProbability(**settings)


def test_an_objective_without_its_wrapper_says_what_brings_both() -> None:
    with pytest.raises(ValueError, match=r"the discriminator has none: choose variant=ada, which brings both"):
        AdaptiveProbability().after_discriminator_step(scripted([1.0], TinyDiscriminator()))
