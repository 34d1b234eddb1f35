"""InfoGAN: codes that can be read off the samples, so that they come to mean something (Chen et al. 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import cross_entropy, one_hot, softplus

from gan_lightning.game import DiscriminatorOutput, Latent, Objective, Round, discriminate
from gan_lightning.priors import Prior, lerp, refuse_labels
from gan_lightning.utils.checks import check_int
from gan_lightning.variants.acgan import FlattenFeatures
from gan_lightning.wrappers.base import Wrapper, width_of_features

SMALLEST_STD = 0.3
"""Of the codes' posterior. Sharper, a reader that errs would pay without bound, and codes would outweigh the category;
the authors' code for MNIST keeps it at 1 throughout. Codes themselves lie in [-1, 1]."""

TRAVERSAL_RANGE = 2.0
"""A traversal goes from -2 to 2, twice as far as training draws codes, as in figure 2 of the paper: it shows more."""


@dataclass
class InfoGANLatent(Latent):
    """Noise with codes behind it; `labels` holds the category.

    Attributes:
        codes: the continuous codes, (batch, continuous), each in [-1, 1].
    """

    codes: Tensor = field(kw_only=True)


class InfoGANPrior(Prior):
    """Noise, then a category as a one-hot vector, then continuous codes ~ U(-1, 1): z = [noise, category, codes].

    Args:
        dim: length of z, all three together.
        noise: where the noise comes from.
        categories: how many there are, at least 2, all equally likely.
        continuous: how many continuous codes there are; 0 for none.

    Raises:
        ValueError: `dim` is not that sum, or the numbers are no such numbers.
    """

    def __init__(self, dim: int, noise: Prior, categories: int, continuous: int) -> None:
        super().__init__(dim)
        check_int("prior.categories", categories, minimum=2)
        check_int("prior.continuous", continuous, minimum=0)
        total = noise.dim + categories + continuous
        if dim != total:
            raise ValueError(
                f"prior.dim must be that of noise, categories and codes together, {total}, not {dim}: prior.noise.dim "
                "sets the length of the noise"
            )
        self.source, self.categories, self.continuous = noise, categories, continuous

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> InfoGANLatent:
        """Return `count` latents; categories are drawn after the noise, and codes last."""
        refuse_labels(labels)
        noise = self.noise(count, rng)
        categories = torch.randint(self.categories, (count,), generator=rng, device=rng.device)
        codes = torch.empty(count, self.continuous, device=rng.device).uniform_(-1, 1, generator=rng)
        return self.from_codes(noise, categories, codes)

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the noise alone, (count, noise.dim) of float32."""
        return self.source.noise(count, rng)

    def from_codes(self, noise: Tensor, labels: Tensor, codes: Tensor) -> InfoGANLatent:
        """Return the latents of `noise` (batch, noise.dim), categories (batch,) and codes (batch, continuous)."""
        category = one_hot(labels, self.categories).to(noise)
        return InfoGANLatent(torch.cat([noise, category, codes], dim=1), labels=labels, codes=codes)

    def grid(self, count: int, rng: torch.Generator, classes: Sequence[int] | None = None) -> tuple[InfoGANLatent, int]:
        """Return a category in each row, and along it the first code from -1 to 1.

        The noise is the same everywhere and further codes are 0, so that whatever changes is the codes' doing. Without
        continuous codes the noise changes along the row, the same in each. Every category has a row, also where `count`
        is smaller.
        """
        refuse_labels(classes)
        columns = max(1, count // self.categories)
        codes = torch.zeros(columns, self.continuous, device=rng.device)
        if self.continuous:
            noise = self.noise(1, rng).expand(columns, -1)
            codes[:, 0] = torch.linspace(-1, 1, columns)
        else:
            noise = self.noise(columns, rng)
        labels = torch.arange(self.categories, device=rng.device).repeat_interleave(columns)
        return self.from_codes(noise.repeat(self.categories, 1), labels, codes.repeat(self.categories, 1)), columns

    def interpolate(self, start: Latent, end: Latent, share: Tensor) -> InfoGANLatent:
        """Return latents of the categories of `start`: codes move on a line, the noise as its own prior has it."""
        assert start.labels is not None
        split, codes = self.source.dim, self.source.dim + self.categories
        noise = self.source.interpolate(Latent(start.z[:, :split]), Latent(end.z[:, :split]), share).z
        return self.from_codes(noise, start.labels, lerp(start.z[:, codes:], end.z[:, codes:], share))

    def traverse(self, columns: int, rng: torch.Generator) -> tuple[InfoGANLatent, int, Tensor]:
        """Return latents with a row for each code, in which it alone changes (Chen et al. 2016, figure 2).

        The first row shows the categories in their order, with continuous codes of 0. Then comes a row for each
        continuous code, from -`TRAVERSAL_RANGE` to `TRAVERSAL_RANGE`, the others 0, of one category. The noise is the
        same everywhere; `rng` draws it, and that category.

        Args:
            columns: latents in a row; more if there are more categories.
            rng: of all randomness.

        Returns:
            The latents row by row, how many stand in a row, and which of them are beyond the last category, to be left
            out of the picture, (rows * columns,) of bool, on the CPU.
        """
        columns, rows = max(columns, self.categories), 1 + self.continuous
        noise = self.noise(1, rng)
        labels = torch.randint(self.categories, (1,), generator=rng, device=rng.device).repeat(rows, columns)
        labels[0] = torch.arange(columns, device=rng.device).clamp(max=self.categories - 1)
        codes = torch.zeros(rows, columns, self.continuous, device=rng.device)
        for code in range(self.continuous):
            codes[1 + code, :, code] = torch.linspace(-TRAVERSAL_RANGE, TRAVERSAL_RANGE, columns)
        blank = torch.zeros(rows, columns, dtype=torch.bool)
        blank[0, self.categories :] = True
        latent = self.from_codes(noise.expand(rows * columns, -1), labels.flatten(), codes.flatten(0, 1))
        return latent, columns, blank.flatten()


@dataclass
class CodeOutput(DiscriminatorOutput):
    """The output of a discriminator that also reads codes: the posterior Q(c|x), a category and independent Gaussians.

    Attributes:
        category_logits: (batch, categories) of float32, before any softmax.
        code_mean: (batch, continuous) of float32.
        code_log_std: likewise, at least log `SMALLEST_STD`.
    """

    category_logits: Tensor = field(kw_only=True)
    code_mean: Tensor = field(kw_only=True)
    code_log_std: Tensor = field(kw_only=True)


class CodeHead(Wrapper):
    """Q: a discriminator with a second head on its features, one hidden layer, which reads the codes off a sample.

    The paper's hidden layer has batch norm. This one has none, so that penalties on single samples can stand beside it.

    Args:
        network: the discriminator within, which gives features.
        shape: of one sample.
        categories: of the prior.
        continuous: how many continuous codes the prior has.
        width: units in the hidden layer, 128 in the paper.

    Raises:
        ValueError: the network gives no features, or `width` is below 1.
    """

    def __init__(
        self, network: nn.Module, shape: Sequence[int], categories: int, continuous: int, width: int = 128
    ) -> None:
        super().__init__(FlattenFeatures(network))
        check_int("wrappers.infogan.width", width)
        self.sizes = [categories, continuous, continuous]
        self.read = nn.Sequential(
            nn.Linear(width_of_features(self.network, shape), width),
            nn.LeakyReLU(0.1),
            nn.Linear(width, sum(self.sizes)),
        )

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> CodeOutput:
        """Return the network's output for samples (batch, ...), and the posterior of their codes."""
        output = discriminate(self.network, samples, labels)
        category, mean, spread = self.read(output.features).float().split(self.sizes, dim=1)
        log_std = (softplus(spread) + SMALLEST_STD).log()
        return CodeOutput(
            output.logits, output.features, category_logits=category, code_mean=mean, code_log_std=log_std
        )


class MutualInformation(Objective):
    """-lambda L_I(G, Q) up to a constant: both players want the codes read off fakes (Chen et al. 2016, eq. 5 and 6).

    Beside an adversarial loss. L_I = E log Q(c|G(z, c)) + H(c) is at most the mutual information of codes and samples;
    the entropy H(c) is constant, and what is left is a cross-entropy for the category and the negative log-likelihood
    of a Gaussian for the continuous codes. The discriminator's step trains Q and the features below it, the generator's
    step the generator, through both.

    Args:
        category_weight: lambda of the category, 1 in the paper.
        code_weight: lambda of the continuous codes, smaller as the paper advises: their term has no lower bound of 0.

    Raises:
        ValueError: a weight is negative.
    """

    category_nats: Tensor
    code_nats: Tensor

    def __init__(self, category_weight: float = 1.0, code_weight: float = 0.1) -> None:
        super().__init__()
        if not (category_weight >= 0 and code_weight >= 0):
            raise ValueError(
                "loss.objectives.infogan.category_weight and code_weight must be at least 0, not "
                f"{category_weight} and {code_weight}"
            )
        self.category_weight, self.code_weight = category_weight, code_weight
        self.register_buffer("category_nats", torch.zeros(()))
        self.register_buffer("code_nats", torch.zeros(()))

    def discriminator(self, round: Round) -> Tensor:
        """Return weight E -log Q(category|G(z, c)) + weight E -log Q(codes|G(z, c)), a scalar."""
        category, codes = surprise(round)
        return self.category_weight * category.mean() + self.code_weight * codes.mean()

    def generator(self, round: Round) -> Tensor:
        """Return the same, a scalar."""
        return self.discriminator(round)

    def after_discriminator_step(self, round: Round) -> None:
        """Note L_I of the last step: the category's and, all together, the continuous codes'."""
        assert isinstance(round.fake_output, CodeOutput)
        category, codes = surprise(round)
        categories, continuous = round.fake_output.category_logits.shape[1], round.fake_output.code_mean.shape[1]
        self.category_nats.copy_(math.log(categories) - round.global_mean(category))
        self.code_nats.copy_(continuous * math.log(2) - round.global_mean(codes))  # U(-1, 1) has entropy log 2

    def scalars(self) -> dict[str, Tensor]:
        """Return L_I in nats, for the log; log(categories) is the most that the category can reach."""
        return {"category_nats": self.category_nats, "code_nats": self.code_nats}


def surprise(round: Round) -> tuple[Tensor, Tensor]:
    """Return -log Q(c|G(z, c)) of each fake in nats: of its category, and of all its continuous codes; (batch,) each.

    Raises a ValueError if the prior draws no codes, or the discriminator reads none.
    """
    latent, output = round.latent, round.fake_output
    if not isinstance(latent, InfoGANLatent) or latent.labels is None:
        raise ValueError("infogan needs a prior that draws codes: choose variant=infogan, which brings it along")
    if not isinstance(output, CodeOutput):
        raise ValueError("infogan needs a discriminator that reads codes: choose variant=infogan")
    # Validation would wait for the device.
    posterior = Normal(output.code_mean, output.code_log_std.exp(), validate_args=False)
    codes = -posterior.log_prob(latent.codes).sum(dim=1)
    return cross_entropy(output.category_logits, latent.labels, reduction="none"), codes
