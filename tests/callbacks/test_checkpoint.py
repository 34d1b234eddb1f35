from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from lightning import Trainer
from playing import Batches, quiet_trainer, tiny_gan

from gan_lightning.callbacks.checkpoint import Checkpoint
from gan_lightning.callbacks.evaluation import Evaluation
from gan_lightning.gan import GAN


class Scripted(Evaluation):
    """Evaluations whose outcome is written down."""

    outcome: ClassVar[dict[int, float]] = {1: 3.0, 2: 1.0, 3: 2.0, 4: 5.0}

    def __init__(self) -> None:
        super().__init__(every=1, metrics={}, num_fakes=2)
        self.mode = "min"

    def act(self, trainer: Trainer, gan: GAN) -> None:
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
    assert last["game"] == {"iterations": 4, "turns": 4, "images": 32}
    assert best["game"]["iterations"] == 2
    for name, tensor in gan.state_dict().items():
        assert torch.equal(last["state_dict"][name], tensor), name


def test_an_interrupted_save_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gan = tiny_gan(max_iterations=2)
    trainer = quiet_trainer(callbacks=[Checkpoint(every=2, directory=tmp_path)])
    trainer.fit(gan, Batches(gan))
    before = (tmp_path / "last.ckpt").read_bytes()

    def broken(path: Path, *args: object) -> None:
        Path(path).write_bytes(b"half of a ch")
        raise OSError("disk full")

    monkeypatch.setattr(trainer, "save_checkpoint", broken)
    with pytest.raises(OSError, match="disk full"):
        Checkpoint(every=1, directory=tmp_path).act(trainer, gan)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_checkpoint_holds_no_metric_network(tmp_path: Path):
    gan = tiny_gan(max_iterations=2)
    quiet_trainer(callbacks=[Checkpoint(every=2, directory=tmp_path)]).fit(gan, Batches(gan))
    parts = {name.split(".")[0] for name in saved(tmp_path / "last.ckpt")["state_dict"]}
    assert parts == {"generator", "discriminator", "averaged_generator"}
