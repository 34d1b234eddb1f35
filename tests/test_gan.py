from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_gan import Batches, TinyDiscriminator, batch_of, play, quiet_trainer, tiny_gan, weights
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_lightning.ema import Averaging
from gan_lightning.game import Latent, Objective, Round
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating, Wasserstein
from gan_lightning.randomness import generator_for
from gan_lightning.regularizers.gradient_penalties import R1, GradientPenalty

SGD = partial(torch.optim.SGD, lr=0.1)
STILL = partial(torch.optim.SGD, lr=0.0)


def test_the_game_is_algorithm_1_written_by_hand():
    """Two discriminator steps to one of the generator, on fresh batches and noise, against a plain loop."""
    gan = tiny_gan(discriminator_steps=2, max_iterations=4)
    twin = tiny_gan()
    generator, discriminator = twin.generator, twin.discriminator
    of_g, of_d = (torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.5, 0.999)) for net in (generator, discriminator))
    averaged = weights(generator)

    def noise(stream: str, step: int) -> Latent:
        return Latent(torch.randn(8, 3, generator=generator_for(0, stream, step)))

    for step in range(8):
        fake = generator(noise("discriminator", step)).detach()
        real_logits, fake_logits = discriminator(batch_of(step)).logits, discriminator(fake).logits
        loss = softplus(-real_logits).mean() + softplus(fake_logits).mean()
        of_d.zero_grad()
        loss.backward()
        of_d.step()
        if step % 2 == 1:
            # The discriminator's update has been counted when the generator draws.
            loss = softplus(-discriminator(generator(noise("generator", step + 1))).logits).mean()
            of_g.zero_grad()
            loss.backward()
            of_g.step()
            decay = 0.5 ** (16 / 20)
            averaged = decay * averaged + (1 - decay) * weights(generator)

    play(gan)
    assert (gan.iterations, gan.discriminator_updates, gan.images) == (4, 8, 64)
    torch.testing.assert_close(weights(gan.generator), weights(generator))
    torch.testing.assert_close(weights(gan.discriminator), weights(discriminator))
    torch.testing.assert_close(weights(gan.averaged_generator), averaged)


@pytest.mark.parametrize("moving", ["generator", "discriminator"])
def test_each_player_moves_by_its_own_optimizer_alone(moving: str):
    settings: dict[str, Any] = {
        f"{player}_optimizer": SGD if player == moving else STILL for player in ("generator", "discriminator")
    }
    gan = tiny_gan(**settings)
    before = {name: weights(getattr(gan, name)) for name in ("generator", "discriminator")}
    play(gan)
    for name, old in before.items():
        assert torch.equal(weights(getattr(gan, name)), old) == (name != moving)


class Watching(Objective):
    """Notes who requires gradient, and when `after_discriminator_step` is called."""

    def __init__(self, image_gradients: bool = False) -> None:
        super().__init__()
        self.needs_image_gradients = image_gradients
        self.seen: list[tuple] = []

    def discriminator(self, round: Round) -> None:
        trained = all(p.requires_grad for p in round.discriminator.parameters())
        self.seen.append(
            ("discriminator", round.discriminator_updates, round.real.requires_grad, round.fake.requires_grad, trained)
        )
        assert round.fake.grad_fn is None

    def generator(self, round: Round) -> None:
        frozen = not any(p.requires_grad for p in round.discriminator.parameters())
        self.seen.append(
            ("generator", round.discriminator_updates, round.real.requires_grad, round.fake.requires_grad, frozen)
        )

    def after_discriminator_step(self, round: Round) -> None:
        assert not torch.is_grad_enabled()
        self.seen.append(("observe", round.discriminator_updates))


@pytest.mark.parametrize("image_gradients", [False, True])
def test_who_takes_gradient_in_each_update(image_gradients: bool):
    watching = Watching(image_gradients)
    gan = tiny_gan({"adversarial": NonSaturating(), "watching": watching}, max_iterations=1, discriminator_steps=2)
    play(gan)
    assert watching.seen == [
        ("discriminator", 0, image_gradients, image_gradients, True),
        ("observe", 0),
        ("discriminator", 1, image_gradients, image_gradients, True),
        ("observe", 1),
        ("generator", 2, False, True, True),
    ]
    assert all(parameter.requires_grad for parameter in gan.discriminator.parameters())
    assert not any(parameter.requires_grad for parameter in gan.averaged_generator.parameters())


@pytest.mark.parametrize("size", [8, 10])
def test_micro_batches_make_the_same_update(size: int):
    objectives = {"adversarial": NonSaturating(), "r1": R1(1.0)}
    whole, parts = (tiny_gan(objectives, micro_batches=count, optimizer=SGD) for count in (1, 4))
    play(whole, size=size)
    play(parts, size=size)
    torch.testing.assert_close(weights(parts.generator), weights(whole.generator))
    torch.testing.assert_close(weights(parts.discriminator), weights(whole.discriminator))
    for name, loss in whole.losses.items():
        torch.testing.assert_close(parts.losses[name], loss)


def test_clipping_bounds_each_players_step():
    gan = tiny_gan(optimizer=partial(torch.optim.SGD, lr=1.0), clip_gradient_norm=1e-3, max_iterations=1)
    before = {player: weights(getattr(gan, player)) for player in ("generator", "discriminator")}
    play(gan)
    for player, old in before.items():
        assert (weights(getattr(gan, player)) - old).norm().item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("fused", [False, True])
def test_clipping_sees_gradients_without_the_scale_of_half_precision(fused: bool):
    precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**10))
    optimizer = partial(torch.optim.SGD, lr=1.0, fused=fused)
    gan = tiny_gan(optimizer=optimizer, clip_gradient_norm=1e-3, max_iterations=1)
    before = {player: weights(getattr(gan, player)) for player in ("generator", "discriminator")}
    play(gan, plugins=[precision])
    for player, old in before.items():
        assert (weights(getattr(gan, player)) - old).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_schedules_step_once_an_iteration():
    halve = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
    gan = tiny_gan(optimizer=SGD, discriminator_schedule=halve, discriminator_steps=3, max_iterations=2)
    trainer = play(gan)
    generator, discriminator = trainer.optimizers
    assert generator.param_groups[0]["lr"] == pytest.approx(0.1)
    assert discriminator.param_groups[0]["lr"] == pytest.approx(0.1 / 4)


def test_a_resumed_game_is_the_same_as_an_uninterrupted_one(tmp_path: Path):
    through = tiny_gan(max_iterations=6, discriminator_steps=2, batch_norm=True)
    play(through)
    first = tiny_gan(max_iterations=3, discriminator_steps=2, batch_norm=True)
    play(first).save_checkpoint(tmp_path / "half.ckpt")
    second = tiny_gan(max_iterations=6, discriminator_steps=2, batch_norm=True)
    play(second, ckpt_path=tmp_path / "half.ckpt")
    assert (second.iterations, second.discriminator_updates, second.images) == (6, 12, 96)
    for name, tensor in through.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name


def test_half_precision_trains_both_players():
    gan = tiny_gan(optimizer=SGD, max_iterations=1)
    before = {player: weights(getattr(gan, player)) for player in ("generator", "discriminator")}
    play(gan, precision="bf16-mixed")
    exact = tiny_gan(optimizer=SGD, max_iterations=1)
    play(exact)
    for player, old in before.items():
        step, wanted = weights(getattr(gan, player)) - old, weights(getattr(exact, player)) - old
        assert torch.cosine_similarity(step, wanted, dim=0) > 0.99
        assert step.dtype == torch.float32


class TanhCritic(nn.Module):
    """D(x) = sum of tanh(W x)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 4, bias=False)

    def forward(self, samples: Tensor) -> Tensor:
        return self.layer(samples).tanh().sum(1)


class OnlyPenalty(R1):
    def generator(self, round: Round) -> Tensor:
        return round.fake_logits.mean()


def test_a_penalty_is_exact_under_autocast():
    """Its gradient for the weights is a second derivative: dD/dx = W'(1 - tanh(W x)^2), in closed form here."""
    gan = tiny_gan({"r1": OnlyPenalty(2.0)}, optimizer=SGD, max_iterations=1)
    gan.discriminator = TanhCritic()
    gan.make_optimizers = (SGD, SGD)
    before = gan.discriminator.layer.weight.detach().clone()
    play(gan, precision="bf16-mixed")
    step = (before - gan.discriminator.layer.weight.detach()) / 0.1
    x, w = batch_of(0).double(), before.double().requires_grad_()
    slopes = (1 - torch.tanh(x @ w.T) ** 2) @ w
    (wanted,) = torch.autograd.grad((slopes**2).sum(1).mean(), w)
    torch.testing.assert_close(step.double(), wanted, rtol=1e-4, atol=1e-5)


def test_a_player_without_an_objective_is_an_error():
    class OnlyDiscriminator(Objective):
        def discriminator(self, round: Round) -> Tensor:
            return round.real_logits.mean()

    with pytest.raises(ValueError, match="no objective has a term for the generator"):
        play(tiny_gan({"adversarial": OnlyDiscriminator()}))


class WithBatchNorm(TinyDiscriminator):
    def __init__(self) -> None:
        super().__init__()
        self.layers.append(nn.BatchNorm1d(5))


def test_batch_norm_and_per_sample_gradients_do_not_go_together():
    gan = tiny_gan()
    objectives = {"adversarial": Wasserstein(), "gradient_penalty": GradientPenalty()}
    with pytest.raises(ValueError, match="gradient_penalty.*batch norm.*loss.discriminator_norm=layer"):
        GAN(gan.generator, WithBatchNorm(), gan.prior, objectives, SGD, SGD, Averaging(0), 1)


class Counting(Callback):
    def __init__(self) -> None:
        self.backward_passes = 0

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.backward_passes += 1


def test_a_callback_that_watches_backward_passes_sees_them_all():
    watching, watched, unwatched = Counting(), tiny_gan(), tiny_gan()
    play(watched, callbacks=[watching])
    play(unwatched)
    assert watching.backward_passes == 6
    assert torch.equal(weights(watched.generator), weights(unwatched.generator))


def test_losses_are_named_by_player_and_objective():
    gan = tiny_gan({"adversarial": NonSaturating(), "r1": R1(1.0)})
    trainer = quiet_trainer()
    trainer.fit(gan, Batches(gan))
    assert set(gan.losses) == {"discriminator/adversarial", "discriminator/r1", "generator/adversarial"}
    assert not any(loss.requires_grad for loss in gan.losses.values())


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("max_iterations", 0, "max_iterations must be a whole number of at least 1, not 0"),
        ("max_iterations", 2.5, "max_iterations must be a whole number of at least 1, not 2.5"),
        ("micro_batches", "two", "micro_batches must be a whole number of at least 1, not 'two'"),
        ("discriminator_steps", 0, "loss.discriminator_steps must be a whole number of at least 1, not 0"),
        ("clip_gradient_norm", 0, "clip_gradient_norm must be above 0, not 0"),
        ("clip_gradient_norm", "much", "clip_gradient_norm must be a finite number, not 'much'"),
    ],
)
def test_settings_out_of_range_are_an_error_that_names_the_key(setting: str, value: Any, words: str):
    with pytest.raises(ValueError, match=f"^{words}$"):
        tiny_gan(**{setting: value})


def test_lightnings_own_way_to_load_names_ours():
    with pytest.raises(TypeError, match=r"^GAN\.load_from_checkpoint cannot .*gl\.load\(\.\.\.\)`$"):
        GAN.load_from_checkpoint("last.ckpt", map_location="cpu")
