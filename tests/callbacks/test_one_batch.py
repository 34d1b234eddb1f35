from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from helpers.compose import composed
from helpers.tiny_gan import quiet_trainer, tiny_gan
from torch import Tensor

from gan_lightning.callbacks.one_batch import OneBatch
from gan_lightning.data.base import RealData
from gan_lightning.data.distributions import ring
from gan_lightning.data.toys import ToyData
from gan_lightning.game import Round
from gan_lightning.losses.adversarial import NonSaturating
from gan_lightning.runs.validate import validate
from gan_lightning.utils.errors import UserError


class Seen(NonSaturating):
    """Notes the batches that the discriminator sees."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Tensor] = []

    def discriminator(self, round: Round) -> Tensor:
        self.batches.append(round.real)
        return super().discriminator(round)


def data() -> RealData:
    return ToyData(ring(modes=8, radius=1, std=0.1), shape=[2], batch_size=4, seed=0)


def test_every_update_has_the_first_batch_also_when_the_run_is_resumed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    first, _ = next(iter(data().train_dataloader()))
    seen = Seen()
    with caplog.at_level(logging.INFO):
        trainer = quiet_trainer(callbacks=[OneBatch()])
        trainer.fit(tiny_gan({"adversarial": seen}, max_iterations=3), datamodule=data())
    assert "the same 4 samples at every update" in caplog.text
    trainer.save_checkpoint(tmp_path / "three.ckpt")
    trainer = quiet_trainer(callbacks=[OneBatch()])
    trainer.fit(tiny_gan({"adversarial": seen}, max_iterations=5), datamodule=data(), ckpt_path=tmp_path / "three.ckpt")
    assert len(seen.batches) == 5 and all(torch.equal(batch, first) for batch in seen.batches)


def test_many_seeds_at_once_have_no_one_batch():
    overrides = ("experiment=ring", "seeds=2", "logger=csv", "debug=overfit")
    with composed(*overrides) as config, pytest.raises(UserError, match="seeds=2 .* debug=overfit"):
        validate(config, "train")


def test_without_it_batches_differ():
    seen = Seen()
    quiet_trainer().fit(tiny_gan({"adversarial": seen}, max_iterations=2), datamodule=data())
    assert not torch.equal(*seen.batches)
