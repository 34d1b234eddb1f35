"""Algorithm 1 of adversarial training as a LightningModule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import islice
from operator import add
from typing import cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from gan_lightning import game
from gan_lightning.ema import Averaging, MovingAverage, frozen_copy
from gan_lightning.game import Batch, Latent, MicroBatch, Objective, Player, Round
from gan_lightning.priors import Prior, spread_labels
from gan_lightning.randomness import Noise, generator_for, reseed, seed_of
from gan_lightning.schedules import clip, frozen
from gan_lightning.train_state import Counted
from gan_lightning.utils.checks import check_int, check_positive


class GAN(Counted):
    """Algorithm 1 of Goodfellow et al. 2014, "Generative Adversarial Nets", for any objectives.

    A step updates the discriminator with one batch; every `discriminator_steps`-th also updates the generator, which
    makes one iteration. Latents are a function of (seed, step, row of the global batch); each rank takes its rows.

    Args:
        generator: called with a `Latent`, returns samples.
        discriminator: called as `discriminate` does, returns a `DiscriminatorOutput` or bare logits (batch,).
        prior: where latents are drawn from.
        objectives: the terms of both losses, by the names they have in the log.
        generator_optimizer: makes the generator's optimizer from its parameters.
        discriminator_optimizer: likewise.
        averaging: how the averaged generator follows the generator.
        max_iterations: the budget, in generator updates; training stops there.
        generator_schedule: makes a learning-rate schedule, stepped once an iteration; None keeps the rate constant.
        discriminator_schedule: likewise.
        discriminator_steps: k, discriminator updates to one of the generator, each on a fresh batch.
        share_fakes: the generator's update takes the fakes of the discriminator's, which saves a pass.
        micro_batches: parts in which each update is computed, to save memory; the update is the whole batch's.
        clip_gradient_norm: largest 2-norm of a player's gradient; None leaves gradients alone.
        seed: of all noise.

    Raises:
        ValueError: a number is out of range, or an objective forbids the discriminator's batch norm.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        prior: Prior,
        objectives: Mapping[str, Objective],
        generator_optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        discriminator_optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        averaging: Averaging,
        max_iterations: int,
        *,
        generator_schedule: Callable[[Optimizer], lr_scheduler.LRScheduler] | None = None,
        discriminator_schedule: Callable[[Optimizer], lr_scheduler.LRScheduler] | None = None,
        discriminator_steps: int = 1,
        share_fakes: bool = False,
        micro_batches: int = 1,
        clip_gradient_norm: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        game.check_objectives(discriminator, objectives)
        self.generator, self.discriminator, self.prior = generator, discriminator, prior
        self.averaged_generator = frozen_copy(generator)
        self.objectives = cast("Mapping[str, Objective]", nn.ModuleDict(objectives))
        self.stateful = [part for part in objectives.values() if part.is_stateful]
        self.make_optimizers = (generator_optimizer, discriminator_optimizer)
        self.make_schedules = (generator_schedule, discriminator_schedule)
        self.averaging, self.seed = averaging, seed
        self.share_fakes, self.clip_gradient_norm = share_fakes, clip_gradient_norm
        self.max_iterations = check_int("max_iterations", max_iterations)
        self.discriminator_steps = check_int("loss.discriminator_steps", discriminator_steps)
        self.micro_batches = check_int("micro_batches", micro_batches)
        if clip_gradient_norm is not None:
            check_positive("clip_gradient_norm", clip_gradient_norm)
        self.losses: dict[str, Tensor] = {}  # the last, by player/objective, detached; reading one waits for the device
        self.metrics: dict[str, float] = {}  # of the last evaluation, for display

    def training_step(self, dataloader_iter: Iterator[tuple[Batch, int, int]]) -> None:
        for batch in self.paced(dataloader_iter):
            self.step(batch)
        self.trainer.should_stop |= self.iterations >= self.max_iterations

    def step(self, batch: Batch) -> None:
        """Update the discriminator once, and after every `discriminator_steps` of its updates the generator."""
        self.state.within_step = True
        # What draws from torch's own generator (dropout) does so as a function of step and rank.
        reseed(self.device, self.seed_of_rank ^ self.discriminator_updates)
        generator_optimizer, discriminator_optimizer = cast("list[LightningOptimizer]", self.optimizers())
        size = len(batch[0])
        generator_too = (self.discriminator_updates + 1) % self.discriminator_steps == 0
        shared = self.share_fakes and generator_too
        parts: Iterable[MicroBatch] = self.split("discriminator", batch, differentiable=shared)
        parts = list(parts) if shared else parts
        self.update("discriminator", discriminator_optimizer, parts, size)
        self.state.discriminator_updates += 1
        self.state.images += size * self.ranks

        if generator_too:
            parts = parts if shared else self.split("generator", batch, differentiable=True)
            with frozen(self.discriminator_weights):
                self.update("generator", generator_optimizer, parts, size)
            self.state.iterations += 1
            for schedule in self.schedules:
                schedule.step()
            self.average.update(self.averaging.decay(self.images, size * self.ranks * self.discriminator_steps))
        self.state.within_step = False

    def update(self, player: Player, optimizer: LightningOptimizer, parts: Iterable[MicroBatch], size: int) -> None:
        """Make one step of one player on the whole batch of `size` samples, computed in `parts`."""
        torch.clear_autocast_cache()  # which keeps half-precision copies of weights, from before the last step
        self.state.player = player
        losses: dict[str, Tensor] = {}
        rounds: list[Round] = []
        for part in parts:
            round = self.make_round(player, part, size)
            terms = game.loss_terms(self.objectives, player, round, share=len(part.real) / size)
            with torch.autocast(self.device.type, enabled=False):  # a penalty's second derivatives in float32
                self.manual_backward(reduce(add, terms.values()))
            for name, term in terms.items():
                losses[name] = losses[name] + term.detach() if name in losses else term.detach()
            if self.stateful and player == "discriminator":
                rounds.append(round)
        optimizer.step()
        optimizer.zero_grad()  # at once: the next backward pass is the other player's
        game.update_states(self.stateful, rounds)
        self.losses.update(losses)

    def paced(self, batches: Iterator[tuple[Batch, int, int]]) -> Iterator[Batch]:
        """Return the batches of one `training_step`, samples alone without labels; a callback may set another pace."""
        return ((batch, None) if isinstance(batch, Tensor) else batch for batch, _, _ in islice(batches, 1))

    def split(self, player: Player, batch: Batch, differentiable: bool) -> Iterator[MicroBatch]:
        """Yield the batch in `micro_batches` parts; fakes are made with or without gradient as each is taken."""
        latent = self.batch_latents(len(batch[0]), player)
        return game.micro_batches(batch, latent, self.micro_batches, self.generator, differentiable)

    def make_round(self, player: Player, part: MicroBatch, size: int) -> Round:
        """Return the round of `player` for one part of this rank's batch of `size` samples."""
        real, fake, step = part.real, part.fake, self.discriminator_updates
        if player == "discriminator":
            fake = fake.detach()
            if self.image_gradients and not self.state.compiled:
                real, fake = real.detach().requires_grad_(), fake.requires_grad_()
        first = self.rank * size + part.first
        noise = Noise(self.seed, player, "round", step, first=first, batch_size=size * self.ranks)
        mean = self.trainer.strategy.reduce
        return Round(self.generator, self.discriminator, part.latent, real, fake, part.labels, step, noise, mean)

    def configure_optimizers(self) -> tuple[list[Optimizer], list[lr_scheduler.LRScheduler]]:
        networks = (self.generator, self.discriminator)
        optimizers = [make(net.parameters()) for make, net in zip(self.make_optimizers, networks, strict=True)]
        self.schedules = [make(of) for make, of in zip(self.make_schedules, optimizers, strict=True) if make]
        return optimizers, self.schedules

    def on_fit_start(self) -> None:
        # Listed once: walking through the modules at every step takes longer than a small network's update.
        self.discriminator_weights = [weight for weight in self.discriminator.parameters() if weight.requires_grad]
        self.average = MovingAverage(self.averaged_generator, self.generator)
        self.rng = torch.Generator(self.device)
        # Under autocast there is no second derivative in float32: penalties make a forward pass of their own.
        in_float32 = "mixed" not in str(self.trainer.precision)
        self.image_gradients = in_float32 and any(part.needs_image_gradients for part in self.objectives.values())
        self.rank, self.ranks = self.trainer.global_rank, self.trainer.world_size
        self.seed_of_rank = seed_of(self.seed, "rank", self.rank)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        clip(optimizer, self.clip_gradient_norm, getattr(self.trainer.precision_plugin, "scaler", None))

    def batch_latents(self, count: int, stream: str) -> Latent:
        """Return this rank's `count` rows of the global batch's latents, a function of (seed, stream, step)."""
        rng = self.rng.manual_seed(seed_of(self.seed, stream, self.discriminator_updates))
        return self.prior.sample(count * self.ranks, rng)[count * self.rank : count * (self.rank + 1)]

    def fixed_latents(self, count: int, stream: str) -> Latent:
        """Return `count` fixed latents: the same for one seed and stream on every rank, at any time."""
        return self.prior.sample(count, generator_for(self.seed, stream, device=self.device))

    @torch.no_grad()
    def generate(self, latent: Latent) -> Tensor:
        """Return the averaged generator's samples, float32, computed without autocast."""
        with torch.autocast(self.device.type, enabled=False):
            return self.averaged_generator.eval()(latent).float()

    def sample(
        self, count: int, labels: Sequence[int] | None = None, seed: int = 0, truncation: float | None = None
    ) -> Tensor:
        """Return `count` samples of the averaged generator, (count, ...) of float32 on the GAN's device.

        Args:
            count: how many, at least 1; images are in [-1, 1].
            labels: classes, as many samples of each of them, in order; None leaves them to the prior.
            seed: of the latents.
            truncation: the largest absolute value of Gaussian noise; None leaves it.

        Raises:
            ValueError: the prior is not class-conditional, does not have these classes or no Gaussian noise.
        """
        prior = self.prior if truncation is None else self.prior.truncated(truncation)
        classes = None if labels is None else spread_labels(labels, count)
        latent = prior.sample(count, generator_for(seed, "samples", device=self.device), classes)
        return torch.cat([self.generate(latent[first : first + 500]) for first in range(0, count, 500)])

    def score(self, samples: Tensor) -> Tensor:
        """Return the discriminator's logits, (batch,) of float32, in evaluation mode and without autocast."""
        return game.score(self.discriminator, samples)
