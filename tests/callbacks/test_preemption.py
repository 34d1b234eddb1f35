"""Runs that a signal stops. Whole processes: tests/runs/test_resume.py."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.tiny_gan import Batches, Signalled, play, quiet_trainer, tiny_gan
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from gan_lightning.callbacks.checkpoint import Checkpoint, NotSavedError
from gan_lightning.callbacks.preemption import Preemption
from gan_lightning.gan import GAN
from gan_lightning.utils.stop_signals import SIGNALS, Interrupted


@pytest.fixture(autouse=True)
def handlers_are_as_before() -> Iterator[None]:
    # Tests that were started in the background ignore Ctrl+C, and so would the run.
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before
    signal.signal(signal.SIGINT, outside)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)], ids=["TERM", "USR1", "INT"]
)
def test_a_signal_saves_at_the_end_of_the_step_and_the_resumed_run_is_the_same(number: int, code: int, tmp_path: Path):
    """Stopped within an iteration: of five discriminator updates, two have been made."""
    gan = tiny_gan(max_iterations=4, discriminator_steps=5)
    with pytest.raises(Interrupted) as interrupted:
        play(gan, callbacks=[Signalled(step=6, number=number), Checkpoint(every=9, directory=tmp_path), Preemption()])
    assert interrupted.value.code == code
    assert f"{signal.Signals(number).name}: saved iteration 1;" in interrupted.value.report
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["game"] == {
        "iterations": 1,
        "discriminator_updates": 7,
        "images": 56,
    }
    resumed, undisturbed = (tiny_gan(max_iterations=4, discriminator_steps=5) for _ in range(2))
    play(resumed, ckpt_path=tmp_path / "last.ckpt")
    play(undisturbed)
    for name, tensor in undisturbed.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_a_game_that_is_over_ends_as_always(tmp_path: Path):
    gan = tiny_gan(max_iterations=2)
    play(gan, callbacks=[Signalled(step=1), Checkpoint(every=9, directory=tmp_path), Preemption()])
    assert gan.iterations == 2
    assert (tmp_path / "last.ckpt").is_file()


def test_without_checkpoints_nothing_is_saved_and_that_is_said():
    with pytest.raises(Interrupted, match="75") as interrupted:
        play(tiny_gan(), callbacks=[Signalled(step=0), Preemption()])
    assert interrupted.value.report == "SIGTERM: stopped at iteration 1; callbacks.checkpoint=null saved nothing"


def test_a_signal_that_ends_the_processes_that_read_data_saves_too(tmp_path: Path):
    """A scheduler signals all processes of a job: those that read data end, and the next batch does not come."""

    class Breaking(Batches):
        def __iter__(self) -> Iterator[tuple[Tensor, None]]:
            for step, batch in enumerate(super().__iter__()):
                if step == 2:
                    os.kill(os.getpid(), signal.SIGTERM)
                    raise RuntimeError("DataLoader worker (pid 1) exited unexpectedly")
                yield batch

    gan = tiny_gan(max_iterations=4)
    trainer = quiet_trainer(callbacks=[Checkpoint(every=9, directory=tmp_path), Preemption()])
    with pytest.raises(Interrupted):
        trainer.fit(gan, Breaking(gan))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["game"]["discriminator_updates"] == gan.discriminator_updates > 0


def test_another_error_stays_what_it_is(tmp_path: Path):
    class Broken(Callback):
        def on_train_batch_end(self, *args: object) -> None:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        play(tiny_gan(), callbacks=[Broken(), Checkpoint(every=9, directory=tmp_path), Preemption()])
    assert not list(tmp_path.iterdir())


def test_a_state_that_cannot_be_saved_is_no_success(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    checkpoint = Checkpoint(every=9, directory=tmp_path / "file")
    with pytest.raises(NotSavedError):
        play(tiny_gan(), callbacks=[Signalled(step=0), checkpoint, Preemption()])


def test_a_second_ctrl_c_quits_at_once(monkeypatch: pytest.MonkeyPatch):
    sent: list[tuple[int, object]] = []

    class Impatient(Callback):
        def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: object) -> None:
            signal.raise_signal(signal.SIGINT)
            with monkeypatch.context() as patch:
                patch.setattr(os, "kill", lambda pid, number: sent.append((number, signal.getsignal(number))))
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        play(tiny_gan(), callbacks=[Impatient(), Preemption()])
    assert sent == [(signal.SIGINT, signal.SIG_DFL)]


def test_ctrl_c_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch):
    """As shells arrange for what runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        gan: GAN = tiny_gan()
        play(gan, callbacks=[Signalled(step=0, number=signal.SIGINT), Preemption()])
        assert gan.iterations == 3
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_launchers_own_handler_comes_after_the_save(tmp_path: Path):
    """Submitit queues a job again in its handler of SIGUSR2."""
    saved_before: list[bool] = []
    before = signal.signal(signal.SIGUSR2, lambda *_: saved_before.append((tmp_path / "last.ckpt").is_file()))
    try:
        with pytest.raises(Interrupted, match="75"):
            callbacks = [
                Signalled(step=0, number=signal.SIGUSR2),
                Checkpoint(every=9, directory=tmp_path),
                Preemption(),
            ]
            play(tiny_gan(), callbacks=callbacks)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert saved_before == [True]
