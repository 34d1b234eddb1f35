"""The vocabulary of the game: what a turn is made of, and what an idea about it looks like."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from torch import Tensor, nn


@dataclass
class Latent:
    """What the generator is fed. A variant subclasses it and adds the fields that its own objective reads.

    Attributes:
        z: the noise, (batch, dim).
    """

    z: Tensor

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: slice) -> Latent:
        """The same record of fewer samples; every field is cut along its first axis. All rows are the record itself."""
        if rows.indices(len(self)) == (0, len(self), 1):
            return self
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass
class DiscriminatorOutput:
    """What the discriminator says of a batch. A variant subclasses it and adds the fields its objective reads.

    Attributes:
        logits: scores before any sigmoid, (batch,); higher means more real. A critic's scores stand here too.
        features: activations of the penultimate layer, (batch, ...), for the objectives that compare them.
    """

    logits: Tensor
    features: Tensor | None = None


@dataclass
class Round:
    """One turn of the game. Outputs of the discriminator are computed when first asked for, then kept.

    Attributes:
        generator: called as ``generator(latent)``, returns samples.
        discriminator: called as ``discriminator(samples)``, returns a `DiscriminatorOutput` or bare logits (batch,).
        latent: what `fake` was made from.
        real: a batch of data; images are in [-1, 1], (batch, channels, height, width).
        fake: as many generated samples. Detached from the generator on the discriminator's turn.
        labels: classes of `real`, (batch,) of int64, where the data has them.
        turn: discriminator updates made before this one. Lazy penalties count by it.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent: Latent
    real: Tensor
    fake: Tensor
    labels: Tensor | None = None
    turn: int = 0

    # Real and fake pass through the discriminator apart: batch norm over both together would leak which is which.
    @cached_property
    def real_output(self) -> DiscriminatorOutput:
        return judge(self.discriminator, self.real)

    @cached_property
    def fake_output(self) -> DiscriminatorOutput:
        return judge(self.discriminator, self.fake)

    @property
    def real_logits(self) -> Tensor:
        return self.real_output.logits

    @property
    def fake_logits(self) -> Tensor:
        return self.fake_output.logits


def judge(discriminator: nn.Module, samples: Tensor) -> DiscriminatorOutput:
    """The discriminator's output for `samples`; bare logits are wrapped, so any network that returns scores will do."""
    output = discriminator(samples)
    return output if isinstance(output, DiscriminatorOutput) else DiscriminatorOutput(output)


class Objective(nn.Module):
    """One idea in the game, for whichever players it concerns; a side that returns None takes no part.

    What a side returns is one number for that player to minimise. An objective never steps an optimizer, samples, logs
    or moves devices. State lives in buffers (so it is checkpointed) and changes only in `observe`.
    """

    needs_image_gradients: bool = False
    """True: on the discriminator's turn `round.real` and `round.fake` require gradient."""

    forbids_batch_norm: bool = False
    """True: the objective needs each sample's own gradient, which batch norm in the discriminator would mix."""

    def discriminator(self, round: Round) -> Tensor | None:
        """The discriminator's term, a scalar to minimise; `round.fake` is detached."""
        return None

    def generator(self, round: Round) -> Tensor | None:
        """The generator's term, a scalar to minimise; the discriminator's weights are frozen."""
        return None

    def observe(self, round: Round) -> None:
        """Called without gradient after each discriminator update, with its (last micro-batch's) round."""
