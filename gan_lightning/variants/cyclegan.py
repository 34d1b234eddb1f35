"""CycleGAN: translation between two domains of images, of which no pairs are known.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks". Here it is
the same game as all others: the generator is fed a pair of source images, one of each domain, and returns a pair of
fakes, so that the prior is the data. The networks are in `models/cyclegan.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from gan_lightning.data.base import RealData
from gan_lightning.data.pixels import normalize
from gan_lightning.data.unpaired import UnpairedImages
from gan_lightning.game import DiscriminatorOutput, Latent, Objective, Round, discriminate
from gan_lightning.losses.adversarial import LeastSquares
from gan_lightning.models.cyclegan import CycleGANGenerators, PatchOutput, is_translator
from gan_lightning.priors import Prior, refuse_labels
from gan_lightning.randomness import Noise
from gan_lightning.regularizers.features import not_negative
from gan_lightning.utils.checks import check_int


class SourceImages(Prior):
    """The empirical distribution of two domains of images: an image of each, drawn independently.

    The images lie beside the weights, on their device, and enter no checkpoint.

    Args:
        data: where they come from.

    Raises:
        ValueError: the data have no two domains.
    """

    a: Tensor
    b: Tensor
    classes_of_a: Tensor | None
    classes_of_b: Tensor | None

    def __init__(self, data: RealData) -> None:
        if not isinstance(data, UnpairedImages):
            raise ValueError(
                "variant=cyclegan translates between two domains of images: choose data=digit_outlines or "
                "data=unpaired_folders"
            )
        a, b = data.domains()
        super().__init__(dim=a.pixels[0].numel() + b.pixels[0].numel())
        self.register_buffer("a", a.pixels, persistent=False)
        self.register_buffer("b", b.pixels, persistent=False)
        self.register_buffer("classes_of_a", a.labels, persistent=False)
        self.register_buffer("classes_of_b", b.labels, persistent=False)

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Latent:
        """Return `count` pairs (a, b) as z, (count, 2 * channels, size, size) of float32 in [-1, 1].

        Where the data have classes, `labels` are those of a and b, (count, 2).
        """
        refuse_labels(labels)
        rows_a, rows_b = self.rows(count, rng)
        z = torch.cat([normalize(self.a[rows_a]), normalize(self.b[rows_b])], dim=1)
        if self.classes_of_a is None or self.classes_of_b is None:
            return Latent(z)
        return Latent(z, labels=torch.stack([self.classes_of_a[rows_a], self.classes_of_b[rows_b]], dim=1))

    def noise(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the pairs alone."""
        return self.sample(count, rng).z

    def rows(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the indices of random images of each domain, (count,) of int64 each."""
        a, b = (torch.randint(len(pixels), (count,), generator=rng, device=rng.device) for pixels in (self.a, self.b))
        return a, b


class PatchLeastSquares(LeastSquares):
    """LSGAN on patches, summed over the two domains, where the discriminator sees fakes of the past (section 7.1).

    Of every fake the discriminator is shown either itself or, with probability 1/2, one that the pool held, whose place
    the new one takes (Shrivastava et al. 2017, section 2.3). The first `pool_size` fakes fill the pool and are shown
    themselves. Each domain has a pool of its own. Within a batch no two fakes meet in a place, which a batch of one, as
    published, does not notice.

    The discriminator's side has a factor of one half, which lets it learn more slowly; the generator's has none.

    Args:
        shape: of a sample, (2 * channels, size, size).
        pool_size: fakes in a pool; 0 shows the discriminator the new ones.
        fake_target, real_target, generator_target: as for `LeastSquares`.

    Raises:
        ValueError: `pool_size` is negative, or smaller than the batch.
    """

    bits: Tensor
    held: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        pool_size: int = 50,
        fake_target: float = 0.0,
        real_target: float = 1.0,
        generator_target: float = 1.0,
    ) -> None:
        super().__init__(fake_target, real_target, generator_target)
        self.pool_size = check_int("loss.objectives.adversarial.pool_size", pool_size, minimum=0)
        # The bits of float32 as whole numbers: all ranks hold the same ones, and what is floating point travels to be
        # averaged over them at every step.
        self.register_buffer("bits", torch.zeros(self.pool_size, *shape, dtype=torch.int32))
        self.register_buffer("held", torch.zeros((), dtype=torch.int64))

    @property
    def images(self) -> Tensor:
        """Return the pools, (pool_size, 2, channels, size, size) of float32: domain A's beside domain B's."""
        return by_domain(self.bits.view(torch.float32))

    def discriminator(self, round: Round) -> Tensor:
        """Return 1/2 E(D(x) - b)^2 + 1/2 E(D(pooled) - a)^2 over the patches of each domain, summed; a scalar >= 0."""
        fake_output = discriminate(round.discriminator, self.pooled(round)) if self.pool_size else round.fake_output
        real = (patches(round.real_output) - self.real_target).square()
        fake = (patches(fake_output) - self.fake_target).square()
        return over_domains((real + fake) / 2)

    def generator(self, round: Round) -> Tensor:
        """Return E(D(F(b)) - c)^2 + E(D(G(a)) - c)^2 over patches, a scalar >= 0."""
        return over_domains((patches(round.fake_output) - self.generator_target).square())

    def pooled(self, round: Round) -> Tensor:
        """Return what the discriminator scores in place of `round.fake`: the same shape, float32, without gradient."""
        fakes = by_domain(round.fake.detach())
        slots, swapped, _ = self.places(round)
        rows = slice(round.noise.first, round.noise.first + len(fakes))
        stored = self.images[slots[rows], torch.arange(2, device=slots.device)]
        return torch.where(swapped[rows, :, None, None, None], stored, fakes).flatten(1, 2)

    def after_discriminator_step(self, round: Round) -> None:
        """Put the fakes of the global batch into the pools."""
        if not self.pool_size:
            return
        slots, swapped, filling = self.places(round)
        fakes = by_domain(round.fake)
        everyones = fakes.new_zeros(len(slots), *fakes.shape[1:])
        everyones[round.noise.first : round.noise.first + len(fakes)] = fakes
        everyones = round.all_reduce_mean(everyones) * (
            len(slots) / len(fakes)
        )  # a mean of one rank's rows and of zeros
        enters, place = (swapped | filling)[:, :, None, None, None], (slots, torch.arange(2, device=slots.device))
        self.images[place] = torch.where(enters, everyones, self.images[place])
        self.held.add_(len(slots)).clamp_(max=self.pool_size)

    def places(self, round: Round) -> tuple[Tensor, Tensor, Tensor]:
        """Return what happens to each fake of this step's global batch, in each domain; the same at every call.

        Returns:
            The place in the pool that it is about, (global batch, 2) of int64, no two alike in a domain; whether it is
            swapped for what lies there, (global batch, 2); and whether it fills that place, (global batch, 1).
        """
        device = round.real.device
        batch_size = round.noise.batch_size or len(round.real)
        if batch_size > self.pool_size:
            raise ValueError(
                f"loss.objectives.adversarial.pool_size={self.pool_size} must not be smaller than "
                f"data.batch_size={batch_size}: choose a larger pool, a smaller batch, or pool_size=0 for no pool"
            )
        noise = Noise(*round.noise.parts, "pool")
        coins = noise.uniform(batch_size, (2,), device)
        shuffle = noise.uniform(self.pool_size, (2,), device)
        places = torch.arange(self.pool_size, device=device)[:, None]
        # Those that hold something first, in random order.
        order = torch.where(places < self.held, shuffle, 2.0).argsort(dim=0)
        row = torch.arange(batch_size, device=device)[:, None]
        empty = self.pool_size - self.held
        filling = row < empty
        slots = torch.where(filling, self.held + row, order[(row - empty).clamp(min=0).squeeze(1)])
        return slots, ~filling & (coins < 0.5), filling


class CycleConsistency(Objective):
    """weight * (E|F(G(a)) - a| + E|G(F(b)) - b|): what was translated there and back is the same (eq. 2).

    Args:
        weight: lambda, 10 in the paper, to means over pixels.

    Raises:
        ValueError: `weight` is negative.
    """

    def __init__(self, weight: float = 10.0) -> None:
        super().__init__()
        self.weight = not_negative("cycle", weight)

    def generator(self, round: Round) -> Tensor:
        """Return a scalar >= 0."""
        networks = translators_of(round)
        fake_a, fake_b = round.fake.chunk(2, dim=1)
        back = torch.cat([networks.b_to_a(fake_b), networks.a_to_b(fake_a)], dim=1)
        return 2 * self.weight * l1_loss(back.float(), round.latent.z)


class IdentityMapping(Objective):
    """weight * (E|F(a) - a| + E|G(b) - b|): what is in the target domain already stays as it is (section 5.2).

    It keeps colours, where nothing else says that day must not become night.

    Args:
        weight: 5 in the paper, half of the cycle's, to means over pixels; 0 leaves the term out.

    Raises:
        ValueError: `weight` is negative.
    """

    def __init__(self, weight: float = 5.0) -> None:
        super().__init__()
        self.weight = not_negative("identity", weight)

    def generator(self, round: Round) -> Tensor | None:
        """Return a scalar >= 0."""
        if self.weight == 0:
            return None
        networks = translators_of(round)
        a, b = round.latent.z.chunk(2, dim=1)
        same = torch.cat([networks.b_to_a(a), networks.a_to_b(b)], dim=1)
        return 2 * self.weight * l1_loss(same.float(), round.latent.z)


def translators_of(round: Round) -> CycleGANGenerators:
    """Return the generator as the two networks it is made of; a ValueError if it does not translate."""
    if not is_translator(round.generator):
        raise ValueError("variant=cyclegan needs a generator that translates both ways: choose model=cyclegan")
    return round.generator


def patches(output: DiscriminatorOutput) -> Tensor:
    """Return the scores of `output`, (batch, 2, height, width) of float32; a ValueError if they are not of patches."""
    if not isinstance(output, PatchOutput):
        raise ValueError("variant=cyclegan needs a discriminator that scores patches: choose model=cyclegan")
    return output.patches.float()


def over_domains(values: Tensor) -> Tensor:
    """Return the mean over batch and patches of `values` (batch, 2, height, width), summed over the two domains."""
    return values.mean((0, 2, 3)).sum()


def by_domain(samples: Tensor) -> Tensor:
    """Return samples (batch, 2 * channels, size, size) as (batch, 2, channels, size, size) of float32."""
    return samples.float().unflatten(1, (2, -1))
