"""Games that go well raise no alarm, and are played as if nothing watched them."""

from __future__ import annotations

import pytest
import torch
from helpers.compose import composed, job_part
from helpers.watched_games import data, found, game, play
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import SGD

from gan_lightning.callbacks.health import Health
from gan_lightning.diagnostics.finite import largest_weights
from gan_lightning.diagnostics.symptoms import AT_ONCE, MOST_WEIGHT
from gan_lightning.game import Batch
from gan_lightning.gan import GAN
from gan_lightning.losses.adversarial import NonSaturating, Wasserstein


def test_a_discriminator_that_wins_and_teaches_is_well():
    health = Health(every=10, probe_every=10)
    gan = game(max_iterations=60, rates=(1e-4, 0.05))
    play(gan, health, source=data(mean=8.0))
    assert found(health) == []


class Small(nn.Module):
    """A critic whose scores are as small as those of clipped weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1e-5))

    def forward(self, samples: Tensor) -> Tensor:
        return self.weight * samples[:, 0] + 0.001


def test_a_critic_of_small_scores_is_not_dead():
    health, doubtful = Health(every=1, probe_every=1), Health(every=1, probe_every=1)
    for part, loss in ((health, Wasserstein()), (doubtful, NonSaturating())):
        play(game(discriminator=Small(), objectives={"adversarial": loss}, optimizer=SGD, rates=(0, 0)), part)
    assert found(health) == []
    assert found(doubtful) == [("discriminator_dead", 1, None)]  # as log-odds they would say nothing


def spectral_game(max_iterations: int = 6) -> GAN:
    torch.manual_seed(0)
    network = nn.Sequential(spectral_norm(nn.Linear(1, 8)), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))
    return game(discriminator=nn.Sequential(network, nn.Flatten(0)), max_iterations=max_iterations)


def test_the_game_is_bit_identical_with_and_without_it():
    watched, alone = spectral_game(), spectral_game()
    play(watched, Health(every=1, probe_every=1))
    play(alone)
    assert watched.generator.training and watched.discriminator.training
    for name, value in watched.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name


PUBLISHED = (
    *("dcgan_mnist10k", "mnist_mlp_digit2", "wgan", "began", "r3gan", "pacgan", "infogan"),
    *("cgan", "projection", "acgan", "cyclegan", "gaussian", "ring"),
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_first_looks_at_published_games_show_nothing(name: str):
    with composed(f"experiment={name}", "max_iterations=2", "data.batch_size=16") as config:
        job = job_part(config)
        torch.manual_seed(0)
        gan, source = (instantiate(part, _convert_="all") for part in (job.gan, job.data))
    seen: list[dict[str, str | None]] = []

    class Noting(Health):
        def examined(self, gan: GAN, real: Batch) -> dict[str, str | None]:
            seen.append(super().examined(gan, real))
            return seen[-1]

    health = Noting(every=1, probe_every=1, patience=1)
    play(gan, health, source=source)
    assert found(health) == []
    assert len(seen) == 2 and {"discriminator_wins", "discriminator_dead", "mode_collapse"} <= seen[0].keys()
    # Else there would be no need of a grace.
    assert (seen[0]["mode_collapse"] is None) == (name in ("cyclegan", "r3gan"))


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_a_healthy_toy_raises_no_alarm_and_stays_far_from_the_limits(rate: float):
    health = Health(every=20, probe_every=20, further=10 / 5, worse=100 / 5)
    gan = game(max_iterations=200, rates=(rate, rate))
    play(gan, health)
    assert not {symptom for symptom, _, _ in found(health)} & set(AT_ONCE)
    assert max(largest_weights(gan).values()) < MOST_WEIGHT / 20
    if rate == 1e-3:
        assert found(health) == []


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_data_far_from_the_start_are_no_alarm(mean: float):
    health = Health(every=5, probe_every=5)
    play(game(max_iterations=20), health, source=data(mean=mean))
    assert "samples_out_of_scale" not in [symptom for symptom, _, _ in found(health)]
