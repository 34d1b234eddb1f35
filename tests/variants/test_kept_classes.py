"""``data.classes`` with every class-conditional variant: no other class is drawn, arranged, sampled or evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.compose import SMALL, composed, job_part
from helpers.jobs import train

from gan_lightning.evaluation.evaluator import STREAM
from gan_lightning.runs.checkpoints import load

KEPT = [3, 5]
CONDITIONAL = {
    "cgan": ["variant=cgan"],
    "projection": ["variant=projection"],
    "acgan": ["variant=acgan"],
    "biggan": ["experiment=biggan"],
    "resnet": ["model=resnet", "prior=labelled", "model.generator.num_classes=${data.num_classes}"],
}


@pytest.mark.parametrize("name", CONDITIONAL)
def test_only_kept_classes_are_asked_of_the_generator(name: str, tmp_path: Path) -> None:
    choices = [*CONDITIONAL[name], f"data.classes={KEPT}", "metrics=none", "callbacks.health=null", "max_iterations=1"]
    quick = [part for part in SMALL if not part.startswith("max_iterations")]
    narrow = ["model.generator.width=4", "model.discriminator.width=4", "data.batch_size=8"]
    with composed(*quick, *choices, *narrow, directory=tmp_path) as config:
        train(job_part(config))
    gan = load(tmp_path / "checkpoints" / "last.ckpt", "cpu").gan
    drawn = gan.prior.sample(500, torch.Generator().manual_seed(0)).labels
    arranged = gan.prior.grid(20, torch.Generator().manual_seed(0))[0].labels
    evaluated = gan.fixed_latents(500, STREAM).labels
    for labels in (drawn, arranged, evaluated):
        assert labels is not None and labels.unique().tolist() == KEPT
    # As often as the data have them, within four standard deviations.
    assert drawn is not None and isinstance(gan.prior.class_shares, torch.Tensor)
    expected = gan.prior.class_shares[5].item()
    assert drawn.eq(5).float().mean().item() == pytest.approx(expected, abs=4 * (0.25 / 500) ** 0.5)
    assert gan.sample(4, labels=KEPT).shape == (4, 1, 28, 28)
    with pytest.raises(ValueError, match=r"does not have the classes \[0\]: choose from \[3, 5\]"):
        gan.sample(2, labels=[0])
