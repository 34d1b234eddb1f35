"""The vocabulary of adversarial training: latents, outputs, rounds, and objectives over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from gan_lightning.randomness import Noise

Player = Literal["discriminator", "generator"]
Batch = tuple[Tensor, Tensor | None]
"""Real samples, (batch, ...), and their classes, (batch,), where the data has them."""


@dataclass
class Latent:
    """The generator's input. A variant subclasses it and adds the fields that its own objective reads.

    Attributes:
        z: the noise, (batch, dim).
        labels: the classes that the generator is conditioned on, (batch,) of int64; None where it is unconditional.
    """

    z: Tensor
    labels: Tensor | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: slice | Tensor) -> Latent:
        """Return some samples' record, all fields indexed along the first axis; of all samples, the record itself."""
        if isinstance(rows, slice) and rows.indices(len(self)) == (0, len(self), 1):
            return self
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        cut: dict[str, Any] = {name: None if values is None else values[rows] for name, values in columns.items()}
        return type(self)(**cut)


@dataclass
class DiscriminatorOutput:
    """The discriminator's output for a batch. A variant subclasses it and adds the fields its objective reads.

    Attributes:
        logits: scores before any sigmoid, (batch,); higher means more real. A critic's scores stand here too.
        features: activations of the penultimate layer, (batch, ...), for the objectives that compare them.
    """

    logits: Tensor
    features: Tensor | None = None


class MicroBatch(NamedTuple):
    """A micro-batch: the rows of a step's batch from `first` on, and the fakes that were made of `latent`."""

    first: int
    real: Tensor
    labels: Tensor | None
    latent: Latent
    fake: Tensor


def micro_batches(
    batch: Batch, latent: Latent, parts: int, generator: nn.Module, differentiable: bool
) -> Iterator[MicroBatch]:
    """Yield `batch` in at most `parts` equal parts (the last may be smaller); each makes its fakes when it is taken."""
    real, labels = batch
    size = -(-len(real) // parts)
    for first in range(0, len(real), size):
        rows = slice(first, first + size)
        with torch.set_grad_enabled(differentiable):
            fake = generator(latent[rows])
        yield MicroBatch(first, real[rows], None if labels is None else labels[rows], latent[rows], fake)


@dataclass
class Round:
    """The samples of one update of one player. Outputs of the discriminator are computed when first read, then kept.

    Attributes:
        generator: called as ``generator(latent)``, returns samples.
        discriminator: called as `discriminate` does, returns a `DiscriminatorOutput` or bare logits (batch,).
        latent: what `fake` was made from.
        real: a batch of data; images are in [-1, 1], (batch, channels, height, width).
        fake: as many generated samples. Detached from the generator in the discriminator's update.
        labels: classes of `real`, (batch,) of int64, where the data has them.
        discriminator_updates: made before this one. Lazy penalties count by it.
        noise: where `uniform` and `normal` come from.
        all_reduce_mean: takes this device's mean of something to the mean over all devices.
        vectorised: the round is computed inside `torch.func.vmap`, where gradients come from `torch.func.grad`.
    """

    generator: nn.Module
    discriminator: nn.Module
    latent: Latent
    real: Tensor
    fake: Tensor
    labels: Tensor | None = None
    discriminator_updates: int = 0
    noise: Noise = field(default_factory=Noise)
    all_reduce_mean: Callable[[Tensor], Tensor] = lambda mean: mean
    vectorised: bool = False

    # Real and fake pass through the discriminator apart: batch norm over both together would leak which is which.
    @cached_property
    def real_output(self) -> DiscriminatorOutput:
        return discriminate(self.discriminator, self.real, self.labels)

    @cached_property
    def fake_output(self) -> DiscriminatorOutput:
        return discriminate(self.discriminator, self.fake, self.latent.labels)

    @property
    def real_logits(self) -> Tensor:
        return self.real_output.logits

    @property
    def fake_logits(self) -> Tensor:
        return self.fake_output.logits

    # An objective's own randomness and what its state follows come from here, so that the game is the same on any
    # number of devices and after any interruption.
    def uniform(self, *shape: int) -> Tensor:
        """Return U(0, 1) for each sample, (batch, *shape) of float32; further calls give further numbers."""
        return self.noise.uniform(len(self.real), shape, self.real.device)

    def normal(self, *shape: int) -> Tensor:
        """Return N(0, 1) for each sample, (batch, *shape) of float32; further calls give further numbers."""
        return self.noise.normal(len(self.real), shape, self.real.device)

    def global_mean(self, values: Tensor) -> Tensor:
        """Return the mean of `values` (batch, ...) over the global batch, a scalar of float32."""
        return self.all_reduce_mean(values.detach().float().mean())


def concatenate_rounds(rounds: Sequence[Round]) -> Round:
    """Return the round of the whole batch whose micro-batches are `rounds`, with the outputs that they have kept."""
    first = rounds[0]
    if len(rounds) == 1:
        return first
    labels = [round.labels for round in rounds if round.labels is not None]
    whole = replace(
        first,
        latent=concatenate_records([round.latent for round in rounds]),
        real=torch.cat([round.real for round in rounds]),
        fake=torch.cat([round.fake for round in rounds]),
        labels=torch.cat(labels) if labels else None,
    )
    for output in ("real_output", "fake_output"):
        if all(output in round.__dict__ for round in rounds):
            whole.__dict__[output] = concatenate_records([getattr(round, output) for round in rounds])
    return whole


Record = TypeVar("Record", Latent, DiscriminatorOutput)


def concatenate_records(records: Sequence[Record]) -> Record:
    """Return several batches' records as one, every field joined along its first axis."""
    columns = {column.name: [getattr(record, column.name) for record in records] for column in fields(records[0])}
    kept: dict[str, Any] = {name: None if parts[0] is None else torch.cat(parts) for name, parts in columns.items()}
    return type(records[0])(**kept)


def discriminate(
    discriminator: nn.Module, samples: Tensor, labels: Tensor | None = None, *, uncompiled: bool = False
) -> DiscriminatorOutput:
    """Return the discriminator's output for `samples`; bare logits are wrapped, so any network of scores will do.

    Args:
        discriminator: called as ``discriminator(samples)``, or as ``discriminator(samples, labels)`` where it has an
            attribute `takes_labels` that is True.
        samples: (batch, ...).
        labels: their classes, (batch,); of no use to a discriminator that does not take them.
        uncompiled: run a compiled network uncompiled.

    Raises:
        ValueError: the discriminator takes labels, and there are none.
    """
    call = discriminator.forward if uncompiled else discriminator
    if not takes_labels(discriminator):
        output = call(samples)
    elif labels is not None:
        output = call(samples, labels)
    else:
        raise ValueError(
            "the discriminator is class-conditional, and the samples have no classes: choose data with classes, such "
            "as data=mnist10k, and a prior that draws classes, such as prior=labelled"
        )
    return output if isinstance(output, DiscriminatorOutput) else DiscriminatorOutput(output)


@torch.no_grad()
def score(discriminator: nn.Module, samples: Tensor) -> Tensor:
    """Return the discriminator's logits, (batch,) of float32, in evaluation mode, uncompiled and without autocast."""
    was_training = discriminator.training
    try:
        with torch.autocast(samples.device.type, enabled=False):
            return discriminate(discriminator.eval(), samples, uncompiled=True).logits.float()
    finally:
        discriminator.train(was_training)


def takes_labels(discriminator: nn.Module) -> bool:
    """Return whether the discriminator is called with the classes of its samples."""
    return bool(getattr(discriminator, "takes_labels", False))


class Objective(nn.Module):
    """A term of one or both players' losses; a side that returns None takes no part.

    A side returns one number for that player to minimise. An objective never steps an optimizer, samples, logs
    or moves devices. State lives in buffers (so it is checkpointed) and changes only in `after_discriminator_step`.
    """

    needs_image_gradients: bool = False
    """True: in the discriminator's update `round.real` and `round.fake` require gradient, where the discriminator can
    be differentiated twice: in float32, not compiled."""

    forbids_batch_norm: bool = False
    """True: the objective needs each sample's own gradient, which batch norm in the discriminator would mix."""

    @property
    def is_stateful(self) -> bool:
        """Return whether the objective defines `after_discriminator_step`."""
        return type(self).after_discriminator_step is not Objective.after_discriminator_step

    label_targets: bool = False
    """True: scores are compared with a target for real data, which label smoothing can move."""

    needs_label_targets: bool = False
    """True: the objective moves such a target, so that another objective must have it."""

    critic: bool = False
    """True: the objective makes scores that are no log-odds of being real."""

    score_threshold: float | None = None
    """The score above which a sample counts as real; None where a constant added to all scores changes nothing."""

    needs_score_threshold: bool = False
    """True: the objective reads the signs of scores, and is given the `score_threshold` of the loss."""

    def discriminator(self, round: Round) -> Tensor | None:
        """Return the discriminator's term, a scalar to minimise; `round.fake` is detached."""
        return None

    def generator(self, round: Round) -> Tensor | None:
        """Return the generator's term, a scalar to minimise; the discriminator's weights are frozen."""
        return None

    def after_discriminator_step(self, round: Round) -> None:
        """Update state; called without gradient after each discriminator update, with the round of the whole batch.

        Statistics of the batch come from ``round.global_mean``, so that state is the same on any number of devices.
        """


def loss_terms(
    objectives: Mapping[str, Objective], player: Player, round: Round, share: float = 1.0
) -> dict[str, Tensor]:
    """Return each objective's term for `player`, a scalar times `share`, by player/objective; none is a ValueError."""
    found: dict[str, Tensor] = {}
    for name, objective in objectives.items():
        term = objective.discriminator(round) if player == "discriminator" else objective.generator(round)
        if term is not None:
            found[f"{player}/{name}"] = term if share == 1 else term * share
    if not found:
        raise ValueError(f"no objective has a term for the {player}: add a loss that trains it")
    return found


@torch.no_grad()
def update_states(objectives: Sequence[Objective], rounds: Sequence[Round]) -> None:
    """Let stateful `objectives` follow a discriminator update; `rounds` are its micro-batches', if there was one."""
    if rounds:
        for objective in objectives:
            objective.after_discriminator_step(concatenate_rounds(rounds))


def has_critic(objectives: Iterable[Objective]) -> bool:
    """Return whether the discriminator's scores are no log-odds of being real, by any of the `objectives`."""
    return any(objective.critic for objective in objectives)


def check_objectives(discriminator: nn.Module, objectives: Mapping[str, Objective]) -> None:
    """Raise a ValueError for objectives that cannot work with this discriminator, or without a loss of targets."""
    for key in (f"loss.objectives.{name}" for name, part in objectives.items() if part is None):
        raise ValueError(f"{key}=null is no term of a loss: leave it out by ~{key}")
    strict = [name for name, objective in objectives.items() if objective.forbids_batch_norm]
    normalised = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in discriminator.modules())
    if strict and normalised:
        raise ValueError(
            f"{' and '.join(strict)} takes the gradient of each sample by itself, and batch norm in the discriminator "
            "mixes the samples: choose loss.discriminator_norm=layer (or none)"
        )
    movers = [name for name, objective in objectives.items() if objective.needs_label_targets]
    if movers and not any(objective.label_targets for objective in objectives.values()):
        raise ValueError(
            f"{' and '.join(movers)} needs a loss with a target for real data, and this loss has none: choose "
            "loss=gan, loss=lsgan or loss=minimax, or leave the regularizer out"
        )
    share_score_threshold(objectives)


def share_score_threshold(objectives: Mapping[str, Objective]) -> None:
    """Give the loss's `score_threshold` to the objectives that need one; a ValueError if it has none."""
    readers = {name: part for name, part in objectives.items() if part.needs_score_threshold}
    known = [part.score_threshold for part in objectives.values() if part.score_threshold is not None]
    if readers and not known:
        raise ValueError(
            f"{' and '.join(readers)} reads the signs of scores, and those of this loss have no zero: "
            "choose loss=gan, loss=minimax, loss=hinge or loss=lsgan, or a fixed probability of augmentation, "
            "loss.objectives.ada.target=null wrappers.ada.p=0.3"
        )
    for part in readers.values():
        part.score_threshold = known[0]
