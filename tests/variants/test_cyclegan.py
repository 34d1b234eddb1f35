"""CycleGAN's prior, pool and terms against hand values and a pool that is a plain list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from composing import SMALL, composed, job_part
from hydra.utils import instantiate
from PIL import Image
from playing import play, tiny_gan, weights
from torch import Tensor, nn
from torch.optim import SGD

from gan_lightning.cli.session import train
from gan_lightning.data.base import Images
from gan_lightning.data.mnist import Mnist10k
from gan_lightning.data.unpaired import Domains, UnpairedImages
from gan_lightning.ema import Averaging
from gan_lightning.game import Latent, Objective, Round
from gan_lightning.gan import GAN
from gan_lightning.models.cyclegan import PatchOutput, TwoCritics, TwoTranslators
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


class Noisy(Known):
    """Images of noise: norms of constant ones would divide rounding errors by next to nothing."""

    def images(self, classes: Tensor, first: int) -> Images:
        rng = torch.Generator().manual_seed(first)
        return Images(torch.randint(256, (len(classes), 1, *SHAPE[1:]), dtype=torch.uint8, generator=rng), None)


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


def multiplying(a_to_b: float, b_to_a: float) -> TwoTranslators:
    network = TwoTranslators(SHAPE, width=1, blocks=1)
    network.a_to_b, network.b_to_a = Times(a_to_b), Times(b_to_a)  # type: ignore[assignment]
    return network


def pairs(*values: tuple[float, float]) -> Tensor:
    """Pairs of images of 16x16 pixels, each of one value."""
    return torch.tensor(values)[:, :, None, None].expand(-1, *SHAPE).clone()


def round_of(
    fake: Tensor, turn: int = 0, first: int = 0, batch_size: int | None = None, discriminator: nn.Module | None = None
) -> Round:
    """A turn of the discriminator with these fakes."""
    noise = Noise(0, "discriminator", "round", turn, first=first, batch_size=batch_size)
    real, critics = torch.ones_like(fake), discriminator or Brightness()
    return Round(nn.Identity(), critics, Latent(torch.zeros_like(fake)), real, fake, turn=turn, noise=noise)


def playing(values: Sequence[tuple[float, float]], network: TwoTranslators) -> Round:
    """A turn of the generator, with sources of these values."""
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


# The pool


class Listed:
    """The pool of one domain as the authors have it: a list, asked image by image."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[float] = []

    def query(self, image: float, place: int, coin: bool) -> float:
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        if coin:
            stored, self.images[place] = self.images[place], image
            return stored
        return image


@pytest.mark.parametrize(("pool_size", "batch_size"), [(50, 1), (7, 3), (6, 6), (8, 5)])
def test_the_pool_is_the_list_of_the_authors(pool_size: int, batch_size: int) -> None:
    """Given the same places and coins, image by image, also where the pool fills up within a batch."""
    objective = PatchLeastSquares(SHAPE, pool_size)
    lists = [Listed(pool_size), Listed(pool_size)]
    for turn in range(60):
        values = torch.rand(batch_size, 2)
        round = round_of(values[:, :, None, None].expand(-1, *SHAPE), turn)
        slots, swapped, _ = objective.places(round)
        expected = [
            [
                pool.query(values[row, side].item(), int(slots[row, side]), bool(swapped[row, side]))
                for row in range(batch_size)
            ]
            for side, pool in enumerate(lists)
        ]
        shown = objective.pooled(round)
        assert shown.shape == round.fake.shape
        assert (shown == shown[:, :, :1, :1]).all()
        assert shown[:, :, 0, 0].T.tolist() == expected
        objective.observe(round)
    kept = objective.images[:, :, 0, 0, 0].T.tolist()
    assert kept == [pool.images for pool in lists]


def test_half_are_swapped_for_any_place_and_each_domain_by_itself() -> None:
    objective = PatchLeastSquares(SHAPE, pool_size=10)
    objective.held.fill_(10)
    drawn = [objective.places(round_of(torch.zeros(4, *SHAPE), turn)) for turn in range(1000)]
    slots, swapped = (torch.stack([each[index] for each in drawn]) for index in (0, 1))
    assert all(len(set(column.tolist())) == 4 for turn in slots for column in turn.T)  # no two in one place
    shares = torch.stack([torch.bincount(slots[..., side].flatten(), minlength=10) for side in (0, 1)]) / 4000
    assert (shares - 0.1).abs().max() < 0.02
    assert (swapped.float().mean((0, 1)) - 0.5).abs().max() < 0.03
    for pair in (slots, swapped):
        same = (pair[..., 0] == pair[..., 1]).float().mean().item()
        assert same == pytest.approx(0.1 if pair is slots else 0.5, abs=0.03)


def kept(sent: list[Tensor], own: Tensor) -> Tensor:
    sent.append(own)
    return own


def mean_of(sent: list[Tensor], own: Tensor) -> Tensor:
    return torch.stack(sent).mean(0)


def test_ranks_and_pieces_share_one_pool() -> None:
    """What two ranks show and keep is what one of the whole batch shows and keeps."""
    whole = PatchLeastSquares(SHAPE, pool_size=5)
    ranks = [deepcopy(whole), deepcopy(whole)]
    for turn in range(20):
        fakes = torch.rand(4, *SHAPE)
        shown = whole.pooled(round_of(fakes, turn, batch_size=4))
        whole.observe(round_of(fakes, turn, batch_size=4))
        halves = [round_of(fakes[first : first + 2], turn, first, batch_size=4) for first in (0, 2)]
        assert torch.equal(torch.cat([rank.pooled(half) for rank, half in zip(ranks, halves, strict=True)]), shown)
        sent: list[Tensor] = []
        for rank, half in zip(ranks, halves, strict=True):
            half.over_ranks = partial(kept, sent)
            deepcopy(rank).observe(half)
        for rank, half in zip(ranks, halves, strict=True):
            half.over_ranks = partial(mean_of, sent)
            rank.observe(half)
        for rank in ranks:
            assert torch.equal(rank.bits, whole.bits) and rank.held == whole.held


def test_the_pool_is_kept_in_float32_and_is_no_weight_to_average() -> None:
    objective = PatchLeastSquares(SHAPE, pool_size=3)
    fakes = torch.rand(2, *SHAPE, dtype=torch.bfloat16)
    objective.observe(round_of(fakes))
    assert torch.equal(objective.images[:2].flatten(1, 2), fakes.float())
    assert not any(buffer.is_floating_point() for buffer in objective.buffers())
    again = PatchLeastSquares(SHAPE, pool_size=3)
    again.load_state_dict(objective.state_dict())
    assert torch.equal(again.images, objective.images) and again.held == 2


def test_a_batch_larger_than_the_pool_is_refused_and_no_pool_is_none() -> None:
    with pytest.raises(ValueError, match=r"pool_size=3 must not be smaller than data\.batch_size=4"):
        PatchLeastSquares(SHAPE, pool_size=3).discriminator(round_of(torch.zeros(4, *SHAPE)))
    with pytest.raises(ValueError, match=r"loss\.objectives\.adversarial\.pool_size must be"):
        PatchLeastSquares(SHAPE, pool_size=-1)
    none, fresh = PatchLeastSquares(SHAPE, pool_size=0), PatchLeastSquares(SHAPE, pool_size=4)
    round = round_of(torch.rand(4, *SHAPE))
    assert none.discriminator(round) == fresh.discriminator(round)
    assert "fake_output" in round.__dict__
    none.observe(round)


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
    for turn in range(5):
        latent = Latent(pairs((1.0, -2.0), (0.5, 0.5)))
        fake = network(latent)  # not detached, which the game does
        noise = Noise(0, turn)
        round = Round(network, Brightness(), latent, torch.ones_like(fake), fake, turn=turn, noise=noise)
        assert not objective.pooled(round).requires_grad
        assert all(gradients(objective.discriminator(round), round.discriminator))
        assert all(weight.grad is None for weight in network.parameters())
        with torch.no_grad():
            objective.observe(round)
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


# The game


def game(iterations: int, **settings: Any) -> GAN:
    torch.manual_seed(0)

    def optimizer(weights: Any) -> SGD:
        return SGD(weights, lr=1e-2)

    return GAN(
        TwoTranslators(SHAPE, width=2, blocks=1, halvings=1),
        TwoCritics(SHAPE, width=2, depth=1),
        SourceImages(Noisy()),
        {"adversarial": PatchLeastSquares(SHAPE, 5), "cycle": CycleConsistency(), "identity": IdentityMapping()},
        optimizer,
        optimizer,
        Averaging(20, ramp_up=None),
        iterations,
        **{"share_fakes": True, **settings},
    )


class Pairs:
    """Endless pairs; those of a turn are a function of the turn."""

    def __init__(self, gan: GAN) -> None:
        self.gan = gan

    def __iter__(self) -> Any:
        turn = self.gan.turns
        while True:
            yield torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(turn)) * 2 - 1, None
            turn += 1


def run(gan: GAN, monkeypatch: pytest.MonkeyPatch, ckpt_path: Any = None) -> Any:
    monkeypatch.setattr("playing.Batches", lambda gan, size: Pairs(gan))
    return play(gan, ckpt_path=ckpt_path)


def test_pieces_of_a_batch_play_the_same_game(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = game(4), game(4, micro_batches=3)
    run(whole, monkeypatch)
    run(pieces, monkeypatch)
    for player in ("generator", "discriminator"):
        torch.testing.assert_close(weights(getattr(pieces, player)), weights(getattr(whole, player)))
    pools = [gan.objectives.get_buffer("adversarial.bits").view(torch.float32) for gan in (whole, pieces)]
    torch.testing.assert_close(*pools)
    assert pools[0].any()


def test_a_continued_run_has_its_pool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    through, first, second = game(6), game(3), game(6)
    run(through, monkeypatch)
    run(first, monkeypatch).save_checkpoint(tmp_path / "half.ckpt")
    run(second, monkeypatch, ckpt_path=tmp_path / "half.ckpt")
    assert through.objectives["adversarial"].held == 5
    for name, value in through.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


@pytest.mark.parametrize("channels", [1, 3])
def test_two_folders_are_all_it_takes(channels: int, tmp_path: Path) -> None:
    for name, colours in (("a", ["red", "blue"]), ("b", ["green", "white", "black"])):
        (tmp_path / name).mkdir()
        for colour in colours:
            Image.new("RGB", (20, 24), colour).save(tmp_path / name / f"{colour}.png")
    folders = ["data=unpaired_folders", *(f"data.{name}={tmp_path / name}" for name in "ab")]
    small = [
        "data.image_size=16",
        f"data.channels={channels}",
        "model.generator.width=2",
        "model.discriminator.width=2",
    ]
    choices = ["variant=cyclegan", *folders, *small, *SMALL, "metrics.num_fakes=7", "callbacks.samples.count=2"]
    directory = tmp_path / "run"
    with composed(*choices, directory=directory) as config:
        train(job_part(config))
    result = json.loads((directory / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["final"]["val/swd"] > 0
    picture = Image.open(directory / "samples" / "iteration_000002.png")
    assert picture.width > 0
    content = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    assert not any(name.startswith("prior") for name in content["state_dict"])


def test_its_file_makes_the_published_game() -> None:
    with composed("variant=cyclegan") as config:
        gan = instantiate(job_part(config).gan, _convert_="all")
        assert config.hydra.runtime.choices.data == "digit_outlines"
        assert config.hydra.runtime.choices.metrics == "translation"
    parts = gan.objectives
    assert {name: type(part) for name, part in parts.items()} == {
        "adversarial": PatchLeastSquares,
        "cycle": CycleConsistency,
        "identity": IdentityMapping,
    }
    assert (parts["adversarial"].pool_size, parts["cycle"].weight, parts["identity"].weight) == (50, 10, 5)
    assert gan.share_fakes
