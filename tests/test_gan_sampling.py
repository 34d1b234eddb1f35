"""What a GAN draws and generates: latents, samples and scores."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_gan import play, tiny_gan
from torch import Tensor

from gan_lightning.priors import ClassConditional, Gaussian
from gan_lightning.randomness import generator_for


def test_ranks_take_consecutive_rows_of_one_global_batch():
    gan = tiny_gan()

    def rows(rank: int, world_size: int) -> Tensor:
        gan.rank, gan.ranks, gan.rng = rank, world_size, torch.Generator()
        return gan.batch_latents(8 // world_size, "generator").z

    whole = rows(0, 1)
    for world_size in (2, 4):
        assert torch.equal(torch.cat([rows(rank, world_size) for rank in range(world_size)]), whole)
    gan.state.discriminator_updates += 1
    assert not torch.equal(rows(0, 1), whole)


def test_fixed_latents_are_fixed():
    gan = tiny_gan()
    drawn = gan.fixed_latents(4, "samples").z
    play(gan)
    assert torch.equal(gan.fixed_latents(4, "samples").z, drawn)
    assert not torch.equal(gan.fixed_latents(4, "evaluation").z, drawn)
    assert not torch.equal(tiny_gan(seed=1).fixed_latents(4, "samples").z, drawn)


def test_generate_uses_the_averaged_generator_in_evaluation_mode():
    gan = tiny_gan(batch_norm=True)
    play(gan)
    latent = gan.fixed_latents(4, "samples")
    samples = gan.generate(latent)
    assert torch.equal(samples, gan.averaged_generator.eval()(latent))
    torch.testing.assert_close(gan.generate(latent[1:2]), samples[1:2])  # a sample does not depend on its batch
    assert not samples.requires_grad
    assert gan.generator.training


def test_score_leaves_the_discriminator_as_it_was():
    gan = tiny_gan()
    logits = gan.score(torch.ones(4, 2))
    assert logits.shape == (4,)
    assert not logits.requires_grad
    assert gan.discriminator.training


def test_a_sample_is_a_function_of_seed_and_number():
    gan = tiny_gan(batch_norm=True)
    samples = gan.sample(700)
    assert samples.shape == (700, 2)
    assert samples.dtype == torch.float32
    assert not samples.requires_grad
    latent = gan.prior.sample(700, generator_for(0, "samples"))
    torch.testing.assert_close(samples, gan.generate(latent))
    assert torch.equal(gan.sample(700), samples)
    assert not torch.equal(gan.sample(700, seed=1), samples)


def test_samples_of_truncated_noise_leave_the_prior_as_it_was():
    gan = tiny_gan()
    gan.averaged_generator.forward = lambda latent: latent.z
    wide = gan.sample(500)
    assert gan.sample(500, truncation=0.5).abs().max() <= 0.5
    assert wide.abs().max() > 2
    assert torch.equal(gan.sample(500), wide)


def test_samples_are_conditioned_on_their_labels():
    gan = tiny_gan()
    gan.prior = ClassConditional(3, Gaussian(3), 4)
    gan.averaged_generator.forward = lambda latent: latent.labels
    assert gan.sample(6, labels=[3, 1]).tolist() == [3, 3, 3, 1, 1, 1]
    with pytest.raises(ValueError, match="class"):
        tiny_gan().sample(6, labels=[3])
