from __future__ import annotations

import pytest
import torch
from scipy import stats

from gan_lightning.priors import Gaussian, Prior, Uniform
from gan_lightning.randomness import generator_for

PRIORS = {
    "gaussian": (Gaussian(3), stats.norm()),
    "uniform": (Uniform(3, low=-8.0, high=8.0), stats.uniform(-8, 16)),
    "uniform off centre": (Uniform(3, low=1.0, high=1.5), stats.uniform(1, 0.5)),
}


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
    with pytest.raises(ValueError, match="prior.dim must be at least 1"):
        Gaussian(0)
    with pytest.raises(ValueError, match="prior.low must be below prior.high"):
        Uniform(2, low=1.0, high=1.0)
