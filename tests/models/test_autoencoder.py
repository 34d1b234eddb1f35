"""The autoencoder that gives energies: what it rebuilds, what an energy is, and which losses it goes with."""

from __future__ import annotations

import pytest
import torch
from helpers.compose import answers, composed
from hydra.utils import instantiate
from torch import Tensor, nn

from gan_lightning.game import Latent, Round
from gan_lightning.losses.energy import BoundaryEquilibrium, EnergyBased
from gan_lightning.models.autoencoder import Autoencoder, make_generator
from gan_lightning.models.dcgan import DCGANGenerator
from gan_lightning.models.mlp import MLPGenerator
from gan_lightning.runs.compatibility import incompatibilities

SHAPES = [(1,), (2,), (1, 28, 28), (3, 32, 32), (1, 64, 64)]
Shape = tuple[int, ...]


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_weight_of_a_pair_learns(shape: Shape, norm: str) -> None:
    torch.manual_seed(0)
    generator = make_generator(6, shape, (-1, 1), width=4)
    discriminator = Autoencoder(shape, code_dim=5, width=4, norm=norm)
    latent = Latent(torch.randn(8, 6))
    round = Round(generator, discriminator, latent, real=torch.randn(8, *shape), fake=generator(latent))
    assert round.fake.shape == (8, *shape)
    for samples, output in ((round.real, round.real_output), (round.fake, round.fake_output)):
        assert output.features is not None
        assert output.features.shape == (8, 5)
        rebuilt = discriminator.decode(output.features)
        assert rebuilt.shape == samples.shape
        torch.testing.assert_close(-output.logits, (rebuilt - samples).square().flatten(1).mean(1))

    (EnergyBased(margin=9.0).discriminator(round) + 3 * EnergyBased().generator(round)).backward()  # not to cancel
    for player in (generator, discriminator):
        for name, weight in player.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.abs().max() > 0, name


class Halved(nn.Module):
    def forward(self, codes: Tensor) -> Tensor:
        return codes / 2


@pytest.mark.parametrize(("error", "energies"), [("squared", [1.0, 9.0]), ("absolute", [1.0, 3.0])])
def test_an_energy_is_one_samples_mean_error(error: str, energies: list[float]) -> None:
    """Networks that halve a sample: the error of x is x/2."""
    discriminator = Autoencoder((4,), error=error)
    discriminator.encode, discriminator.decode = nn.Sequential(nn.Identity()), nn.Sequential(Halved())
    output = discriminator(torch.tensor([[2.0, -2.0, 2.0, -2.0], [6.0, 6.0, -6.0, -6.0]]))
    assert output.energies.tolist() == energies
    assert output.logits.tolist() == [-energy for energy in energies]


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_only_batch_norm_mixes_samples(norm: str) -> None:
    torch.manual_seed(0)
    discriminator = Autoencoder((1, 32, 32), code_dim=5, width=4, norm=norm)
    images = torch.randn(4, 1, 32, 32)
    first, again = (discriminator(batch).logits[0] for batch in (images, torch.cat([images[:1], 2 * images[1:]])))
    assert torch.allclose(first, again, rtol=1e-5) == (norm != "batch")


def test_energies_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert Autoencoder((1, 28, 28), width=4)(torch.randn(2, 1, 28, 28)).logits.dtype == torch.float32


def test_it_learns_to_rebuild() -> None:
    """Data on a line in 8 dimensions, through a code of one number."""
    torch.manual_seed(0)
    network = Autoencoder((8,), code_dim=1, width=8)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    line = torch.randn(8)
    first = network(torch.randn(64, 1) * line).energies.mean().item()
    for _ in range(300):
        energy = network(torch.randn(64, 1) * line).energies.mean()
        optimizer.zero_grad()
        energy.backward()
        optimizer.step()
    assert energy.item() < 0.1 * first
    off_the_line = torch.randn(64, 1) * line + torch.randn(64, 8)
    assert network(off_the_line).energies.mean() > 5 * energy  # what it has not seen it rebuilds badly


def test_the_generator_suits_the_shape() -> None:
    assert isinstance(make_generator(6, (1, 28, 28), (-1, 1)), DCGANGenerator)
    vectors = make_generator(6, (2,), None)
    assert isinstance(vectors, MLPGenerator)
    assert vectors(Latent(100 * torch.randn(500, 6))).abs().max() > 1  # linear where the data are unbounded


@pytest.mark.parametrize(
    ("loss", "error", "norm"), [("began", "absolute", nn.Identity), ("ebgan", "squared", nn.BatchNorm2d)]
)
def test_an_energy_loss_sets_the_error_and_the_norm(loss: str, error: str, norm: type[nn.Module]) -> None:
    with composed(f"loss={loss}", "model=autoencoder") as config:
        discriminator = instantiate(config.model.discriminator)
        objective = instantiate(config.loss.objectives.adversarial)
        assert list(incompatibilities(config)) == []
    assert discriminator.error == error
    assert any(isinstance(module, nn.BatchNorm2d) for module in discriminator.modules()) == (norm is nn.BatchNorm2d)
    assert isinstance(objective, (EnergyBased, BoundaryEquilibrium))


@pytest.mark.parametrize("loss", answers("loss"))
def test_losses_of_energies_refuse_models_that_give_none(loss: str) -> None:
    with composed(f"loss={loss}") as config:
        problems = list(incompatibilities(config))
        if config.loss.get("energy") is None:
            assert problems == []
        else:
            (problem,) = problems
            assert problem.startswith(f"loss={loss} needs a discriminator that gives energies, and that of model=dcgan")
            assert "choose model=autoencoder" in problem


@pytest.mark.parametrize("data", ["gaussian", "ring", "mnist10k", "fashion_mnist"])
def test_it_takes_vectors_and_images(data: str) -> None:
    with composed(f"data={data}", "model=autoencoder", "loss=began") as config:
        assert list(incompatibilities(config)) == []


def test_other_images_are_refused_before_work_starts() -> None:
    with composed("data=image_folder", "data.root=.", "data.image_size=50", "model=autoencoder") as config:
        (problem,) = incompatibilities(config)
    assert problem.startswith("model=autoencoder takes images with sides of k * 2^n pixels")
    assert problem.endswith("choose data.image_size=48 or data.image_size=52")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Autoencoder((1, 30, 30)), r"model=autoencoder .* not data\.shape=\[1, 30, 30\]"),
        (lambda: make_generator(5, (0, 28, 28), None), r"model=autoencoder .* not data\.shape=\[0, 28, 28\]"),
        (lambda: Autoencoder((5, 5)), r"not data\.shape=\[5, 5\]"),
        (
            lambda: Autoencoder((2,), code_dim=0),
            r"model\.discriminator\.code_dim .*whole number of at least 1, not 0",
        ),
        (lambda: Autoencoder((2,), width=0), "whole number of at least 1, not 0"),
        (lambda: Autoencoder((2,), error="cubed"), r"error=cubed is unknown: choose squared or absolute"),
        (lambda: Autoencoder((1, 28, 28), norm="group"), r"norm=group is unknown"),
    ],
)
def test_what_cannot_be_made_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
