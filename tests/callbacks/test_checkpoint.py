from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import IO, ClassVar

import pytest
import torch
from helpers.tiny_gan import Batches, Signalled, quiet_trainer, tiny_gan
from lightning import Callback, LightningModule, Trainer

from gan_lightning.callbacks.checkpoint import Checkpoint, NotSavedError
from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.callbacks.preemption import Preemption
from gan_lightning.gan import GAN
from gan_lightning.utils.stop_signals import Interrupted


class Scripted(Evaluation):
    """Evaluations whose outcome is written down."""

    outcome: ClassVar[dict[int, float]] = {1: 3.0, 2: 1.0, 3: 2.0, 4: 5.0}

    def __init__(self) -> None:
        super().__init__(every=1, metrics={}, num_fakes=2)
        self.mode = "min"

    def run(self, trainer: Trainer, gan: GAN) -> None:
        self.remember(self.outcome[gan.iterations], gan.iterations)


def saved(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def test_last_and_best_are_what_they_say(tmp_path: Path):
    gan = tiny_gan(max_iterations=4)
    checkpoint = Checkpoint(every=3, directory=tmp_path)
    trainer = quiet_trainer(callbacks=[Scripted(), checkpoint])
    trainer.fit(gan, Batches(gan))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]
    last, best = saved(tmp_path / "last.ckpt"), saved(tmp_path / "best.ckpt")
    assert last["game"] == {"iterations": 4, "discriminator_updates": 4, "images": 32}
    assert best["game"]["iterations"] == 2
    for name, tensor in gan.state_dict().items():
        assert torch.equal(last["state_dict"][name], tensor), name


class FullDisk(Callback):
    """No file can grow beyond 1000 bytes after the iterations `full`, as on a disk that has no more room."""

    def __init__(self, *full: int) -> None:
        self.full = full

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: object) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000 if pl_module.iterations in self.full else most, most))


@pytest.fixture
def room_afterwards() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_file_before_and_training_continues(
    tmp_path: Path, room_afterwards: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    gan = tiny_gan(max_iterations=5)
    seen: dict[int, int] = {}

    class Reader(Callback):
        def on_train_batch_start(self, *args: object) -> None:
            if gan.iterations > 0:
                seen[gan.iterations] = saved(tmp_path / "last.ckpt")["game"]["iterations"]
            assert not list(tmp_path.glob("*.part"))

    trainer = quiet_trainer(callbacks=[FullDisk(2, 3), Checkpoint(every=1, directory=tmp_path), Reader()])
    trainer.fit(gan, Batches(gan))
    assert seen == {1: 1, 2: 1, 3: 1, 4: 4}
    assert saved(tmp_path / "last.ckpt")["game"]["iterations"] == 5
    logged = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert logged == ["last.ckpt could not be saved (File too large): the one before is still there"]  # once for both


def test_a_last_save_that_fails_ends_in_an_error(tmp_path: Path, room_afterwards: None):
    gan = tiny_gan(max_iterations=3)
    with pytest.raises(NotSavedError, match="last.ckpt could not be saved .File too large."):
        quiet_trainer(callbacks=[FullDisk(3), Checkpoint(every=1, directory=tmp_path)]).fit(gan, Batches(gan))
    assert saved(tmp_path / "last.ckpt")["game"]["iterations"] == 2


def test_a_save_that_pytorch_could_not_make_is_reported_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(content: object, file: IO[bytes]) -> None:
        file.write(b"half of a ch")
        raise RuntimeError("[enforce fail at inline_container.cc] unexpected pos")

    monkeypatch.setattr(torch, "save", broken)
    gan = tiny_gan(max_iterations=1)
    with pytest.raises(NotSavedError, match="unexpected pos.: there is none from before"):
        quiet_trainer(callbacks=[Checkpoint(every=1, directory=tmp_path)]).fit(gan, Batches(gan))
    assert not list(tmp_path.iterdir())


def test_the_best_is_saved_before_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run that is killed between the two and resumes from `last` would not save that best again."""
    order: list[str] = []
    monkeypatch.setattr(Checkpoint, "_write", lambda self, trainer, name: order.append(name))
    gan = tiny_gan(max_iterations=2)
    quiet_trainer(callbacks=[Scripted(), Checkpoint(every=1, directory=tmp_path)]).fit(gan, Batches(gan))
    assert order == ["best", "last"] * 2


def test_a_run_that_is_stopped_at_its_best_saves_both(tmp_path: Path):
    """Wherever Preemption stands among the callbacks: the evaluation that comes last in the list has acted by then."""
    callbacks = [Signalled(step=1), Preemption(), Checkpoint(every=9, directory=tmp_path), Scripted()]
    gan = tiny_gan(max_iterations=4)
    with pytest.raises(Interrupted):
        quiet_trainer(callbacks=callbacks).fit(gan, Batches(gan))
    assert [saved(tmp_path / f"{name}.ckpt")["game"]["iterations"] for name in ("best", "last")] == [2, 2]


def test_all_other_callbacks_act_before_the_checkpoint(tmp_path: Path):
    class Counting(Callback):
        count = 0

        def on_train_batch_end(self, *args: object) -> None:
            self.count += 1

        def state_dict(self) -> dict[str, int]:
            return {"count": self.count}

    gan, counting = tiny_gan(max_iterations=3), Counting()
    quiet_trainer(callbacks=[Checkpoint(every=2, directory=tmp_path), counting]).fit(gan, Batches(gan))
    assert saved(tmp_path / "last.ckpt")["callbacks"][counting.state_key] == {"count": 3}


def test_what_a_killed_run_left_unfinished_goes(tmp_path: Path):
    (tmp_path / "best.ckpt.part").write_bytes(b"half")
    gan = tiny_gan(max_iterations=1)
    quiet_trainer(callbacks=[Checkpoint(every=1, directory=tmp_path)]).fit(gan, Batches(gan))
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_what_was_best_is_known_to_a_resumed_run(tmp_path: Path):
    gan = tiny_gan(max_iterations=3)
    quiet_trainer(callbacks=[Scripted(), Checkpoint(every=1, directory=tmp_path)]).fit(gan, Batches(gan))
    gan, scripted = tiny_gan(max_iterations=4), Scripted()
    trainer = quiet_trainer(callbacks=[scripted, Checkpoint(every=1, directory=tmp_path)])
    trainer.fit(gan, Batches(gan), ckpt_path=tmp_path / "last.ckpt")
    assert (scripted.best, scripted.best_iteration) == (1.0, 2)
    assert saved(tmp_path / "best.ckpt")["game"]["iterations"] == 2


def test_a_checkpoint_holds_no_metric_network(tmp_path: Path):
    gan = tiny_gan(max_iterations=2)
    quiet_trainer(callbacks=[Checkpoint(every=2, directory=tmp_path)]).fit(gan, Batches(gan))
    parts = {name.split(".")[0] for name in saved(tmp_path / "last.ckpt")["state_dict"]}
    assert parts == {"generator", "discriminator", "averaged_generator"}
