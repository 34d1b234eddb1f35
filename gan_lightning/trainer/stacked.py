"""Independent games of equal networks, trained as one program over stacked weights (`torch.func`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from operator import attrgetter
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from gan_lightning.data.loader import BATCHES_PER_BLOCK, StreamLoader
from gan_lightning.data.toys import ToyData
from gan_lightning.game import Player
from gan_lightning.gan import GAN
from gan_lightning.randomness import Noise, seed_of
from gan_lightning.train_state import TrainState
from gan_lightning.trainer.stacked_round import Draw, KnownNoise, RecordedNoise, Terms

ELEMENTWISE = (Adam, AdamW, RMSprop, SGD)
"""Optimizers that move each weight by its own gradients, so that stacked weights move as those of single runs."""


class StackedGames:
    """N games of algorithm 1, each as its own single run plays it: equal weights, latents, data and noise.

    The networks of all games are stacked along a first axis, and `vmap` computes all losses at once. The weights of
    every GAN become views of the stacked ones, so that it can be evaluated at any time.

    Args:
        gans: the games, built alike from different seeds, on one device.
        sources: the data of each.

    Raises:
        ValueError: the games cannot be computed as one program.
    """

    iterations = property(attrgetter("state.iterations"))

    def __init__(self, gans: Sequence[GAN], sources: Sequence[ToyData]) -> None:
        first = gans[0]
        self.gans, self.first = gans, first
        self.device = first.device
        self.state = TrainState()
        for gan in gans:
            gan.state = self.state
            gan.discriminator_weights = [w for w in gan.discriminator.parameters() if w.requires_grad]
        modules = [Terms(gan) for gan in gans]
        self.template = modules[0]
        self.weights, self.buffers = stack_module_state(modules)
        share_storage(modules, self.weights, self.buffers)
        averages = [gan.averaged_generator for gan in gans]
        self.averaged, self.averaged_buffers = stack_module_state(averages)
        share_storage(averages, self.averaged, self.averaged_buffers)
        self.of = {player: self.weights_of(player) for player in ("discriminator", "generator")}
        networks = (self.of["generator"], self.of["discriminator"])
        made = [make(list(own.values())) for make, own in zip(first.make_optimizers, networks, strict=True)]
        self.optimizers: dict[str, Optimizer] = dict(zip(("generator", "discriminator"), made, strict=True))
        refuse_optimizers(made)
        self.schedules = [make(of) for make, of in zip(first.make_schedules, made, strict=True) if make]
        self.loaders = [data.train_dataloader() for data in sources]
        self.batch_size = sources[0].batch_size
        self.rng = torch.Generator(self.device)
        self.draws = {player: self.draws_of(player) for player in ("discriminator", "generator")}
        self.losses: dict[str, Tensor] = {}  # the last, (N,), by player/objective

    def weights_of(self, player: str) -> dict[str, nn.Parameter]:
        """Return the stacked weights of one player by their names in `Terms`."""
        return {
            name: cast("nn.Parameter", weight)
            for name, weight in self.weights.items()
            if name.startswith(f"{player}.") and weight.requires_grad
        }

    def draws_of(self, player: Player) -> list[Draw]:
        """Return what the objectives of `player` draw in a round; the games are played once, without effect.

        Raises:
            ValueError: `vmap` cannot compute the round.
        """
        latent, real = self.latents(player), self.zeros()
        recorder = RecordedNoise()
        trial = deepcopy(self.template)
        trial(player, 0, real[0], latent[0], recorder)
        numbers = self.noise(player, recorder.draws)
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        try:
            self.terms(player, buffers, real, latent, numbers, recorder.draws)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"seeds={len(self.gans)} cannot train these networks and objectives as one program ({reason}): leave "
                "seeds out, and train one after another with -m seed=0,1,..."
            ) from error
        return recorder.draws

    def zeros(self) -> Tensor:
        """Return a batch of zeros in the place of data, (N, batch, dim)."""
        shape = self.loaders[0].distribution.dim if isinstance(self.loaders[0], StreamLoader) else None
        dim = shape or self.loaders[0].samples.shape[1]  # type: ignore[union-attr]
        return torch.zeros(len(self.gans), self.batch_size, dim, device=self.device)

    def batches(self) -> Iterator[Tensor]:
        """Yield the games' batches, (N, batch, dim), from the step that was reached on."""
        step = self.state.discriminator_updates
        streams = [loader for loader in self.loaders if isinstance(loader, StreamLoader)]
        if len(streams) == len(self.loaders):
            while True:
                block, first = divmod(step, BATCHES_PER_BLOCK)
                drawn = torch.stack([loader.block(block) for loader in streams], dim=1).to(self.device)
                yield from drawn[first:]
                step = (block + 1) * BATCHES_PER_BLOCK
        for loader in self.loaders:
            loader.first_step = lambda: step  # type: ignore[union-attr]
        iterators = [iter(loader) for loader in self.loaders]
        while True:
            yield torch.stack([next(batches)[0] for batches in iterators]).to(self.device)

    def step(self, real: Tensor) -> None:
        """Update all discriminators once, and after every `discriminator_steps` of these updates all generators.

        Args:
            real: (N, batch, dim).
        """
        first, state = self.first, self.state
        self.update("discriminator", real)
        state.discriminator_updates += 1
        state.images += self.batch_size
        if state.discriminator_updates % first.discriminator_steps == 0:
            self.update("generator", real)
            state.iterations += 1
            for schedule in self.schedules:
                schedule.step()
            self.follow(first.averaging.decay(state.images, self.batch_size * first.discriminator_steps))

    def update(self, player: Player, real: Tensor) -> None:
        """Make one step of one player in every game."""
        self.state.player = player
        latent, numbers = self.latents(player), self.noise(player, self.draws[player])
        terms, output = self.terms(player, self.buffers, real, latent, numbers, self.draws[player])
        own = self.of[player]
        total = torch.stack([term.sum() for term in terms.values()]).sum()  # no game's weights are in another's loss
        gradients = torch.autograd.grad(total, list(own.values()), allow_unused=True)
        for weight, gradient in zip(own.values(), gradients, strict=True):
            # Laid out as the weights, which the fused optimizers take for granted.
            weight.grad = None if gradient is None else gradient.contiguous()
        self.clip(list(own.values()))
        self.optimizers[player].step()
        self.optimizers[player].zero_grad()
        if player == "discriminator" and self.first.stateful:
            self.update_states(real, latent, output)
        self.losses.update({name: term.detach() for name, term in terms.items()})

    def terms(
        self,
        player: Player,
        buffers: dict[str, Tensor],
        real: Tensor,
        latent: Tensor,
        numbers: Sequence[Tensor],
        draws: Sequence[Draw],
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return each objective's terms, (N,) each, and the discriminator's outputs, (N, batch, ...), by their names.

        Args:
            player: whose terms.
            buffers: stacked; running statistics in them are updated.
            real: (N, batch, dim).
            latent: z, (N, batch, prior.dim).
            numbers: what the objectives draw, (N, batch, ...) each.
            draws: how each of them is drawn.
        """
        weights = {name: w if name in self.of[player] else w.detach() for name, w in self.weights.items()}
        updates = self.state.discriminator_updates

        def of_one(weights: Any, buffers: Any, real: Tensor, z: Tensor, numbers: list[Tensor]) -> Any:
            noise = KnownNoise(draws, numbers)
            return functional_call(self.template, (weights, buffers), (player, updates, real, z, noise))

        terms, output = vmap(of_one)(weights, buffers, real, latent, list(numbers))
        return terms, output

    @torch.no_grad()
    def update_states(self, real: Tensor, latent: Tensor, output: dict[str, Tensor]) -> None:
        """Let stateful objectives follow the update of the discriminators, see `Objective.after_discriminator_step`."""
        updates = self.state.discriminator_updates

        def of_one(weights: Any, buffers: Any, real: Tensor, z: Tensor, output: dict[str, Tensor]) -> Tensor:
            arguments = ("state", updates, real, z, None, output)
            return functional_call(self.template, (weights, buffers), arguments)

        vmap(of_one)(self.weights, self.buffers, real, latent, output)

    def latents(self, player: str) -> Tensor:
        """Return the latents of an update, (N, batch, prior.dim), as `GAN.batch_latents` draws them."""
        updates, rng, count = self.state.discriminator_updates, self.rng, self.batch_size
        drawn = [gan.prior.sample(count, rng.manual_seed(seed_of(gan.seed, player, updates))).z for gan in self.gans]
        return torch.stack(drawn)

    def noise(self, player: str, draws: Sequence[Draw]) -> list[Tensor]:
        """Return what the objectives draw in an update, (N, batch, ...) each."""
        if not draws:
            return []
        updates, count = self.state.discriminator_updates, self.batch_size
        noises = [Noise(gan.seed, player, "round", updates) for gan in self.gans]
        return [
            torch.stack([getattr(noise, kind)(count, shape, self.device) for noise in noises]) for kind, shape in draws
        ]

    def clip(self, weights: Sequence[Tensor]) -> None:
        """Scale each game's gradient down to the largest 2-norm that the GAN allows."""
        norm = self.first.clip_gradient_norm
        if norm is None:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0)
        scale = (norm / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the averaged generators as `MovingAverage` does."""
        current = [self.weights[f"generator.{name}"] for name in self.averaged]
        torch._foreach_lerp_(list(self.averaged.values()), current, 1.0 - decay)
        for name, kept in self.averaged_buffers.items():
            kept.copy_(self.buffers[f"generator.{name}"])

    def state_dict(self) -> dict[str, Tensor]:
        """Return all weights and buffers, stacked, by their names in `GAN`."""
        averaged = {f"averaged_generator.{name}": value for name, value in self.averaged.items()}
        averaged |= {f"averaged_generator.{name}": value for name, value in self.averaged_buffers.items()}
        return {name: value.detach() for name, value in {**self.weights, **self.buffers, **averaged}.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take weights and buffers of a checkpoint."""
        for name, value in self.state_dict().items():
            value.copy_(state[name])


def share_storage(modules: Sequence[nn.Module], weights: dict[str, Any], buffers: dict[str, Any]) -> None:
    """Make the weights and buffers of each module views of the stacked ones."""
    for index, module in enumerate(modules):
        for name, parameter in module.named_parameters():
            parameter.data = weights[name].data[index]
        for name, _ in list(module.named_buffers()):
            path, _, leaf = name.rpartition(".")
            module.get_submodule(path)._buffers[leaf] = buffers[name][index]


def refuse_optimizers(optimizers: Sequence[Optimizer]) -> None:
    """Raise a ValueError for optimizers in which the weights of several games would meet."""
    other = [type(optimizer).__name__ for optimizer in optimizers if type(optimizer) not in ELEMENTWISE]
    if other:
        raise ValueError(
            f"seeds=N trains with optimizers that move each weight by itself, and {other[0]} is not known to: choose "
            "optimizer=adam, optimizer=rmsprop or optimizer=sgd"
        )
