"""Generator objectives on the discriminator's features, the activations of its penultimate layer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from gan_lightning.game import DiscriminatorOutput, Objective, Round


def features(output: DiscriminatorOutput, key: str) -> Tensor:
    """Return the features of `output`, (batch, values) of float32; a ValueError with `key` if there are none."""
    if output.features is None:
        raise ValueError(
            f"{key} compares features of the discriminator, and this one returns logits alone: choose a model whose "
            "discriminator returns features too, such as model=dcgan or model=mlp"
        )
    return output.features.flatten(start_dim=1).float()


def not_negative(key: str, weight: float) -> float:
    """Return `weight` of the objective `key`; a ValueError if it is negative."""
    if not weight >= 0:
        raise ValueError(f"loss.objectives.{key}.weight must be at least 0, not {weight}")
    return weight


class FeatureMatching(Objective):
    """weight * ||E f(x) - E f(G(z))||^2 for the features f of the discriminator (Salimans et al. 2016, section 3.1).

    Beside an adversarial loss. The square is summed over the features. The means are over the samples of one forward
    pass: several devices or micro-batches each match their own.

    Args:
        weight: strength, at least 0; the paper uses this term alone.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = not_negative("feature_matching", weight)

    def generator(self, round: Round) -> Tensor:
        """Return a scalar >= 0; data are the target and take no gradient."""
        real = features(round.real_output, "feature_matching").detach().mean(dim=0)
        fake = features(round.fake_output, "feature_matching").mean(dim=0)
        return self.weight * (real - fake).square().sum()


class PullAway(Objective):
    """weight * mean over i != j of cos^2 between the features of fakes i and j (Zhao et al. 2017, section 2.4).

    Fakes whose features point the same way are pushed apart. With `loss=ebgan` features are the codes of the
    autoencoder, and both together are EBGAN-PT. Pairs are of samples of one forward pass, two or more.

    Args:
        weight: strength, at least 0; .1 in the paper, beside energies up to a margin of 10: .01 beside a margin of 1.
    """

    def __init__(self, weight: float = 0.01) -> None:
        super().__init__()
        self.weight = not_negative("pull_away", weight)

    def generator(self, round: Round) -> Tensor:
        """Return a scalar in [0, weight]."""
        codes = features(round.fake_output, "pull_away")
        count = len(codes)
        if count < 2:
            raise ValueError(
                "pull_away compares samples, and a device or micro-batch has only one: choose a larger "
                "data.batch_size or fewer micro_batches"
            )
        with torch.autocast(codes.device.type, enabled=False):
            codes = normalize(codes, dim=1)
            cosines = codes @ codes.T
        return self.weight * cosines.square().fill_diagonal_(0).sum() / (count * (count - 1))
