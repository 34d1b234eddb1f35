"""Training loops of a DCGAN as they are written by hand, without a framework, to hold the platform against.

Both play the platform's own networks with Adam's settings of the same configuration; a call is one iteration.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from gan_lightning.data.image_data import ImageData
from gan_lightning.game import Latent
from gan_lightning.utils.processor import has_native_bfloat16


class PlainLoop:
    """The DCGAN of PyTorch's examples (pytorch/examples, dcgan/main.py): the loop that most people start from.

    float32, binary cross-entropy, images read one by one through PIL transforms by a DataLoader, one batch of fakes for
    both players, losses fetched at every iteration. Only its sigmoid is missing, which the loss contains here.

    Args:
        config: what train.py composes; `data` must hold its images in memory.
        workers: processes that read images, as there two by default.
    """

    def __init__(self, config: DictConfig, workers: int = 2) -> None:
        self.generator = instantiate(config.model.generator)
        self.discriminator = instantiate(config.model.discriminator)
        rate, betas = config.optimizer.lr, tuple(config.optimizer.betas)
        self.of_generator = torch.optim.Adam(self.generator.parameters(), lr=rate, betas=betas)
        self.of_discriminator = torch.optim.Adam(self.discriminator.parameters(), lr=rate, betas=betas)
        images = PILImages(data_of(config).read(train=True).pixels, config.data.image_size)
        loader = DataLoader(images, config.data.batch_size, shuffle=True, num_workers=workers)
        self.batches: Iterator[list[Tensor]] = chain.from_iterable(repeat(loader))
        self.dim = config.prior.dim
        self.losses = (0.0, 0.0)

    def __call__(self) -> int:
        """Update both players; returns how many real images that took."""
        real, _ = next(self.batches)
        self.discriminator.zero_grad()
        error_of_real = self.error(real, 1.0)
        error_of_real.backward()
        fake = self.generator(Latent(torch.randn(len(real), self.dim)))
        error_of_fake = self.error(fake.detach(), 0.0)
        error_of_fake.backward()
        self.of_discriminator.step()
        self.generator.zero_grad()
        error_of_generator = self.error(fake, 1.0)
        error_of_generator.backward()
        self.of_generator.step()
        self.losses = (error_of_real.item() + error_of_fake.item(), error_of_generator.item())
        return len(real)

    def error(self, samples: Tensor, target: float) -> Tensor:
        """Return the cross-entropy of the discriminator's logits with `target`: 1 for real, 0 for fake."""
        logits = self.discriminator(samples).logits
        return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


class PILImages(Dataset[tuple[Tensor, int]]):
    """Images that are transformed one by one when they are indexed, as torchvision's datasets do it.

    Args:
        pixels: uint8, (size, 1 or 3 channels, height, width).
        size: wanted, in pixels.
    """

    def __init__(self, pixels: Tensor, size: int) -> None:
        self.pixels = pixels.permute(0, 2, 3, 1).squeeze(3).numpy()
        self.transform = transforms.Compose(
            [transforms.Resize(size), transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), 0


class TunedLoop:
    """What an expert writes: as fast as PyTorch alone goes without leaving its documented ways.

    bfloat16 autocast where the hardware has it, channels_last, uint8 images on the device that are gathered and
    normalised batch by batch, fused Adam, no gradient for weights that do not step, nothing fetched from the device.
    It keeps no averaged generator, logs nothing and shows nothing.

    Args:
        config: what train.py composes; `data` must hold its images in memory.
        device: where to train.
        share_fakes: the generator steps on the fakes that the discriminator saw; False makes fresh ones.
        compile: let torch.compile fuse each network.
    """

    def __init__(
        self,
        config: DictConfig,
        device: torch.device | str = "cpu",
        *,
        share_fakes: bool = False,
        compile: bool = False,
    ) -> None:
        self.device, self.share_fakes = torch.device(device), share_fakes
        self.half = has_native_bfloat16(self.device.type == "cuda")
        self.generator = self.placed(instantiate(config.model.generator))
        self.discriminator = self.placed(instantiate(config.model.discriminator))
        self.of_generator = instantiate(config.optimizer.generator)(self.generator.parameters())
        self.of_discriminator = instantiate(config.optimizer.discriminator)(self.discriminator.parameters())
        if compile:
            self.generator.compile(dynamic=False)
            self.discriminator.compile(dynamic=False)
        self.pixels = data_of(config).split(train=True, device=self.device).pixels
        self.batch, self.dim = config.data.batch_size, config.prior.dim
        self.batches = self.gathered()

    def placed(self, network: nn.Module) -> nn.Module:
        """Return the network on the device, in the memory format that convolutions like."""
        return convert_conv2d_weight_memory_format(network.to(self.device), torch.channels_last)

    def gathered(self) -> Iterator[Tensor]:
        """Yield endless batches in [-1, 1]: whole ones of one permutation, then of the next."""
        count = len(self.pixels)
        while True:
            order = torch.randperm(max(count, self.batch), device=self.device) % count
            for rows in order[: len(order) // self.batch * self.batch].split(self.batch):
                images = self.pixels.index_select(0, rows).float().div_(127.5).sub_(1)
                yield images.contiguous(memory_format=torch.channels_last)

    def __call__(self) -> int:
        """Update both players; returns how many real images that took."""
        real = next(self.batches)
        with self.autocast():
            with torch.set_grad_enabled(self.share_fakes):
                fake = self.fakes()
            loss = softplus(-self.scores(real)).mean() + softplus(self.scores(fake.detach())).mean()
        loss.backward()
        self.of_discriminator.step()
        self.of_discriminator.zero_grad()
        self.discriminator.requires_grad_(False)
        with self.autocast():
            loss = softplus(-self.scores(fake if self.share_fakes else self.fakes())).mean()
        loss.backward()
        self.of_generator.step()
        self.of_generator.zero_grad()
        self.discriminator.requires_grad_(True)
        return len(real)

    def autocast(self) -> torch.autocast:
        """Return bfloat16 autocast."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def fakes(self) -> Tensor:
        """Return a batch of the generator's images."""
        fakes: Tensor = self.generator(Latent(torch.randn(self.batch, self.dim, device=self.device)))
        return fakes

    def scores(self, samples: Tensor) -> Tensor:
        """Return the discriminator's logits, float32."""
        logits: Tensor = self.discriminator(samples).logits
        return logits.float()


def data_of(config: DictConfig) -> ImageData:
    """Return the configuration's source of images.

    Raises:
        ValueError: it holds no images in memory.
    """
    data = instantiate(config.data, _convert_="all")
    if not isinstance(data, ImageData):
        raise ValueError(f"the benchmarks read images in memory, such as data=mnist10k, not {type(data).__name__}")
    return data
