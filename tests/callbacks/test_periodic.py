from __future__ import annotations

from pathlib import Path

import pytest
from helpers.tiny_gan import Batches, quiet_trainer, tiny_gan
from lightning import Callback, LightningModule, Trainer

from gan_lightning.callbacks.periodic import Periodic, as_gan
from gan_lightning.gan import GAN


class Noting(Periodic):
    def __init__(self, every: int, at_start: bool = False) -> None:
        super().__init__(every, at_start)
        self.acted: list[int] = []

    def run(self, trainer: Trainer, gan: GAN) -> None:
        self.acted.append(gan.iterations)


@pytest.mark.parametrize(
    ("every", "at_start", "expected"),
    [(2, False, [2, 4, 5]), (5, False, [5]), (9, True, [0, 5]), (1, False, [1, 2, 3, 4, 5])],
)
def test_acts_every_so_many_iterations_and_at_the_end(every: int, at_start: bool, expected: list[int]):
    gan, noting = tiny_gan(max_iterations=5, discriminator_steps=3), Noting(every, at_start)
    quiet_trainer(callbacks=[noting]).fit(gan, Batches(gan))
    assert noting.acted == expected


def test_a_resumed_run_does_not_repeat_what_was_done(tmp_path: Path):
    gan = tiny_gan(max_iterations=4)
    trainer = quiet_trainer()
    trainer.fit(gan, Batches(gan))
    trainer.save_checkpoint(tmp_path / "four.ckpt")
    gan, noting = tiny_gan(max_iterations=6), Noting(2, at_start=True)
    quiet_trainer(callbacks=[noting]).fit(gan, Batches(gan), ckpt_path=tmp_path / "four.ckpt")
    assert noting.acted == [6]


@pytest.mark.parametrize("stopped_at_step", [4, 5, 6, 7])
def test_a_resumed_run_acts_when_an_undisturbed_one_does(stopped_at_step: int, tmp_path: Path):
    """Stopped where the callback acts (step 6), within an iteration, and elsewhere."""

    class Stopping(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: object) -> None:
            if pl_module.discriminator_updates == stopped_at_step:
                trainer.save_checkpoint(tmp_path / "stopped.ckpt")
                raise KilledError

    before, after = Noting(3, at_start=True), Noting(3, at_start=True)
    gan = tiny_gan(max_iterations=7, discriminator_steps=2)
    with pytest.raises(KilledError):
        quiet_trainer(callbacks=[before, Stopping()]).fit(gan, Batches(gan))
    gan = tiny_gan(max_iterations=7, discriminator_steps=2)
    quiet_trainer(callbacks=[after]).fit(gan, Batches(gan), ckpt_path=tmp_path / "stopped.ckpt")
    assert before.acted + after.acted == [0, 3, 6, 7]


class KilledError(Exception):
    pass


def test_mistakes_are_errors():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Noting(0)
    with pytest.raises(TypeError, match="watches a GAN"):
        as_gan(LightningModule())
