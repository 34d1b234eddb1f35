"""Which settings may change when a run resumes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from helpers.compose import composed, job_part, resolved

from gan_lightning.runs.resume_policy import refuse_changes
from gan_lightning.utils.errors import UserError

BASE = ("experiment=gaussian", "logger=csv")


@cache
def stored(overrides: tuple[str, ...]) -> dict[str, Any]:
    with composed(*BASE, *overrides, directory="before") as config:
        return resolved(config)


def compare(before: tuple[str, ...], now: tuple[str, ...]) -> None:
    old = stored(before)
    with composed(*BASE, *now, directory="now") as config:
        refuse_changes(Path("last.ckpt"), old, job_part(config))


@pytest.mark.parametrize(
    "now",
    [
        (),
        ("max_iterations=9999",),  # the linear schedule refers to it
        ("log_every=1", "evaluate_every=7", "samples_every=7", "checkpoint_every=7"),
        ("logger=wandb", "name=other"),
        ("callbacks=images",),
        ("callbacks.density=null",),
        ("trainer.devices=2", "trainer.num_nodes=2", "trainer.accelerator=cpu", "trainer.profiler=simple"),
        ("ckpt_path=some.ckpt", "resume=auto"),
        ("metrics.num_fakes=5",),
    ],
)
def test_what_watches_or_places_the_game_may_change(now: tuple[str, ...]):
    compare((), now)
    compare(now, ())


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ((), ("seed=1",), ["seed was 0 and is now 1"]),
        ((), ("loss.discriminator_steps=2",), ["loss.discriminator_steps was 1 and is now 2"]),
        ((), ("data.batch_size=60",), ["data.batch_size was 120 and is now 60"]),
        ((), ("ema.half_life_images=1",), ["ema.half_life_images was 60000 and is now 1"]),
        ((), ("metrics.monitor=null",), ["metrics.monitor was val/wasserstein1 and is now null"]),
        ((), ("prior.low=-1.0", "seed=1"), ["seed was 0 and is now 1", "prior.low was -8.0 and is now -1.0"]),
        ((), ("regularizer=[r2]",), ["loss.objectives.r2 was not there and is now {"]),
        (("regularizer=[r2]",), (), ["loss.objectives.r2 was {", "and is now not there"]),
        (("optimizer.generator.lr=0.5",), (), ["optimizer.generator.lr was 0.5 and is now 0.0005"]),
        (
            ("optimizer.generator.lr=0.5",),
            ("optimizer.lr=0.25",),
            ["optimizer.lr was 0.001 and is now 0.25", "optimizer.generator.lr was 0.5 and is now 0.0005"],
        ),
        (
            (),
            ("schedule=cosine",),
            ["schedule.min_lr was not there", "schedule.end_factor was 0.0"],
        ),
    ],
)
def test_what_makes_another_game_is_refused_by_name(before: tuple[str, ...], now: tuple[str, ...], told: list[str]):
    with pytest.raises(UserError) as refused:
        compare(before, now)
    (problem,) = refused.value.problems
    assert "last.ckpt was made with other settings" in problem
    for words in told:
        assert words in problem
    assert "gan." not in problem.replace("gan_lightning.", "")  # where the parts meet, no user types
    if len(told) == 1:
        assert problem.count(" is now ") == 1
