"""Every prior follows its law, takes labels or refuses them, is truncated, and is interpolated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from gan_lightning.game import Latent
from gan_lightning.priors import (
    ClassConditional,
    Gaussian,
    Prior,
    TruncatedGaussian,
    Uniform,
    lerp,
    slerp,
    spread_labels,
)
from gan_lightning.randomness import generator_for

PRIORS = {
    "gaussian": (Gaussian(3), stats.norm()),
    "uniform": (Uniform(3, low=-8.0, high=8.0), stats.uniform(-8, 16)),
    "uniform off centre": (Uniform(3, low=1.0, high=1.5), stats.uniform(1, 0.5)),
    **{f"truncated {t}": (TruncatedGaussian(3, t), stats.truncnorm(-t, t)) for t in (0.3, 1.0, 3.0)},
}


def rng() -> torch.Generator:
    return generator_for(0, "test")


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


@pytest.mark.parametrize(("prior", "law"), PRIORS.values(), ids=list(PRIORS))
def test_every_prior_follows_its_law_and_its_generator_alone(prior: Prior, law: stats.rv_continuous):
    latent = prior.sample(4000, generator_for(0, "test"))
    assert latent.z.shape == (4000, 3)
    assert latent.z.dtype == torch.float32
    for column in latent.z.T:
        assert stats.kstest(column.numpy(), law.cdf).pvalue > 1e-3
    torch.manual_seed(5)
    again = prior.sample(4000, generator_for(0, "test"))
    assert torch.equal(latent.z, again.z)
    assert not torch.equal(latent.z, prior.sample(4000, generator_for(1, "test")).z)


def test_bad_settings_are_refused_by_name():
    with pytest.raises(ValueError, match="prior.dim must be a whole number of at least 1"):
        Gaussian(0)
    with pytest.raises(ValueError, match="prior.low must be below prior.high"):
        Uniform(2, low=1.0, high=1.0)


@pytest.mark.parametrize("prior", [Gaussian(3), Uniform(3), TruncatedGaussian(3, 1.0)])
def test_labels_of_a_prior_that_is_not_class_conditional_are_refused(prior: Prior) -> None:
    with pytest.raises(ValueError, match="not class-conditional: leave labels"):
        prior.sample(2, rng(), labels=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="not class-conditional: leave labels"):
        prior.grid(2, rng(), classes=[0])


class Within(Prior):
    """A user's own prior: two priors in a list."""

    def __init__(self) -> None:
        super().__init__(5)
        self.parts = nn.ModuleList([Gaussian(2), Uniform(3)])

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.cat([part.noise(count, rng) for part in self.parts if isinstance(part, Prior)], dim=1)


@pytest.mark.parametrize("prior", [Gaussian(2), ClassConditional(2, Gaussian(2), num_classes=4), Within()])
def test_a_truncated_prior_has_truncated_gaussian_noise_and_the_original_stays(prior: Prior) -> None:
    before = prior.sample(500, rng()).z
    truncated = prior.truncated(0.1)
    z = truncated.sample(500, rng()).z
    assert z[:, :2].abs().max() <= 0.1 < before[:, :2].abs().max()
    assert z[:, 2:].numel() == 0 or z[:, 2:].abs().max() > 0.9, "other noise is not truncated"
    assert torch.equal(prior.sample(500, rng()).z, before)
    assert truncated.truncated(0.05).sample(500, rng()).z[:, :2].abs().max() <= 0.05
    assert truncated.truncated(3.0).sample(500, rng()).z[:, :2].abs().max() <= 0.1


@pytest.mark.parametrize("prior", [Uniform(3), ClassConditional(3, Uniform(3), num_classes=4)])
def test_noise_that_is_not_gaussian_is_not_truncated(prior: Prior) -> None:
    with pytest.raises(ValueError, match=r"truncation=0\.5 is for Gaussian noise"):
        prior.truncated(0.5)
    with pytest.raises(ValueError, match="truncation must be above 0"):
        ClassConditional(3, Gaussian(3), num_classes=4).truncated(0)


@pytest.mark.parametrize("classes", [[], 3, [1.5], ["1"], [-1], [0, 1, 2, 3]])
def test_labels_that_cannot_be_spread_are_refused(classes: Any) -> None:
    with pytest.raises(ValueError, match=r"labels must be a list|number in labels|count=3 is fewer than the 4 classes"):
        spread_labels(classes, 3)


def test_only_a_prior_with_codes_is_traversed() -> None:
    with pytest.raises(ValueError, match="traverse=true is for a model with learned codes"):
        Gaussian(3).traverse(4, rng())


def test_slerp_is_uniform_motion_on_a_circle() -> None:
    start, end = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    share = column(0, 1 / 6, 1 / 3, 0.5, 1)
    angles = share * math.pi / 2
    expected = 3 * torch.cat([angles.cos(), angles.sin()], dim=1)
    torch.testing.assert_close(slerp(start.expand(5, -1), end.expand(5, -1), share), expected)


def test_between_gaussian_samples_the_norm_stays_that_of_samples_where_a_line_loses_it() -> None:
    start, end = Gaussian(1000).noise(200, rng()).chunk(2)
    half = torch.full((100, 1), 0.5)
    radius = math.sqrt(1000)
    assert (slerp(start, end, half).norm(dim=1) / radius - 1).abs().max() < 0.1
    assert (lerp(start, end, half).norm(dim=1) / radius - math.sqrt(0.5)).abs().max() < 0.1


@pytest.mark.parametrize(("start", "end"), [(1.0, 2.0), (-1.0, 2.0), (2.0, 2.0)])
def test_vectors_on_one_line_have_the_line_between_them(start: float, end: float) -> None:
    share = column(0, 0.25, 1)
    way = slerp(torch.full((3, 1), start), torch.full((3, 1), end), share)
    torch.testing.assert_close(way, start + share * (end - start))


@dataclass
class Styled(Latent):
    """Latents of a user's own prior."""

    style: Tensor = field(kw_only=True)
    frame: Tensor = field(kw_only=True)
    mask: Tensor | None = field(default=None, kw_only=True)


class Own(Prior):
    """A user's own prior, which defines how it samples and nothing of what lies between."""

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.rand(count, self.dim, generator=rng)

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Styled:
        z, style = self.noise(count, rng), torch.rand(count, 2, 4, generator=rng)
        numbers = torch.randint(1000, (2, count), generator=rng)
        return Styled(z, labels=numbers[0], style=style, frame=numbers[1])


def test_a_prior_of_the_users_own_leads_every_real_field_on_a_line_and_keeps_classes() -> None:
    prior = Own(3)
    start, end = prior.sample(4, generator_for(1)), prior.sample(4, generator_for(2))
    share = column(0, 0.25, 0.5, 1)
    between = prior.interpolate(start, end, share)
    assert isinstance(between, Styled) and between.mask is None
    for row, weight in enumerate((0, 0.25, 0.5, 1)):
        torch.testing.assert_close(between.z[row], start.z[row] + weight * (end.z[row] - start.z[row]))
        torch.testing.assert_close(between.style[row], start.style[row] + weight * (end.style[row] - start.style[row]))
    assert torch.equal(between.z[[0, 3]], torch.stack([start.z[0], end.z[3]])), "exact at both ends"
    assert between.labels is not None and start.labels is not None
    assert torch.equal(between.labels, start.labels) and torch.equal(between.frame, start.frame)


def test_a_class_conditional_prior_leaves_the_way_to_its_noise_even_one_of_the_users_own() -> None:
    class Shell(Prior):
        """Noise on a sphere, and ways on it by jumps."""

        def noise(self, count: int, rng: torch.Generator) -> Tensor:
            return nn.functional.normalize(torch.randn(count, self.dim, generator=rng), dim=1)

        def interpolate(self, start: Latent, end: Latent, share: Tensor) -> Latent:
            return Latent(torch.where(share < 0.5, start.z, end.z))

    prior = ClassConditional(5, Shell(3), num_classes=2)
    start, end = (prior.sample(2, rng(), labels=torch.full((2,), kind)) for kind in (0, 1))
    end.z[:, :3] *= -1
    between = prior.interpolate(start, end, column(0.4, 0.6))
    assert torch.equal(between.z[:, :3], torch.stack([start.z[0, :3], end.z[1, :3]]))
    assert between.z[:, 3:].tolist() == [[1, 0], [1, 0]]
