from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy

from gan_lightning.metrics.divergence import entropy, jensen_shannon, kullback_leibler


def test_all_equal_scipys():
    p, q = torch.tensor([0.1, 0.0, 0.6, 0.3]).double(), torch.tensor([0.4, 0.2, 0.4, 0.0]).double()
    assert entropy(p) == pytest.approx(scipy_entropy(p.numpy()))
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p.numpy(), q.numpy()) ** 2)
    assert kullback_leibler(q, (p + q) / 2) == pytest.approx(scipy_entropy(q.numpy(), (p + q).numpy()))
    assert kullback_leibler(p, q) == math.inf


def test_bounds_are_reached():
    p, q = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.0, 0.0, 1.0]).double()
    assert jensen_shannon(p, p) == 0.0
    assert jensen_shannon(p, q) == pytest.approx(math.log(2))
