"""What a step is made of: its fakes, its micro-batches, its noise and what objectives see after it."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from helpers.tiny_gan import TinyDiscriminator, TinyGenerator, batch_of, play, tiny_gan, weights
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_lightning.game import Latent, Objective, Round, concatenate_rounds
from gan_lightning.losses.adversarial import NonSaturating, Wasserstein
from gan_lightning.randomness import Noise, generator_for
from gan_lightning.regularizers.gradient_penalties import GradientPenalty

SGD = partial(torch.optim.SGD, lr=0.1)


def test_shared_fakes_are_the_discriminators_own_written_by_hand():
    """One pass through the generator an iteration: its update sees the discriminator's fakes, after that one's step."""
    gan, twin = (tiny_gan(share_fakes=True, max_iterations=3, optimizer=SGD) for _ in range(2))
    generator, discriminator = twin.generator, twin.discriminator
    of_g, of_d = SGD(generator.parameters()), SGD(discriminator.parameters())
    for step in range(3):
        fake = generator(Latent(torch.randn(8, 3, generator=generator_for(0, "discriminator", step))))
        scores, of_fakes = discriminator(batch_of(step)).logits, discriminator(fake.detach()).logits
        of_d.zero_grad()
        (softplus(-scores).mean() + softplus(of_fakes).mean()).backward()
        of_d.step()
        of_g.zero_grad()
        softplus(-discriminator(fake).logits).mean().backward()
        of_g.step()
    play(gan)
    torch.testing.assert_close(weights(gan.generator), weights(generator))
    torch.testing.assert_close(weights(gan.discriminator), weights(discriminator))


@pytest.mark.parametrize("share_fakes", [False, True])
def test_passes_through_the_generator(share_fakes: bool):
    """One for each player's update; with shared fakes one for both, and the critic's own updates as before."""
    gan = tiny_gan(share_fakes=share_fakes, max_iterations=2, discriminator_steps=3)
    passes: list[bool] = []
    gan.generator.register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    play(gan)
    assert passes == 2 * ([False, False, True] if share_fakes else [False, False, False, True])


@pytest.mark.parametrize("share_fakes", [False, True])
def test_micro_batches_take_their_rows_of_one_noise(share_fakes: bool):
    """The mixing weights of a gradient penalty, with a batch that the parts do not divide evenly."""
    objectives = {"adversarial": Wasserstein(), "gradient_penalty": GradientPenalty()}
    whole, parts = (
        tiny_gan(objectives, micro_batches=count, optimizer=SGD, share_fakes=share_fakes) for count in (1, 3)
    )
    play(whole, size=10)
    play(parts, size=10)
    torch.testing.assert_close(weights(parts.discriminator), weights(whole.discriminator))
    torch.testing.assert_close(weights(parts.generator), weights(whole.generator))


def test_the_noise_of_a_round_is_its_rows_of_the_global_batch():
    whole = Noise(0, "round", batch_size=8)
    first = whole.uniform(8, (1, 1), torch.device("cpu"))
    second = whole.normal(8, (2,), torch.device("cpu"))
    assert first.shape == (8, 1, 1)
    assert 0 <= first.min() < first.max() < 1
    parts = [Noise(0, "round", first=start, batch_size=8) for start in (0, 2)]
    taken = [part.uniform(count, (1, 1), torch.device("cpu")) for part, count in zip(parts, (2, 6), strict=True)]
    assert torch.equal(torch.cat(taken), first)
    taken = [part.normal(count, (2,), torch.device("cpu")) for part, count in zip(parts, (2, 6), strict=True)]
    assert torch.equal(torch.cat(taken), second)
    assert not torch.equal(Noise(1, "round").uniform(8, (1, 1), torch.device("cpu")), first)


class NoteNoise(Objective):
    """Keeps what it draws."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[Tensor] = []

    def discriminator(self, round: Round) -> None:
        self.drawn.append(round.normal(2))

    def generator(self, round: Round) -> None:
        self.drawn.append(round.normal(2))


def test_noise_differs_by_player_and_step_and_repeats_with_the_run():
    notes = []
    for _ in range(2):
        note = NoteNoise()
        play(tiny_gan({"adversarial": NonSaturating(), "note": note}, max_iterations=2))
        notes.append(torch.stack(note.drawn))
    assert torch.equal(notes[0], notes[1])
    assert len(notes[0].flatten().unique()) == notes[0].numel() == 4 * 8 * 2


class Dropping(TinyDiscriminator):
    def __init__(self) -> None:
        super().__init__()
        self.layers.append(nn.Dropout(0.5))


def test_dropout_is_a_function_of_seed_and_step_alone():
    def played(disturb: bool) -> Tensor:
        gan = tiny_gan()
        gan.discriminator = Dropping()
        gan.discriminator.load_state_dict(tiny_gan().discriminator.state_dict())
        gan.make_optimizers = (SGD, SGD)
        if disturb:
            torch.manual_seed(99)
        play(gan)
        return weights(gan.discriminator)

    assert torch.equal(played(disturb=True), played(disturb=False))


class Following(Objective):
    """State that follows the scores of the fakes, as a stateful objective does."""

    level: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(()))
        self.sizes: list[int] = []

    def discriminator(self, round: Round) -> Tensor:
        return self.level * round.fake_logits.mean()

    def after_discriminator_step(self, round: Round) -> None:
        self.sizes.append(len(round.real))
        self.level += round.global_mean(round.fake_logits)


def test_state_follows_the_whole_batch_however_it_is_cut():
    states = []
    for parts in (1, 3):
        following = Following()
        play(tiny_gan({"adversarial": NonSaturating(), "x": following}, micro_batches=parts, optimizer=SGD), size=10)
        assert following.sizes == [10] * 3
        states.append(following.level)
    torch.testing.assert_close(*states)
    assert states[0] != 0


def test_concatenated_rounds_keep_rows_and_outputs_in_order():
    generator, discriminator = TinyGenerator(), TinyDiscriminator()
    z, real, labels = torch.randn(4, 3), torch.randn(4, 2), torch.arange(4)

    def round_of(rows: slice) -> Round:
        latent = Latent(z[rows])
        return Round(
            generator, discriminator, latent, real[rows], generator(latent), labels[rows], discriminator_updates=5
        )

    parts = [round_of(slice(0, 1)), round_of(slice(1, 4))]
    for part in parts:
        part.fake_output  # noqa: B018 (asked for, so kept)
    whole = concatenate_rounds(parts)
    assert torch.equal(whole.latent.z, z)
    assert torch.equal(whole.real, real)
    assert whole.labels is not None
    assert torch.equal(whole.labels, labels)
    assert whole.discriminator_updates == 5
    calls: list[int] = []
    discriminator.register_forward_hook(lambda *_: calls.append(1))
    for field in ("logits", "features"):
        expected = torch.cat([getattr(part.fake_output, field) for part in parts])
        assert torch.equal(getattr(whole.fake_output, field), expected)
    assert not calls
    assert len(whole.real_logits) == 4
    assert concatenate_rounds(parts[:1]) is parts[0]
