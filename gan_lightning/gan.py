"""The two-player game as a LightningModule. It sums what the objectives say and steps the player whose turn it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from operator import add
from typing import Any, Literal

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.profilers import PassThroughProfiler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gan_lightning.ema import Averaging, MovingAverage, frozen_copy
from gan_lightning.game import Latent, Objective, Round, judge
from gan_lightning.priors import Prior
from gan_lightning.randomness import generator_for, seed_of

Player = Literal["discriminator", "generator"]
Batch = tuple[Tensor, Tensor | None]
"""Real samples, (batch, ...), and their classes, (batch,), where the data has them."""


class GAN(LightningModule):
    """Algorithm 1 of Goodfellow et al. 2014, "Generative Adversarial Nets", for any objectives.

    One batch is one turn: one discriminator update. Every `discriminator_steps`-th turn also updates the generator,
    which makes one iteration. All latents are a function of (seed, turn, position in the global batch); each rank takes
    its rows.

    Args:
        generator: called with a `Latent`, returns samples.
        discriminator: called with samples, returns a `DiscriminatorOutput` or bare logits (batch,).
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
        micro_batches: int = 1,
        clip_gradient_norm: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator, self.prior = generator, discriminator, prior
        self.averaged_generator = frozen_copy(generator)
        self.objectives = nn.ModuleDict(objectives)
        self.ideas = tuple(objectives.items())
        self.players = (
            (generator, generator_optimizer, generator_schedule),
            (discriminator, discriminator_optimizer, discriminator_schedule),
        )
        self.averaging, self.max_iterations, self.seed = averaging, max_iterations, seed
        self.discriminator_steps, self.micro_batches = discriminator_steps, micro_batches
        self.clip_gradient_norm = clip_gradient_norm
        self.image_gradients = any(objective.needs_image_gradients for objective in objectives.values())
        self.iterations = self.turns = self.images = 0
        self.losses: dict[str, Tensor] = {}
        self.metrics: dict[str, float] = {}
        forbid_batch_norm(discriminator, objectives)

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of each hook it calls on the module, dozens of times a turn, and torch then looks
        # whether that is a weight or a module: 3 microseconds each time, which a toy notices.
        if type(value) in (int, str) and name in self.__dict__:
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
        self.unwatched_backward = unwatched_backward(self.trainer)
        # What draws from torch's own generator (dropout, mixing weights of penalties) must differ between ranks.
        torch.manual_seed(seed_of(self.seed, "rank", self.global_rank, self.turns))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        generator_optimizer, discriminator_optimizer = as_list(self.optimizers())
        self.update("discriminator", discriminator_optimizer, batch)
        self.turns += 1
        batch_images = len(batch[0]) * self.trainer.world_size
        self.images += batch_images
        if self.turns % self.discriminator_steps == 0:
            with frozen(self.discriminator_weights):
                self.update("generator", generator_optimizer, batch)
            self.iterations += 1
            for schedule in as_list(self.lr_schedulers()):
                schedule.step()
            decay = self.averaging.decay(self.images, batch_images * self.discriminator_steps)
            self.average.update(decay)
        if self.iterations >= self.max_iterations:
            self.trainer.should_stop = True

    def update(self, player: Player, optimizer: LightningOptimizer, batch: Batch) -> None:
        """One step of one player on the whole batch, computed in `micro_batches` pieces."""
        # Autocast may keep half-precision copies of weights, made without gradient or before the last step.
        torch.clear_autocast_cache()
        losses: dict[str, Tensor] = {}
        for round in self.rounds(player, batch):
            terms = dict(self.terms(player, round, share=len(round.real) / len(batch[0])))
            if not terms:
                raise ValueError(f"no objective has a term for the {player}: add a loss that trains it")
            self.backpropagate(reduce(add, terms.values()))
            for name, term in terms.items():
                losses[name] = losses[name] + term.detach() if name in losses else term.detach()
        optimizer.step()
        # Gradients go at once: the strategy averages whatever gradients it finds, and the other player is next.
        optimizer.zero_grad()
        if player == "discriminator":
            with torch.no_grad():
                for _, objective in self.ideas:
                    objective.observe(round)
        self.losses.update(losses)

    def backpropagate(self, loss: Tensor) -> None:
        """Lightning's `manual_backward`, with a penalty's second derivatives in float32."""
        if self.unwatched_backward and not torch.is_autocast_enabled(self.device.type):
            loss.backward()
            self.trainer.strategy.post_backward(loss)
            return
        with torch.autocast(self.device.type, enabled=False):
            self.manual_backward(loss)

    def terms(self, player: Player, round: Round, share: float) -> Iterator[tuple[str, Tensor]]:
        """What each objective asks of `player` in this round, as (player/objective, scalar times `share`)."""
        for name, objective in self.ideas:
            term = objective.discriminator(round) if player == "discriminator" else objective.generator(round)
            if term is not None:
                yield f"{player}/{name}", term if share == 1 else term * share

    def rounds(self, player: Player, batch: Batch) -> Iterator[Round]:
        """The turn in `micro_batches` rounds; each makes its fakes when it is asked for."""
        real, labels = batch
        latent = self.latents(len(real), player)
        size = -(-len(real) // self.micro_batches)
        for start in range(0, len(real), size):
            rows = slice(start, start + size)
            with torch.set_grad_enabled(player == "generator"):
                fake = self.generator(latent[rows])
            images = self.image_gradients and player == "discriminator"
            yield Round(
                generator=self.generator,
                discriminator=self.discriminator,
                latent=latent[rows],
                real=real[rows].detach().requires_grad_(images),
                fake=fake.requires_grad_() if images else fake,
                labels=None if labels is None else labels[rows],
                turn=self.turns,
            )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        if self.clip_gradient_norm is not None:
            # A gradient scaler leaves its scale to optimizers that can undo it themselves, the fused ones.
            scaler = getattr(self.trainer.precision_plugin, "scaler", None)
            if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
                scaler.unscale_(optimizer)
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_gradient_norm)

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        optimizers, schedules = [], []
        for network, make_optimizer, make_schedule in self.players:
            optimizer = make_optimizer(network.parameters())
            optimizers.append(optimizer)
            if make_schedule is not None:
                schedules.append(make_schedule(optimizer))
        return optimizers, schedules

    # Noise and samples

    def latents(self, count: int, stream: str) -> Latent:
        """This rank's `count` rows of the latents of the global batch, a function of (seed, stream, turn)."""
        rng = self.rng.manual_seed(seed_of(self.seed, stream, self.turns))
        latent = self.prior.sample(count * self.trainer.world_size, rng)
        first = count * self.trainer.global_rank
        return latent[first : first + count]

    def draw(self, count: int, stream: str) -> Latent:
        """`count` fixed latents: the same seed and stream give the same ones on every rank, at any time."""
        return self.prior.sample(count, generator_for(self.seed, stream, device=self.device))

    @torch.no_grad()
    def generate(self, latent: Latent) -> Tensor:
        """Samples of the averaged generator, float32, without autocast."""
        with torch.autocast(self.device.type, enabled=False):
            return self.averaged_generator.eval()(latent).float()

    @torch.no_grad()
    def judge(self, samples: Tensor) -> Tensor:
        """The discriminator's logits for `samples`, (batch,), float32, in evaluation mode and without autocast."""
        was_training = self.discriminator.training
        try:
            with torch.autocast(self.device.type, enabled=False):
                return judge(self.discriminator.eval(), samples).logits.float()
        finally:
            self.discriminator.train(was_training)

    # What a checkpoint keeps beside weights, optimizers and schedules

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["game"] = {"iterations": self.iterations, "turns": self.turns, "images": self.images}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        game = checkpoint["game"]
        self.iterations, self.turns, self.images = game["iterations"], game["turns"], game["images"]


@contextmanager
def frozen(weights: list[nn.Parameter]) -> Iterator[None]:
    """Within, `weights` take no gradient."""
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def unwatched_backward(trainer: Trainer) -> bool:
    """Whether nobody would notice that Lightning's hooks around a backward pass are left out.

    They take about a twentieth of a toy's iteration. A callback that defines one, a profiler or a gradient scaler needs
    them.
    """
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])  # which its type does not declare
    hooks = ("on_before_backward", "on_after_backward")
    watched = any(getattr(type(part), hook) is not getattr(Callback, hook) for part in callbacks for hook in hooks)
    scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
    return not watched and not scaled and isinstance(getattr(trainer, "profiler", None), PassThroughProfiler)


def as_list(found: Any) -> list[Any]:
    """What Lightning returns for one, several or no optimizers or schedules, as a list."""
    return [] if found is None else found if isinstance(found, list) else [found]


def forbid_batch_norm(discriminator: nn.Module, objectives: Mapping[str, Objective]) -> None:
    """Refuse objectives that take per-sample gradients of a discriminator that mixes its samples.

    Raises:
        ValueError: for the objectives concerned, with the way out.
    """
    strict = [name for name, objective in objectives.items() if objective.forbids_batch_norm]
    normalised = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in discriminator.modules())
    if strict and normalised:
        raise ValueError(
            f"{' and '.join(strict)} takes the gradient of each sample by itself, and batch norm in the discriminator "
            "mixes the samples: choose loss.discriminator_norm=layer (or none)"
        )
