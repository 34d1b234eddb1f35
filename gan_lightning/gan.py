"""The two-player game as a LightningModule. It sums what the objectives say and steps the player whose turn it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from operator import add
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gan_lightning.ema import Averaging, MovingAverage, frozen_copy
from gan_lightning.game import (
    Batch,
    Latent,
    MicroBatch,
    Objective,
    Player,
    Round,
    concatenate_rounds,
    discriminate,
    forbid_batch_norm,
)
from gan_lightning.priors import Prior
from gan_lightning.randomness import Noise, generator_for, reseed, seed_of
from gan_lightning.trainer.fast_path import as_list, clip, frozen, step, unwatched, watchers

LONGEST_SECONDS = 0.05
"""Seconds of turns after which Lightning has its turn even if no callback is to act, so that signals are noticed."""


class GAN(LightningModule):
    """Algorithm 1 of Goodfellow et al. 2014, "Generative Adversarial Nets", for any objectives.

    One batch is one turn: one discriminator update. Every `discriminator_steps`-th turn also updates the generator,
    which makes one iteration. All latents are a function of (seed, turn, position in the global batch); each rank takes
    its rows.

    Args:
        generator: called with a `Latent`, returns samples.
        discriminator: called as `discriminate` does, returns a `DiscriminatorOutput` or bare logits (batch,).
        prior: what the generator is fed.
        objectives: the ideas in the game, by the names they have in the log.
        generator_optimizer: makes the generator's optimizer from its parameters.
        discriminator_optimizer: likewise.
        averaging: how the averaged generator follows the generator.
        max_iterations: the budget, in generator updates; training stops there.
        generator_schedule: makes a learning-rate schedule from the optimizer, stepped once an iteration; None keeps
            the rate constant.
        discriminator_schedule: likewise, stepped once an iteration too.
        discriminator_steps: k, discriminator updates to one of the generator, each on a fresh batch.
        share_fakes: the generator's update takes the fakes of the discriminator's, which saves a pass through the
            generator; else it draws fresh ones, as Algorithm 1 does.
        micro_batches: pieces in which each update is computed, to save memory. The update is the whole batch's.
        clip_gradient_norm: largest 2-norm of a player's gradient; None leaves gradients alone.
        seed: of all noise.

    Attributes:
        iterations: generator updates made.
        turns: discriminator updates made.
        images: real samples seen by the discriminator, over all ranks.
        losses: each term's latest value, detached scalars by ``player/objective``. Reading one waits for the device.
        metrics: the last evaluation's results, for display.
        averaged_generator: what samples and metrics are made from.
        player, last_piece: whose update is being computed, and whether it is at its last piece.
        within_turn: whether a turn is half played, so that this is no state to save.
        compiled: whether the networks' `forward` differs from calling them.
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
        generator_schedule: Callable[[Optimizer], LRScheduler] | None = None,
        discriminator_schedule: Callable[[Optimizer], LRScheduler] | None = None,
        discriminator_steps: int = 1,
        share_fakes: bool = False,
        micro_batches: int = 1,
        clip_gradient_norm: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator, self.prior = generator, discriminator, prior
        self.averaged_generator = frozen_copy(generator)
        self.objectives = nn.ModuleDict(objectives)
        self.named_objectives = tuple(objectives.items())
        self.players = (
            (generator, generator_optimizer, generator_schedule),
            (discriminator, discriminator_optimizer, discriminator_schedule),
        )
        self.averaging, self.max_iterations, self.seed = averaging, max_iterations, seed
        self.discriminator_steps, self.share_fakes, self.micro_batches = discriminator_steps, share_fakes, micro_batches
        self.clip_gradient_norm = clip_gradient_norm
        self.observers = [
            part
            for part in objectives.values()
            if type(part).after_discriminator_step is not Objective.after_discriminator_step
        ]
        self.compiled = False
        self.player: Player = "discriminator"
        self.last_piece, self.within_turn = True, False
        self.iterations = self.discriminator_updates = self.images = 0
        self.losses: dict[str, Tensor] = {}
        self.metrics: dict[str, float] = {}
        forbid_batch_norm(discriminator, objectives)

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of each hook it calls on the module, dozens of times a turn, and torch then looks
        # whether that is a weight or a module: 3 microseconds each time, which a toy notices.
        if type(value) in (int, str, bool) and name in self.__dict__:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # The update

    def on_fit_start(self) -> None:
        # Listed once, when they stand on their device: walking through the modules at every turn takes longer than a
        # small network's update.
        self.discriminator_weights = [weight for weight in self.discriminator.parameters() if weight.requires_grad]
        self.average = MovingAverage(self.averaged_generator, self.generator)
        self.rng = torch.Generator(self.device)
        alone = isinstance(self.trainer.strategy, SingleDeviceStrategy)
        self.plain_backward = unwatched(self.trainer, "on_before_backward", "on_after_backward")
        unclipped = self.clip_gradient_norm is None
        self.plain_step = alone and unclipped and unwatched(self.trainer, "on_before_optimizer_step")
        self.watchers = watchers(self.trainer) if alone else None
        # Under autocast there is no second derivative in float32: penalties make a forward pass of their own.
        in_float32 = "mixed" not in str(self.trainer.precision)
        self.image_gradients = in_float32 and any(part.needs_image_gradients for _, part in self.named_objectives)
        self.rank, self.ranks = self.trainer.global_rank, self.trainer.world_size
        self.seed_of_rank = seed_of(self.seed, "rank", self.rank)

    def training_step(self, dataloader_iter: Iterator[tuple[Batch, int, int]]) -> None:
        """Turns until a callback may want to act: what Lightning does between two calls is a sixth of a toy's time."""
        pause, until = self.pause(), time.perf_counter() + LONGEST_SECONDS
        while True:
            self.turn(next(dataloader_iter)[0])
            if self.iterations >= pause or time.perf_counter() >= until:
                break
        self.trainer.should_stop |= self.iterations >= self.max_iterations

    def pause(self) -> float:
        """The iteration at which Lightning has its turn."""
        if self.watchers is None:
            return self.iterations
        return min([self.max_iterations, *(due(self.iterations) for due in self.watchers)])

    def turn(self, batch: Batch) -> None:
        """One update of the discriminator, and after every `discriminator_steps` of them one of the generator."""
        self.within_turn = True
        # What draws from torch's own generator (dropout) does so as a function of turn and rank.
        reseed(self.device, self.seed_of_rank ^ self.discriminator_updates)
        generator_optimizer, discriminator_optimizer = as_list(self.optimizers())
        batch_images = len(batch[0]) * self.ranks
        generator_too = (self.discriminator_updates + 1) % self.discriminator_steps == 0
        shared = self.share_fakes and generator_too
        pieces = self.pieces("discriminator", batch, differentiable=shared)
        if shared:
            pieces = list(pieces)
        self.update("discriminator", discriminator_optimizer, pieces, len(batch[0]))
        self.discriminator_updates += 1
        self.images += batch_images
        if generator_too:
            if not shared:
                pieces = self.pieces("generator", batch, differentiable=True)
            with frozen(self.discriminator_weights):
                self.update("generator", generator_optimizer, pieces, len(batch[0]))
            self.iterations += 1
            for schedule in as_list(self.lr_schedulers()):
                schedule.step()
            decay = self.averaging.decay(self.images, batch_images * self.discriminator_steps)
            self.average.update(decay)
        self.within_turn = False

    def update(self, player: Player, optimizer: LightningOptimizer, pieces: Iterable[MicroBatch], size: int) -> None:
        """One step of one player on the whole batch of `size` samples, computed in `pieces`."""
        # Autocast keeps half-precision copies of weights, made without gradient or before the last step.
        torch.clear_autocast_cache()
        self.player = player
        losses: dict[str, Tensor] = {}
        rounds: list[Round] = []
        for piece in pieces:
            round, count = self.round(player, piece, size), len(piece.real)
            terms = dict(self.terms(player, round, share=count / size))
            if not terms:
                raise ValueError(f"no objective has a term for the {player}: add a loss that trains it")
            self.last_piece = piece.first + count == size
            self.backpropagate(reduce(add, terms.values()))
            for name, term in terms.items():
                losses[name] = losses[name] + term.detach() if name in losses else term.detach()
            if self.observers and player == "discriminator":
                rounds.append(round)
        step(optimizer, self.plain_step)
        # Gradients go at once: the next backward pass is the other player's.
        optimizer.zero_grad()
        if rounds:
            with torch.no_grad():
                for objective in self.observers:
                    objective.after_discriminator_step(concatenate_rounds(rounds))
        self.losses.update(losses)

    def backpropagate(self, loss: Tensor) -> None:
        """Lightning's `manual_backward`, with a penalty's second derivatives in float32."""
        if self.plain_backward and not torch.is_autocast_enabled(self.device.type):
            self.trainer.strategy.pre_backward(loss)
            loss.backward()
            self.trainer.strategy.post_backward(loss)
            return
        with torch.autocast(self.device.type, enabled=False):
            self.manual_backward(loss)

    def terms(self, player: Player, round: Round, share: float) -> Iterator[tuple[str, Tensor]]:
        """What each objective asks of `player` in this round, as (player/objective, scalar times `share`)."""
        for name, objective in self.named_objectives:
            term = objective.discriminator(round) if player == "discriminator" else objective.generator(round)
            if term is not None:
                yield f"{player}/{name}", term if share == 1 else term * share

    def pieces(self, player: Player, batch: Batch, differentiable: bool) -> Iterable[MicroBatch]:
        """The turn in `micro_batches` pieces; each makes its fakes, with or without gradient, when it is asked for."""
        real, labels = batch
        latent = self.batch_latents(len(real), player)
        size = -(-len(real) // self.micro_batches)
        for first in range(0, len(real), size):
            rows = slice(first, first + size)
            with torch.set_grad_enabled(differentiable):
                fake = self.generator(latent[rows])
            yield MicroBatch(first, real[rows], None if labels is None else labels[rows], latent[rows], fake)

    def round(self, player: Player, piece: MicroBatch, size: int) -> Round:
        """The round that `player` plays with `piece` of this rank's batch of `size` samples."""
        discriminating = player == "discriminator"
        images = self.image_gradients and discriminating and not self.compiled
        first = self.rank * size + piece.first
        fake = piece.fake.detach() if discriminating and piece.fake.requires_grad else piece.fake
        return Round(
            generator=self.generator,
            discriminator=self.discriminator,
            latent=piece.latent,
            real=piece.real.detach().requires_grad_() if images else piece.real,
            fake=fake.requires_grad_() if images else fake,
            labels=piece.labels,
            discriminator_updates=self.discriminator_updates,
            noise=Noise(
                self.seed, player, "round", self.discriminator_updates, first=first, batch_size=size * self.ranks
            ),
            all_reduce_mean=self.trainer.strategy.reduce,
        )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        if self.clip_gradient_norm is not None:
            clip(optimizer, self.clip_gradient_norm, self.trainer)

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        optimizers, schedules = [], []
        for network, make_optimizer, make_schedule in self.players:
            optimizer = make_optimizer(network.parameters())
            optimizers.append(optimizer)
            if make_schedule is not None:
                schedules.append(make_schedule(optimizer))
        return optimizers, schedules

    # Noise and samples

    def batch_latents(self, count: int, stream: str) -> Latent:
        """This rank's `count` rows of the latents of the global batch, a function of (seed, stream, turn)."""
        rng = self.rng.manual_seed(seed_of(self.seed, stream, self.discriminator_updates))
        latent = self.prior.sample(count * self.ranks, rng)
        first = count * self.rank
        return latent[first : first + count]

    def fixed_latents(self, count: int, stream: str) -> Latent:
        """`count` fixed latents: the same seed and stream give the same ones on every rank, at any time."""
        return self.prior.sample(count, generator_for(self.seed, stream, device=self.device))

    @torch.no_grad()
    def generate(self, latent: Latent) -> Tensor:
        """Samples of the averaged generator, float32, without autocast."""
        with torch.autocast(self.device.type, enabled=False):
            return self.averaged_generator.eval()(latent).float()

    @torch.no_grad()
    def score(self, samples: Tensor) -> Tensor:
        """The discriminator's logits for `samples`, (batch,), float32, in evaluation mode and without autocast."""
        was_training = self.discriminator.training
        try:
            with torch.autocast(self.device.type, enabled=False):
                return discriminate(self.discriminator.eval(), samples, uncompiled=True).logits.float()
        finally:
            self.discriminator.train(was_training)

    # What a checkpoint keeps beside weights, optimizers and schedules

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["game"] = {
            "iterations": self.iterations,
            "discriminator_updates": self.discriminator_updates,
            "images": self.images,
        }
        checkpoint["precision"] = str(self.trainer.precision)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        game = checkpoint["game"]
        self.iterations, self.discriminator_updates, self.images = (
            game["iterations"],
            game["discriminator_updates"],
            game["images"],
        )


def as_gan(module: LightningModule) -> GAN:
    """`module` as the GAN it is."""
    if not isinstance(module, GAN):
        raise TypeError(f"this callback watches a GAN, not a {type(module).__name__}")
    return module
