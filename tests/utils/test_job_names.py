from __future__ import annotations

import pytest
from helpers.compose import composed

from gan_lightning.utils.job_names import single_name


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "ring-mlp-gan-s0"),
        (["loss=gan", "seed=0", "data=ring", "model=mlp"], "ring-mlp-gan-s0"),  # what the name says already
        (["optimizer.lr=0.01", "+trainer.fast_dev_run=3"], "ring-mlp-gan-s0,optimizer.lr=0.01,trainer.fast_dev_run=3"),
        (["logger=wandb", "callbacks.samples.every=3", "log_every=1", "hydra.run.dir=here"], "ring-mlp-gan-s0"),
        (["name=mine", "optimizer.lr=0.01"], "ring-mlp-gan-s0"),  # composed, `name` is the user's
    ],
)
def test_a_single_run_is_named_by_what_was_typed(overrides: list[str], expected: str):
    assert single_name("ring-mlp-gan-s0", overrides) == expected


def test_the_wandb_run_of_a_single_run_says_what_differs():
    with composed("experiment=ring", "optimizer.lr=0.01", "seed=3", "logger=wandb") as config:
        assert config.logger.wandb.name == f"{config.name},experiment=ring,optimizer.lr=0.01"
        assert config.name.endswith("-s3")
