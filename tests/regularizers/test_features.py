"""Objectives on features against hand values. Samples are their own features, unless a critic is given."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent, Objective, Round
from gan_lightning.regularizers.features import FeatureMatching, PullAway


class Seen(nn.Module):
    """Features are the samples times a weight, in maps; the score is their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        features = self.weight * samples
        return DiscriminatorOutput(features.flatten(1).sum(1), features)


def seen(real: list[list[float]], fake: list[list[float]], discriminator: nn.Module | None = None) -> Round:
    """A round whose features are `real` and `fake`, as maps of one pixel."""
    sides = [torch.tensor(side)[..., None, None] for side in (real, fake)]
    latent = Latent(torch.zeros(len(fake), 1))
    return Round(nn.Identity(), discriminator or Seen(), latent, sides[0], sides[1].requires_grad_())


def test_feature_matching_compares_means_and_sums_over_features() -> None:
    round = seen([[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [2.0, 2.0]])  # means (2, 4) and (1, 1)
    assert FeatureMatching().generator(round).item() == 1 + 9
    assert FeatureMatching(weight=0.5).generator(round).item() == 5
    assert FeatureMatching().discriminator(round) is None


def test_feature_matching_moves_fakes_towards_data_and_data_nowhere() -> None:
    round = seen([[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [2.0, 2.0]])
    round.real.requires_grad_()
    term = FeatureMatching().generator(round)
    fakes, data = torch.autograd.grad(term, (round.fake, round.real), allow_unused=True)
    assert fakes.flatten(1).tolist() == [[-1.0, -3.0], [-1.0, -3.0]]  # 2 (mean_f - mean_r) / batch
    assert data is None


def test_feature_matching_is_blind_to_all_but_the_mean() -> None:
    round = seen([[1.0, 2.0], [3.0, 6.0]], [[2.0, 3.0], [2.0, 5.0]])
    assert FeatureMatching().generator(round).item() == 0


def test_pull_away_by_hand() -> None:
    """Directions at 0, 60 and 90 degrees: cos^2 of 1/4, 0 and 3/4, each pair twice over 6 ordered pairs."""
    directions = [[math.cos(angle), math.sin(angle)] for angle in (0, math.pi / 3, math.pi / 2)]
    round = seen([[1.0, 0.0]], directions)
    assert PullAway(weight=1.0).generator(round).item() == pytest.approx((0.25 + 0 + 0.75) / 3)
    assert PullAway().generator(round).item() == pytest.approx(0.01 / 3)
    assert PullAway().discriminator(round) is None


def test_pull_away_knows_directions_and_no_lengths_or_signs() -> None:
    first = PullAway(weight=1.0).generator(seen([[0.0, 0.0]], [[1.0, 0.0], [1.0, 1.0]]))
    assert first.item() == pytest.approx(0.5)
    assert PullAway(weight=1.0).generator(seen([[0.0, 0.0]], [[-7.0, 0.0], [0.2, 0.2]])).item() == pytest.approx(0.5)


def test_pull_away_is_the_loop_over_pairs() -> None:
    codes = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).tolist()
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    cosines = [torch.cosine_similarity(torch.tensor(codes[i]), torch.tensor(codes[j]), dim=0) for i, j in pairs]
    expected = torch.stack(cosines).square().mean()
    torch.testing.assert_close(PullAway(weight=1.0).generator(seen([[0.0]], codes)), expected)


def test_pull_away_turns_fakes_from_each_other_at_right_angles_to_themselves() -> None:
    round = seen([[0.0, 0.0]], [[2.0, 0.0], [3.0, 3.0]])
    (slope,) = torch.autograd.grad(PullAway(weight=1.0).generator(round), round.fake)
    slope = slope.flatten(1)
    torch.testing.assert_close((slope * round.fake.detach().flatten(1)).sum(1), torch.zeros(2), atol=1e-6, rtol=0)
    assert slope[0, 1] > 0.1  # descent turns the first clockwise, away from the second
    assert slope[1, 0] > 0


@pytest.mark.parametrize("objective", [FeatureMatching(), PullAway()])
def test_half_precision_features_are_compared_in_float32(objective: Objective) -> None:
    codes = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)).bfloat16().float().tolist()
    expected = objective.generator(seen(codes[:20], codes[20:]))
    with torch.autocast("cpu", torch.bfloat16):
        round = seen(codes[:20], codes[20:])
        round.real, round.fake = round.real.bfloat16(), round.fake.bfloat16()
        found = objective.generator(round)
    assert expected is not None
    assert found is not None
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("objective", "name"), [(FeatureMatching(), "feature_matching"), (PullAway(), "pull_away")])
def test_a_discriminator_without_features_is_refused_with_the_way_out(objective: Objective, name: str) -> None:
    bare = nn.Sequential(nn.Flatten(), nn.Linear(2, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match=f"{name} compares features .* such as model=dcgan or model=mlp"):
        objective.generator(seen([[1.0, 2.0]], [[1.0, 2.0]], bare))


def test_one_sample_has_no_pair() -> None:
    with pytest.raises(ValueError, match=r"choose a larger data\.batch_size or fewer micro_batches"):
        PullAway().generator(seen([[1.0]], [[1.0]]))


@pytest.mark.parametrize(("kind", "name"), [(FeatureMatching, "feature_matching"), (PullAway, "pull_away")])
@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_bad_weights_are_refused(kind: type[FeatureMatching] | type[PullAway], name: str, weight: float) -> None:
    with pytest.raises(ValueError, match=rf"loss\.objectives\.{name}\.weight must be at least 0, not {weight}"):
        kind(weight)
