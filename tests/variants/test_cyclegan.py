"""CycleGAN's prior and terms against hand values, and who learns from what."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from helpers.tiny_gan import tiny_gan
from torch import Tensor, nn

from gan_lightning.data.image_data import Images
from gan_lightning.data.mnist import Mnist10k
from gan_lightning.data.unpaired import Domains, UnpairedImages
from gan_lightning.game import Latent, Objective, Round
from gan_lightning.models.cyclegan import CycleGANGenerators, PatchOutput
from gan_lightning.randomness import Noise, generator_for
from gan_lightning.variants.cyclegan import CycleConsistency, IdentityMapping, PatchLeastSquares, SourceImages

SHAPE = (2, 16, 16)


class Known(UnpairedImages):
    """Four images of A, of the classes 0 to 3 and the values 0 to 3, and six of B: 5 to 10, and 105 to 110."""

    def __init__(self, labelled: bool = True) -> None:
        super().__init__(shape=SHAPE, num_classes=None, value_range=[-1, 1], batch_size=4, seed=0)
        self.labelled = labelled

    def read(self) -> Domains:
        a, b = (self.images(torch.arange(*ends), first) for ends, first in (((0, 4), 0), ((5, 11), 100)))
        return Domains(a, b)

    def images(self, classes: Tensor, first: int) -> Images:
        pixels = (first + classes)[:, None, None, None].expand(-1, 1, *SHAPE[1:]).to(torch.uint8)
        return Images(pixels, classes if self.labelled else None)


class Times(nn.Module):
    """A translator that multiplies."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * images


class Brightness(nn.Module):
    """Critics with one patch a pixel, whose score is a weight times its value: 1 for A, 2 for B."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, samples: Tensor) -> PatchOutput:
        patches = samples * self.weight[:, None, None]
        return PatchOutput(patches.mean((1, 2, 3)), patches=patches)


def multiplying(a_to_b: float, b_to_a: float) -> CycleGANGenerators:
    network = CycleGANGenerators(SHAPE, width=1, blocks=1)
    network.a_to_b, network.b_to_a = Times(a_to_b), Times(b_to_a)  # type: ignore[assignment]
    return network


def pairs(*values: tuple[float, float]) -> Tensor:
    """Pairs of images of 16x16 pixels, each of one value."""
    return torch.tensor(values)[:, :, None, None].expand(-1, *SHAPE).clone()


def round_of(fake: Tensor) -> Round:
    """A step of the discriminator with these fakes."""
    return Round(nn.Identity(), Brightness(), Latent(torch.zeros_like(fake)), torch.ones_like(fake), fake)


def playing(values: Sequence[tuple[float, float]], network: CycleGANGenerators) -> Round:
    """A step of the generator, with sources of these values."""
    latent = Latent(pairs(*values))
    return Round(network, Brightness(), latent, torch.ones_like(latent.z), network(latent))


# The prior


def test_sources_are_images_of_their_domains_with_their_classes() -> None:
    latent = SourceImages(Known()).sample(200, generator_for(0))
    values = ((latent.z + 1) * 127.5).round()
    assert (values == values[:, :, :1, :1]).all()
    assert latent.labels is not None
    assert torch.equal(values[:, :, 0, 0].long(), latent.labels + torch.tensor([0, 100]))
    assert sorted(latent.labels[:, 0].unique().tolist()) == [0, 1, 2, 3]
    assert sorted(latent.labels[:, 1].unique().tolist()) == [5, 6, 7, 8, 9, 10]
    assert len(latent.labels.unique(dim=0)) == 24  # independent of each other


def test_sources_are_a_function_of_their_randomness() -> None:
    prior = SourceImages(Known(labelled=False))
    first, again, other = (prior.sample(20, generator_for(seed)) for seed in (0, 0, 1))
    assert first.labels is None
    assert torch.equal(first.z, again.z) and not torch.equal(first.z, other.z)
    assert torch.equal(prior.noise(20, generator_for(0)), first.z)
    assert prior.dim == first.z[0].numel()


def test_sources_are_bytes_beside_the_weights_and_in_no_checkpoint() -> None:
    prior = SourceImages(Known())
    assert not prior.state_dict()
    assert {name: buffer.dtype for name, buffer in prior.named_buffers() if name in "ab"} == {
        "a": torch.uint8,
        "b": torch.uint8,
    }
    assert all(buffer.device.type == "meta" for buffer in prior.to("meta").buffers())  # they go where the game goes


def test_other_data_are_refused() -> None:
    with pytest.raises(ValueError, match=r"choose data=digit_outlines or data=unpaired_folders"):
        SourceImages(Mnist10k(shape=[1, 28, 28], num_classes=10, value_range=[-1, 1], batch_size=1, seed=0))


# The terms


def test_scores_of_patches_by_hand() -> None:
    """Scores of data: 1 and 2. Of fakes .5 and -.25: .5 and -.5. The discriminator's side is halved."""
    objective, round = PatchLeastSquares(SHAPE), round_of(pairs((0.5, -0.25), (0.5, -0.25)))
    assert objective.discriminator(round).item() == pytest.approx((0 + 1) / 2 + (0.25 + 0.25) / 2)
    assert objective.generator(round).item() == pytest.approx(0.25 + 2.25)


def test_each_patch_is_regressed_by_itself() -> None:
    """A mean over patches of 1, where half of them score 0 and half 2, is no fake that convinces."""
    fake = torch.zeros(1, *SHAPE)
    fake[..., :8], fake[:, 1] = 2, 0.5
    assert PatchLeastSquares(SHAPE).generator(round_of(fake)).item() == 1


def test_there_and_back_by_hand() -> None:
    """a = 1, b = -2; F(G(a)) = .5 * 3 * a, so |.5| and |1| are missing."""
    round = playing([(1.0, -2.0), (1.0, -2.0)], multiplying(3.0, 0.5))
    assert CycleConsistency().generator(round).item() == pytest.approx(10 * (0.5 + 1.0))
    assert CycleConsistency(weight=2).generator(round).item() == pytest.approx(2 * 1.5)
    assert CycleConsistency().discriminator(round) is None


def test_staying_by_hand() -> None:
    """|F(a) - a| = .5 for a = 1, |G(b) - b| = 4 for b = -2."""
    round = playing([(1.0, -2.0)], multiplying(3.0, 0.5))
    term = IdentityMapping().generator(round)
    assert term is not None
    assert term.item() == pytest.approx(5 * (0.5 + 4))
    assert IdentityMapping(weight=0).generator(round) is None


def gradients(term: Tensor, network: nn.Module) -> list[float | None]:
    network.zero_grad()
    term.backward(retain_graph=True)
    return [None if weight.grad is None else weight.grad.norm().item() for weight in network.parameters()]


def test_who_learns_from_what() -> None:
    network = multiplying(3.0, 0.5)
    round = playing([(1.0, -2.0)], network)
    terms = [part.generator(round) for part in (PatchLeastSquares(SHAPE), CycleConsistency(), IdentityMapping())]
    for term in terms:
        assert term is not None
        assert all(gradients(term, network))
    assert gradients(terms[1] + terms[2], round.discriminator) == [None]  # type: ignore[operator]

    # The cycle's gradient by hand, times 10: d|FGa - a|/dG = F a, sign(FGa - a) = 1; d|GFb - b|/dG = -F b.
    assert gradients(terms[1], network) == pytest.approx([10 * (0.5 + 1.0), 10 * (3 + 6)])  # type: ignore[arg-type]


def test_the_pool_teaches_the_discriminator_alone() -> None:
    network = multiplying(3.0, 0.5)
    objective = PatchLeastSquares(SHAPE, pool_size=2)
    for step in range(5):
        latent = Latent(pairs((1.0, -2.0), (0.5, 0.5)))
        fake = network(latent)  # not detached, which the game does
        noise = Noise(0, step)
        round = Round(
            network, Brightness(), latent, torch.ones_like(fake), fake, discriminator_updates=step, noise=noise
        )
        assert not objective.pooled(round).requires_grad
        assert all(gradients(objective.discriminator(round), round.discriminator))
        assert all(weight.grad is None for weight in network.parameters())
        with torch.no_grad():
            objective.after_discriminator_step(round)
    assert not objective.bits.requires_grad


@pytest.mark.parametrize("part", [PatchLeastSquares(SHAPE), CycleConsistency(), IdentityMapping()])
def test_other_networks_are_refused(part: Objective) -> None:
    gan = tiny_gan()
    latent = Latent(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="choose model=cyclegan"):
        part.generator(Round(gan.generator, gan.discriminator, latent, torch.zeros(2, 2), gan.generator(latent)))


@pytest.mark.parametrize(("kind", "name"), [(CycleConsistency, "cycle"), (IdentityMapping, "identity")])
def test_bad_weights_are_refused(kind: type[CycleConsistency] | type[IdentityMapping], name: str) -> None:
    with pytest.raises(ValueError, match=rf"loss\.objectives\.{name}\.weight must be at least 0"):
        kind(-1.0)
