"""Losses of scores: the discriminator gives each sample a number, higher for real.

All work on logits, never on probabilities: log(sigmoid(x)) is -softplus(-x), which neither overflows nor needs a
clamp. Logits are cast to float32 first, so that under autocast only the networks run in half precision.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus

from gan_lightning.game import Objective, Round


class NonSaturating(Objective):
    """The non-saturating loss in common use: the generator maximises E log D(G(z)) (Goodfellow et al. 2014, section 3).

    Same fixed point as the minimax game, but a strong gradient while fakes are bad.
    """

    label_targets = True
    score_threshold = 0.0

    def discriminator(self, round: Round) -> Tensor:
        """Return -E log D(x) - E log(1 - D(G(z))), a scalar >= 0; log 4 at p_G = p_data with the best discriminator."""
        return softplus(-round.real_logits.float()).mean() + softplus(round.fake_logits.float()).mean()

    def generator(self, round: Round) -> Tensor:
        """Return -E log D(G(z)), a scalar >= 0."""
        return softplus(-round.fake_logits.float()).mean()


class Minimax(NonSaturating):
    """The zero-sum game itself: min_G max_D E log D(x) + E log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1).

    The same discriminator; the generator's gradient vanishes where the discriminator is sure that fakes are fake.
    """

    def generator(self, round: Round) -> Tensor:
        """Return E log(1 - D(G(z))), a scalar <= 0."""
        return -softplus(round.fake_logits.float()).mean()


class LeastSquares(Objective):
    """LSGAN: regression of the scores onto targets (Mao et al. 2017, eq. 2 and 9, with their factors of one half).

    Args:
        fake_target: a, the discriminator's target for fakes, below `real_target`.
        real_target: b, the discriminator's target for data.
        generator_target: c, the generator's target for fakes. With b - c = 1 and b - a = 2 the game
            minimises the Pearson chi-squared divergence; 0, 1, 1 is the paper's usual choice.
    """

    label_targets = True
    critic = True

    def __init__(self, fake_target: float = 0.0, real_target: float = 1.0, generator_target: float = 1.0) -> None:
        super().__init__()
        if not fake_target < real_target:
            raise ValueError(
                "loss.objectives.adversarial.fake_target must be below real_target, "
                f"not {fake_target} and {real_target}"
            )
        self.fake_target, self.real_target, self.generator_target = fake_target, real_target, generator_target
        self.score_threshold = (fake_target + real_target) / 2

    def discriminator(self, round: Round) -> Tensor:
        """Return 1/2 E(D(x) - b)^2 + 1/2 E(D(G(z)) - a)^2, a scalar >= 0."""
        real = (round.real_logits.float() - self.real_target).square().mean()
        fake = (round.fake_logits.float() - self.fake_target).square().mean()
        return (real + fake) / 2

    def generator(self, round: Round) -> Tensor:
        """Return 1/2 E(D(G(z)) - c)^2, a scalar >= 0."""
        return (round.fake_logits.float() - self.generator_target).square().mean() / 2


class Wasserstein(Objective):
    """WGAN: a critic estimates the earth mover's distance (Arjovsky et al. 2017, eq. 2 and 3).

    Valid only while the critic is kept Lipschitz: by weight clipping, a gradient penalty or spectral norm.
    """

    critic = True

    def discriminator(self, round: Round) -> Tensor:
        """Return E D(G(z)) - E D(x): minus the estimated distance, unbounded below."""
        return round.fake_logits.float().mean() - round.real_logits.float().mean()

    def generator(self, round: Round) -> Tensor:
        """Return -E D(G(z)), a scalar of either sign."""
        return -round.fake_logits.float().mean()


class Hinge(Objective):
    """Hinge loss: scores beyond the margin of 1 have no loss (Lim and Ye 2017; Miyato et al. 2018, eq. 16 and 17).

    Only the discriminator's side is hinged: the generator always has a gradient.
    """

    critic = True
    score_threshold = 0.0

    def discriminator(self, round: Round) -> Tensor:
        """Return E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), a scalar >= 0."""
        return relu(1 - round.real_logits.float()).mean() + relu(1 + round.fake_logits.float()).mean()

    def generator(self, round: Round) -> Tensor:
        """Return -E D(G(z)), a scalar of either sign."""
        return -round.fake_logits.float().mean()
