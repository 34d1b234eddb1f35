"""Penalties against critics whose slope is known, and against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gan_lightning.game import Latent, Objective, Round
from gan_lightning.randomness import Noise
from gan_lightning.regularizers.gradient_penalties import (
    DRAGAN,
    R1,
    R2,
    GradientPenalty,
    LazyGradientPenalty,
    input_gradients,
    input_gradients_fp32,
)


class Linear(nn.Module):
    """D(x) = w . x, of slope w everywhere; it records its inputs."""

    def __init__(self, weight: list[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.inputs: list[Tensor] = []

    def forward(self, samples: Tensor) -> Tensor:
        self.inputs.append(samples)
        return samples.flatten(1) @ self.weight


class Flat(nn.Module):
    """D(x) = 0, for samples of any size."""

    def forward(self, samples: Tensor) -> Tensor:
        return samples.flatten(1).sum(dim=1) * 0


class Quadratic(nn.Module):
    """D(x) = a ||x||^2 / 2, of slope a x."""

    def __init__(self, curvature: float) -> None:
        super().__init__()
        self.curvature = nn.Parameter(torch.tensor(curvature))

    def forward(self, samples: Tensor) -> Tensor:
        return self.curvature * samples.flatten(1).square().sum(dim=1) / 2


def round_of(critic: nn.Module, real: Tensor, fake: Tensor, updates: int = 0, image_gradients: bool = True) -> Round:
    """A discriminator update; `image_gradients` as the training loop gives them."""
    real, fake = (side.detach().clone().requires_grad_(image_gradients) for side in (real, fake))
    return Round(nn.Identity(), critic, Latent(torch.zeros(len(fake), 1)), real, fake, discriminator_updates=updates)


def played(penalty: Objective, round: Round) -> Tensor:
    """The discriminator's term, which must be there."""
    term = penalty.discriminator(round)
    assert term is not None
    return term


def images(seed: int, batch: int = 4) -> Tensor:
    return torch.randn(batch, 1, 2, 2, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize(
    ("penalty", "value", "derivative"),
    [  # w = (1, 2, 0, 2), ||w|| = 3
        (R1(gamma=2.0), 9.0, 2.0),  # gamma/2 ||w||^2, gamma w
        (R2(gamma=4.0), 18.0, 4.0),
        (GradientPenalty(weight=10.0), 40.0, 10 * 2 * 2 / 3),  # lambda (||w|| - 1)^2, 2 lambda (||w|| - 1) w / ||w||
        (GradientPenalty(weight=1.0, target=0.0), 9.0, 2.0),
        (GradientPenalty(weight=1.0, target=5.0), 4.0, -2 * 2 / 3),  # two-sided
        (DRAGAN(weight=10.0), 40.0, 10 * 2 * 2 / 3),
        (DRAGAN(weight=1.0, target=5.0), 4.0, -2 * 2 / 3),
        (DRAGAN(weight=1.0, every=3), 12.0, 3 * 2 * 2 / 3),
    ],
)
def test_linear_critic(penalty: Objective, value: float, derivative: float, bare: bool, batch: int) -> None:
    critic = Linear([1.0, 2.0, 0.0, 2.0])
    term = played(penalty, round_of(critic, images(0, batch), images(1, batch), image_gradients=not bare))
    assert term.item() == pytest.approx(value, rel=1e-5)
    term.backward()
    torch.testing.assert_close(critic.weight.grad, derivative * critic.weight.detach(), rtol=1e-5, atol=1e-6)


def test_slopes_are_each_samples_own() -> None:
    x = images(0).requires_grad_()
    torch.testing.assert_close(input_gradients(Quadratic(3.0)(x), x), 3 * x.flatten(1))


def test_r1_is_taken_at_data_and_r2_at_fakes() -> None:
    round = round_of(Quadratic(0.5), images(0), images(1))
    for penalty, x in ((R1(gamma=3.0), images(0)), (R2(gamma=3.0), images(1))):
        expected = 1.5 * 0.25 * x.square().sum() / len(x)
        torch.testing.assert_close(penalty.discriminator(round), expected)


def test_gradient_penalty_takes_the_norm_of_each_sample() -> None:
    x = images(0)  # data and fakes alike, so that any mixture of them is the same point
    norms = 2.0 * x.flatten(1).norm(dim=1)
    each = played(GradientPenalty(weight=1.0), round_of(Quadratic(2.0), x, x))
    torch.testing.assert_close(each, (norms - 1).square().mean())
    whole_batch = (norms.square().sum().sqrt() - 1).square()
    assert (each - whole_batch).abs() > 1


def test_gradient_penalty_mixes_each_sample_by_its_own_weight() -> None:
    critic = Linear([1.0, 0.0, 0.0, 0.0])
    torch.manual_seed(0)
    GradientPenalty().discriminator(round_of(critic, torch.ones(200, 1, 2, 2), torch.zeros(200, 1, 2, 2)))
    mixed = critic.inputs[-1]
    weights = mixed.flatten(1)
    torch.testing.assert_close(weights, weights[:, :1].expand(-1, 4))  # one weight for all values of a sample
    assert weights[:, 0].unique().numel() == 200
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert weights.mean().item() == pytest.approx(0.5, abs=4 * (1 / 12 / 200) ** 0.5)


def test_dragan_is_taken_around_the_data_and_at_no_fake() -> None:
    critic = Linear([1.0, 0.0, 0.0, 0.0])
    data = images(0, batch=500) * 3 + 10
    round = round_of(critic, data, torch.full_like(data, 1e6))
    DRAGAN(spread=0.5).discriminator(round)
    *_, points = critic.inputs
    steps = (points - data) / (0.5 * data.numpy().std())  # of all values; numpy's is the deviation of the data
    steps = steps.flatten(1)
    assert steps.min() >= -1e-5
    assert steps.max() <= 1 + 1e-5
    # A step is a u with one a for each sample: E au = 1/4, Var au = 1/9 - 1/16, Cov of two values = Var a (E u)^2.
    assert steps.mean().item() == pytest.approx(1 / 4, abs=0.02)
    assert steps.var().item() == pytest.approx(1 / 9 - 1 / 16, rel=0.1)
    assert torch.cov(steps.T)[0, 1:].mean().item() == pytest.approx(1 / 12 / 4, rel=0.3)
    # So the largest of many values of one sample comes near its a, which is as often small as large.
    wide = images(0, batch=200).repeat(1, 1, 40, 40)
    farthest = (DRAGAN(spread=1.0).sample_points(round_of(Flat(), wide, wide)) - wide).flatten(1).amax(dim=1)
    shares = (farthest / wide.numpy().std()).sort().values
    torch.testing.assert_close(shares, torch.linspace(0, 1, 200), atol=0.12, rtol=0)


def test_dragan_takes_the_norm_of_each_sample() -> None:
    x = images(0)
    norms = 2.0 * x.flatten(1).norm(dim=1)
    term = DRAGAN(weight=1.0, spread=0.0).discriminator(round_of(Quadratic(2.0), x, images(1)))
    torch.testing.assert_close(term, (norms - 1).square().mean())


def test_the_spread_of_dragan_is_that_of_the_data_on_all_devices() -> None:
    here, there = images(0), 5 * images(1) + 3
    both = torch.cat([here, there])
    alone, first = round_of(Quadratic(1.0), both, both), round_of(Quadratic(1.0), here, here)
    from_there = iter([there.mean(), (there - both.mean()).square().mean()])
    first.all_reduce_mean = lambda mean: (mean + next(from_there)) / 2
    first.noise, alone.noise = Noise(0, "round", batch_size=8), Noise(0, "round", batch_size=8)
    torch.testing.assert_close(DRAGAN().sample_points(first), DRAGAN().sample_points(alone)[:4])


@pytest.mark.parametrize("kind", [GradientPenalty, DRAGAN])
def test_a_given_slope_of_a_flat_critic_has_a_gradient(kind: type[GradientPenalty] | type[DRAGAN]) -> None:
    critic = Linear([0.0, 0.0, 0.0, 0.0])
    term = kind(weight=10.0).discriminator(round_of(critic, images(0), images(1)))
    assert term is not None
    term.backward()
    assert term.item() == pytest.approx(10.0, rel=1e-5)
    assert critic.weight.grad is not None
    assert critic.weight.grad.isfinite().all()


def smooth_critic() -> nn.Sequential:
    torch.manual_seed(0)
    hidden = [nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(8, 1, bias=False), nn.Flatten(0))


# The zero-centred ones keep float64 where the forward pass is the game's own; the others make theirs in float32.
@pytest.mark.parametrize(
    ("penalty", "exact"),
    [(R1(gamma=2.0), True), (R2(gamma=2.0), True), (GradientPenalty(every=2), False), (DRAGAN(), False)],
)
def test_second_derivatives_are_the_finite_differences(penalty: LazyGradientPenalty, exact: bool) -> None:
    critic = smooth_critic().to(torch.float64 if exact else torch.float32)
    weight = next(critic.parameters())
    size = 1e-5 if exact else 1e-2

    def term() -> Tensor:
        return played(penalty, round_of(critic, images(0).to(weight), images(1).to(weight)))

    (found,) = torch.autograd.grad(term(), weight)
    direction, start = found / found.norm(), weight.detach().clone()
    ends = []
    for step in (size, -size):
        weight.detach().copy_(start + step * direction)
        ends.append(term().item())
    assert found.abs().max() > 1e-3
    difference = (ends[0] - ends[1]) / (2 * size)
    assert (found * direction).sum().item() == pytest.approx(difference, rel=1e-5 if exact else 1e-2)


@pytest.mark.parametrize("penalty", [R1(), R2(), GradientPenalty(), DRAGAN()])
def test_float32_under_autocast(penalty: Objective) -> None:
    critic, x = smooth_critic(), images(0, batch=64)
    plain = played(penalty, round_of(critic, x, x))
    with torch.autocast("cpu", torch.bfloat16):
        round = round_of(critic, x, x)
        term = played(penalty, round)
        rounded = input_gradients(round.real_logits, round.real).square().sum(dim=1).mean()
    torch.testing.assert_close(term, plain, rtol=1e-6, atol=0)
    weights = tuple(critic.parameters())
    for found, expected in zip(torch.autograd.grad(term, weights), torch.autograd.grad(plain, weights), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    exact = input_gradients_fp32(critic, x).square().sum(dim=1).mean()
    assert (rounded / exact - 1).abs() > 1e-4  # half precision would have shown


@pytest.mark.parametrize("penalty", [R2(), GradientPenalty(), DRAGAN()])
def test_half_precision_fakes(penalty: Objective) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        term = played(penalty, round_of(smooth_critic(), images(0), images(1).bfloat16()))
    assert term.dtype == torch.float32


@pytest.mark.parametrize(("image_gradients", "half", "passes"), [(True, False, 1), (False, False, 2), (True, True, 2)])
def test_r1_reuses_the_pass_of_the_adversarial_loss(image_gradients: bool, half: bool, passes: int) -> None:
    critic = Linear([1.0, 2.0, 0.0, 2.0])
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        round = round_of(critic, images(0), images(1), image_gradients=image_gradients)
        assert round.real_logits.shape == (4,)
        R1().discriminator(round)
    assert len(critic.inputs) == passes


@pytest.mark.parametrize("kind", [R1, R2, GradientPenalty, DRAGAN])
def test_a_lazy_penalty_keeps_its_strength(kind: type[R1 | R2 | GradientPenalty | DRAGAN]) -> None:
    critic = Quadratic(2.0)
    rounds = [round_of(critic, images(0), images(1), updates=updates) for updates in range(8)]
    lazy = [kind(every=4).discriminator(round) for round in rounds]
    assert [term is None for term in lazy] == [False, True, True, True] * 2
    mean = sum(term.item() for term in lazy if term is not None) / len(rounds)
    always = played(kind(), round_of(critic, images(0), images(1), updates=1))
    assert mean == pytest.approx(always.item())


@pytest.mark.parametrize(("norm", "mixes"), [(nn.BatchNorm1d(8), True), (nn.LayerNorm(8), False)])
def test_batch_norm_is_why_gradient_penalty_forbids_it(norm: nn.Module, mixes: bool) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), norm, nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    x, changed = images(0), images(0)
    changed[1] *= 3
    first, again = (input_gradients_fp32(critic, batch)[0] for batch in (x, changed))
    assert torch.allclose(first, again, rtol=1e-4) is not mixes
    assert GradientPenalty.forbids_batch_norm
    assert DRAGAN.forbids_batch_norm
    assert not R1.forbids_batch_norm


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: R1(gamma=-1.0), r"loss\.objectives\.r1\.gamma must be at least 0, not -1"),
        (lambda: R2(gamma=float("nan")), r"loss\.objectives\.r2\.gamma must be at least 0, not nan"),
        (lambda: R2(every=0), r"loss\.objectives\.r2\.every .*whole number of at least 1, not 0"),
        (
            lambda: GradientPenalty(every=0),
            r"loss\.objectives\.gradient_penalty\.every .*whole number of at least 1",
        ),
        (lambda: DRAGAN(every=0), r"loss\.objectives\.dragan\.every .*whole number of at least 1, not 0"),
        (lambda: DRAGAN(weight=-1.0), r"loss\.objectives\.dragan\.weight and target must be at least 0"),
        (lambda: DRAGAN(spread=-0.5), r"loss\.objectives\.dragan\.spread must be at least 0, not -0\.5"),
        (lambda: GradientPenalty(weight=-1.0), r"loss\.objectives\.gradient_penalty\.weight and target"),
        (lambda: GradientPenalty(target=-1.0), r"loss\.objectives\.gradient_penalty\.weight and target"),
    ],
)
def test_bad_strengths_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
