"""Losses of energies against hand values, closed forms and an independent controller."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_gan import Batches, TinyGenerator, play, quiet_trainer, tiny_gan
from torch import Tensor, nn
from torch.nn import functional as F

from gan_lightning.callbacks.scalars import LogScalars
from gan_lightning.game import Latent, Round, concatenate_records
from gan_lightning.gan import GAN
from gan_lightning.loggers import MetricsCSV
from gan_lightning.losses.energy import BoundaryEquilibrium, EnergyBased, EnergyOutput
from gan_lightning.models.autoencoder import Autoencoder


class Given(nn.Module):
    """A discriminator whose samples are their own energies, scaled."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, samples: Tensor) -> EnergyOutput:
        return EnergyOutput(-self.scale * samples)


def scored(real: list[float], fake: list[float], scale: float = 1.0) -> Round:
    """A round whose energies are `scale` times `real` and `fake`."""
    sides = torch.tensor(real), torch.tensor(fake, requires_grad=True)
    return Round(nn.Identity(), Given(scale), Latent(torch.zeros(len(fake), 1)), *sides)


def test_energies_are_minus_the_logits() -> None:
    output = scored([0.5, 2.0], [1.0]).real_output
    assert isinstance(output, EnergyOutput)
    assert output.logits.tolist() == [-0.5, -2.0]
    assert output.energies.tolist() == [0.5, 2.0]
    half = EnergyOutput(torch.tensor([-0.5]).bfloat16())
    assert half.energies.dtype == torch.float32
    both = concatenate_records([output, output])
    assert isinstance(both, EnergyOutput)
    assert both.energies.tolist() == [0.5, 2.0, 0.5, 2.0]


def test_the_margin_is_each_samples_own() -> None:
    round = scored([0.25, 0.75], [3.0, 0.5])
    assert EnergyBased(margin=1.0).discriminator(round).item() == 0.5 + (0 + 0.5) / 2
    of_the_mean = 0.5 + max(0, 1 - 1.75)
    assert EnergyBased(margin=1.0).discriminator(round).item() != of_the_mean
    assert EnergyBased(margin=1.0).generator(round).item() == 1.75


def test_the_margin_loss_is_a_hinge_embedding_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = (4 * torch.rand(9, generator=generator) for _ in range(2))
    round = scored(real.tolist(), fake.tolist())
    expected = F.hinge_embedding_loss(real, torch.ones(9), margin=1.7)
    expected += F.hinge_embedding_loss(fake, -torch.ones(9), margin=1.7)
    torch.testing.assert_close(EnergyBased(margin=1.7).discriminator(round), expected)


def test_a_fake_above_the_margin_is_left_alone() -> None:
    round = scored([0.25], [3.0, 0.5])
    (slope,) = torch.autograd.grad(EnergyBased(margin=1.0).discriminator(round), round.fake)
    assert slope.tolist() == [0, -0.5]
    round = scored([0.25], [3.0, 0.5])
    (slope,) = torch.autograd.grad(EnergyBased(margin=1.0).generator(round), round.fake)
    assert slope.tolist() == [0.5, 0.5]  # the generator's side has no margin


def test_k_weighs_the_fakes_in_the_discriminators_loss() -> None:
    loss, round = BoundaryEquilibrium(), scored([1.0, 3.0], [0.5, 1.5])
    assert loss.discriminator(round).item() == 2
    loss.k.fill_(0.25)
    assert loss.discriminator(round).item() == 2 - 0.25
    assert loss.generator(round).item() == 1
    (slope,) = torch.autograd.grad(loss.discriminator(round), round.fake)
    assert slope.tolist() == [-0.125, -0.125]


def test_k_follows_the_balance_within_its_bounds() -> None:
    """A controller of its own, in plain numbers."""
    loss, k = BoundaryEquilibrium(gamma=0.5, lambda_k=0.3), 0.0
    seen = []
    for real, fake in [(4.0, 0.5), (4.0, 0.5), (4.0, 0.0), (1.0, 2.0), (1.0, 3.0), (2.0, 0.7)]:
        loss.discriminator(scored([real], [fake]))
        assert loss.k.item() == pytest.approx(k)  # a term moves nothing
        loss.after_discriminator_step(scored([real - 0.2, real + 0.2], [fake, fake]))
        k = min(max(k + 0.3 * (0.5 * real - fake), 0.0), 1.0)
        seen.append(k)
        assert loss.k.item() == pytest.approx(k)
        assert loss.convergence.item() == pytest.approx(real + abs(0.5 * real - fake))
    assert 1.0 in seen
    assert any(0 < k < 1 for k in seen)
    assert {name for name, _ in loss.named_buffers()} == {"k", "convergence"}  # so a checkpoint has them


def test_k_is_still_at_equilibrium() -> None:
    loss = BoundaryEquilibrium(gamma=0.5, lambda_k=0.3)
    loss.k.fill_(0.4)
    loss.after_discriminator_step(scored([2.0, 4.0], [1.0, 2.0]))
    assert loss.k.item() == pytest.approx(0.4)
    assert loss.convergence.item() == pytest.approx(3.0)  # nothing but the energy of data


def test_k_follows_the_mean_over_all_devices() -> None:
    other = {"real": 6.0, "fake": 0.0}
    loss, alone = BoundaryEquilibrium(gamma=0.5, lambda_k=0.1), BoundaryEquilibrium(gamma=0.5, lambda_k=0.1)
    round = scored([2.0], [1.0])
    elsewhere = iter(other.values())
    round.all_reduce_mean = lambda mean: (mean + next(elsewhere)) / 2
    loss.after_discriminator_step(round)
    alone.after_discriminator_step(scored([2.0, 6.0], [1.0, 0.0]))
    torch.testing.assert_close(loss.k, alone.k)
    torch.testing.assert_close(loss.convergence, alone.convergence)


def autoencoding(micro_batches: int = 1) -> GAN:
    """A tiny game of energies."""
    gan = tiny_gan({"adversarial": BoundaryEquilibrium(lambda_k=0.1)}, max_iterations=4, micro_batches=micro_batches)
    torch.manual_seed(0)
    gan.discriminator = Autoencoder((2,), code_dim=3, width=2, error="absolute")
    gan.generator = TinyGenerator()
    return gan


def test_micro_batches_move_k_as_the_whole_batch() -> None:
    whole, pieces = autoencoding(), autoencoding(micro_batches=3)
    play(whole)
    play(pieces)
    for name, value in whole.objectives["adversarial"].state_dict().items():
        torch.testing.assert_close(pieces.objectives["adversarial"].state_dict()[name], value, rtol=1e-4, atol=1e-6)
        assert value.item() > 0, name


def test_the_measure_of_convergence_is_in_the_log(tmp_path: Path) -> None:
    gan = autoencoding()
    logger = MetricsCSV(tmp_path / "metrics.csv")
    quiet_trainer(callbacks=[LogScalars(every=4)], logger=logger).fit(gan, Batches(gan))
    text = (tmp_path / "metrics.csv").read_text().splitlines()
    row = dict(zip(text[0].split(","), text[-1].split(","), strict=True))
    loss = gan.objectives["adversarial"]
    assert isinstance(loss, BoundaryEquilibrium)
    assert float(row["adversarial/convergence"]) == pytest.approx(loss.convergence.item())
    assert float(row["adversarial/k"]) == pytest.approx(loss.k.item())


@pytest.mark.parametrize("loss", [EnergyBased(), BoundaryEquilibrium()])
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_scores_are_refused_with_the_way_out(loss: EnergyBased | BoundaryEquilibrium, player: str) -> None:
    round = Round(nn.Identity(), nn.Identity(), Latent(torch.zeros(2, 1)), torch.ones(2), torch.ones(2))
    with pytest.raises(ValueError, match="needs a discriminator that gives energies: choose model=autoencoder"):
        getattr(loss, player)(round)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EnergyBased(margin=0.0), r"loss\.objectives\.adversarial\.margin must be above 0, not 0"),
        (lambda: EnergyBased(margin=float("nan")), r"adversarial\.margin must be above 0, not nan"),
        (lambda: BoundaryEquilibrium(gamma=1.5), r"adversarial\.gamma must be in \[0, 1\], not 1\.5"),
        (lambda: BoundaryEquilibrium(lambda_k=0.0), r"adversarial\.lambda_k must be above 0, not 0"),
    ],
)
def test_bad_settings_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
