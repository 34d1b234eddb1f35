"""The Inception Score: are classes certain in each fake, and all of them made?

Salimans et al. 2016, 'Improved Techniques for Training GANs', section 4.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.metrics.base import FeatureMetric, concatenated

SPLITS, SEED = 10, 2020


def inception_score(logits: Tensor, splits: int = SPLITS, seed: int = SEED) -> tuple[float, float]:
    """Return exp E KL(p(y|x) || p(y)) of random parts; under an equal seed they are those that torch-fidelity makes.

    Args:
        logits: (n, classes); log-probabilities are logits too.
        splits: in how many parts of about equal size the samples are divided, at most n.
        seed: of the order before that.

    Returns:
        Mean and standard deviation over the parts, from 1 to the number of classes; NaN where a logit is not finite.
    """
    if not torch.isfinite(logits).all():
        return math.nan, math.nan
    order = torch.from_numpy(np.random.RandomState(seed).permutation(len(logits)))
    log_p = logits[order.to(logits.device)].double().log_softmax(dim=1)
    scores = []
    for i in range(splits):
        part = log_p[i * len(log_p) // splits : (i + 1) * len(log_p) // splits]
        marginal = part.logsumexp(dim=0) - math.log(len(part))
        scores.append((part.exp() * (part - marginal)).sum(dim=1).mean().exp().item())
    return float(np.mean(scores)), float(np.std(scores))


class InceptionScore(FeatureMetric):
    """The score of fakes, which looks at no real sample, under an extractor that knows classes.

    With Inception (1008 outputs without bias) it is the score of papers. With another classifier it is the same formula
    and another number: of a classifier of ten digits, from 1 to 10, and no Inception Score that a paper would name.

    The parts follow the order of the samples, which is the same on any number of ranks: each has consecutive ones, and
    they are gathered in the ranks' order. Keeps the log-probabilities of the fakes, (n, classes) of float32.

    `compute` gives `inception_score`, the mean over the parts, and `inception_score_std`, their standard deviation.

    Args:
        extractor: of the logits; one that knows classes.
        splits: in how many parts the fakes are divided, at least 1; published scores have ten.
        seed: of the order before that.
    """

    keys: ClassVar[tuple[str, ...]] = ("inception_score", "inception_score_std")

    fake_log_probabilities: list[Tensor]

    def __init__(self, extractor: Extractor, splits: int = SPLITS, seed: int = SEED) -> None:
        super().__init__(extractor)
        if splits < 1:
            raise ValueError(f"the Inception Score needs at least 1 split, not {splits}")
        if extractor.num_classes is None:
            raise ValueError(
                f"the Inception Score needs an extractor that knows classes, and {extractor.fingerprint} does not: "
                "choose extractor=inception"
            )
        self.num_classes, self.splits, self.seed = extractor.num_classes, splits, seed
        self.config = {"splits": splits, "seed": seed}
        self.min_fakes = splits
        self.add_list_state("fake_log_probabilities")

    def accumulate_features(self, features: Features, real: bool) -> None:
        """Take the logits of fakes."""
        if not real:
            assert features.logits is not None  # the extractor has classes
            self.fake_log_probabilities.append(features.logits.log_softmax(dim=1).flatten())

    def compute(self) -> dict[str, float]:
        """Return the score; a ValueError for fewer fakes than parts."""
        log_probabilities = concatenated(self.fake_log_probabilities, self.num_classes)
        if len(log_probabilities) < self.splits:
            raise ValueError(
                f"the Inception Score over {self.splits} splits needs as many fakes, "
                f"not {len(log_probabilities)}: raise metrics.num_fakes"
            )
        mean, deviation = inception_score(log_probabilities, self.splits, self.seed)
        return {"inception_score": mean, "inception_score_std": deviation}
