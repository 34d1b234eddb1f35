"""One round of one game of many that are trained as one program: its terms, and its noise drawn outside `vmap`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent, Objective, Round, loss_terms
from gan_lightning.gan import GAN
from gan_lightning.randomness import Noise

Draw = tuple[str, tuple[int, ...]]
"""A call of a round's noise: the distribution, and the shape for a sample."""


class Terms(nn.Module):
    """The two players and their objectives; a call computes the terms of one player for one round.

    Args:
        gan: whose parts they are.
    """

    def __init__(self, gan: GAN) -> None:
        super().__init__()
        self.generator, self.discriminator = gan.generator, gan.discriminator
        self.objectives = gan.objectives
        self.train()

    def forward(
        self,
        player: Any,
        updates: int,
        real: Tensor,
        z: Tensor,
        noise: Noise | None,
        output: dict[str, Tensor] | None = None,
    ) -> Any:
        """Return the terms of `player` by their names, with the kept outputs of the discriminator.

        For the player "state", which is given those outputs, the objectives' state is updated instead.
        """
        latent = Latent(z)
        with torch.set_grad_enabled(player == "generator"):
            fake = self.generator(latent) if player != "state" else torch.zeros_like(real)
        round = Round(self.generator, self.discriminator, latent, real, fake, None, updates, vectorised=True)
        if output is not None:
            self.restore(round, output)
            stateful: list[Objective] = [part for part in self.objectives.values() if part.is_stateful]
            for objective in stateful:
                objective.after_discriminator_step(round)
            return z.sum()
        assert noise is not None
        round.noise = noise
        terms = loss_terms(self.objectives, player, round)
        return terms, self.kept(round)

    def kept(self, round: Round) -> dict[str, Tensor]:
        """Return the outputs that a round has computed as tensors, by name and field."""
        found: dict[str, Tensor] = {}
        self.kinds: dict[str, type[DiscriminatorOutput]] = {}
        for name in ("real_output", "fake_output"):
            record = round.__dict__.get(name)
            if record is not None:
                self.kinds[name] = type(record)
                values = {column.name: getattr(record, column.name) for column in fields(record)}
                found |= {f"{name}.{key}": value.detach() for key, value in values.items() if value is not None}
        return found

    def restore(self, round: Round, output: dict[str, Tensor]) -> None:
        """Give a round the outputs that `kept` returned."""
        for name, kind in self.kinds.items():
            values = {key.partition(".")[2]: value for key, value in output.items() if key.startswith(f"{name}.")}
            round.__dict__[name] = kind(**values)


class RecordedNoise(Noise):
    """Notes what is drawn, and draws it."""

    def __init__(self) -> None:
        super().__init__("trial")
        self.draws: list[Draw] = []

    def uniform(self, count: int, shape: Sequence[int], device: torch.device) -> Tensor:
        self.draws.append(("uniform", tuple(shape)))
        return super().uniform(count, shape, device)

    def normal(self, count: int, shape: Sequence[int], device: torch.device) -> Tensor:
        self.draws.append(("normal", tuple(shape)))
        return super().normal(count, shape, device)


class KnownNoise(Noise):
    """Numbers that were drawn before, in their order; all games' are drawn outside `vmap`.

    Args:
        draws: how each was drawn.
        numbers: (batch, ...) each.
    """

    def __init__(self, draws: Sequence[Draw], numbers: Sequence[Tensor]) -> None:
        super().__init__()
        self.waiting = list(zip(draws, numbers, strict=True))

    def uniform(self, count: int, shape: Sequence[int], device: torch.device) -> Tensor:
        return self.next("uniform", shape)

    def normal(self, count: int, shape: Sequence[int], device: torch.device) -> Tensor:
        return self.next("normal", shape)

    def next(self, kind: str, shape: Sequence[int]) -> Tensor:
        """Return the next numbers; a ValueError if they were drawn in another way."""
        if not self.waiting or self.waiting[0][0] != (kind, tuple(shape)):
            raise ValueError(
                "seeds=N is for objectives that draw the same kind of noise in each update: leave seeds out"
            )
        return self.waiting.pop(0)[1]
