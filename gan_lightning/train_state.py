"""How far training has come, and how a checkpoint keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NoReturn

from lightning import LightningModule

from gan_lightning.game import Player


@dataclass
class TrainState:
    """How far training has come, which a checkpoint keeps, and what is being computed.

    Attributes:
        iterations: generator updates made.
        discriminator_updates: likewise.
        images: real samples that the discriminator has seen, over all ranks.
        player: whose update is being computed.
        within_step: a step is half done, so that this is no state to save.
        compiled: calling the networks differs from their `forward`.
    """

    iterations: int = 0
    discriminator_updates: int = 0
    images: int = 0
    player: Player = "discriminator"
    within_step: bool = False
    compiled: bool = False

    def counters(self) -> dict[str, int]:
        """Return what a checkpoint keeps."""
        return {name: getattr(self, name) for name in ("iterations", "discriminator_updates", "images")}


class Counted(LightningModule):
    """A module that counts its updates in `state`, and the counters in its checkpoints."""

    iterations = property(attrgetter("state.iterations"))
    discriminator_updates = property(attrgetter("state.discriminator_updates"))
    images = property(attrgetter("state.images"))

    def __init__(self) -> None:
        super().__init__()
        self.state = TrainState()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {"game": self.state.counters(), "precision": str(self.trainer.precision)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.state = TrainState(**checkpoint["game"])

    @classmethod
    def load_from_checkpoint(cls, *_: Any, **__: Any) -> NoReturn:
        """Raise a TypeError: Lightning cannot build the networks that the checkpoint's settings describe."""
        raise TypeError(
            f"{cls.__name__}.load_from_checkpoint cannot build the networks of a checkpoint: use "
            "gan_lightning.load(run or checkpoint), `import gan_lightning as gl; gan = gl.load(...)`"
        )
