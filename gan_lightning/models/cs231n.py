"""Convolutional networks of Stanford's cs231n GAN assignment, after InfoGAN's, for 28x28 grey images.

Kept exactly, with the norm after the activation, so that results compare with its published pictures. Its settings:
noise ~ U(-1, 1) of 96 dimensions, batches of 128, Adam at 1e-3 with beta1 .5.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from gan_lightning.game import DiscriminatorOutput, Latent


class CS231nGenerator(nn.Module):
    """Two dense layers, then two transposed convolutions: 6 675 009 weights with 96 dimensions of noise.

    Args:
        latent_dim: length of the noise z.
        shape: of an image, (1, 28, 28).

    Raises:
        ValueError: another shape.
    """

    def __init__(self, latent_dim: int, shape: Sequence[int]) -> None:
        super().__init__()
        check_mnist_shape(shape)
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 1024),
            nn.ReLU(),
            nn.BatchNorm1d(1024),
            nn.Linear(1024, 128 * 7 * 7),
            nn.ReLU(),
            nn.BatchNorm1d(128 * 7 * 7),
            nn.Unflatten(1, (128, 7, 7)),
            nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(64),
            nn.ConvTranspose2d(64, 1, 4, stride=2, padding=1),
            nn.Tanh(),
        ).apply(initialise)

    def forward(self, latent: Latent) -> Tensor:
        """Return images in [-1, 1], (batch, 1, 28, 28)."""
        return self.layers(latent.z)


class CS231nDiscriminator(nn.Module):
    """Two convolutions with max-pooling, a dense layer, a score: 1 102 721 weights. No norm, so that any loss will do.

    Args:
        shape: of an image, (1, 28, 28).

    Raises:
        ValueError: another shape.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        check_mnist_shape(shape)
        self.hidden = nn.Sequential(
            nn.Conv2d(1, 32, 5),
            nn.LeakyReLU(0.01),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5),
            nn.LeakyReLU(0.01),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, 64 * 4 * 4),
            nn.LeakyReLU(0.01),
        ).apply(initialise)
        self.score = nn.Linear(64 * 4 * 4, 1).apply(initialise)

    def forward(self, samples: Tensor) -> DiscriminatorOutput:
        """Return logits (batch,) of images (batch, 1, 28, 28); features are the dense hidden layer, (batch, 1024)."""
        features = self.hidden(samples)
        return DiscriminatorOutput(self.score(features).squeeze(1), features)


def check_mnist_shape(shape: Sequence[int]) -> None:
    """Refuse all but 28x28 grey images."""
    if tuple(shape) != (1, 28, 28):
        raise ValueError(f"model=cs231n makes images of 28x28 pixels with 1 channel, not data.shape={list(shape)}")


def initialise(module: nn.Module) -> None:
    """Set Xavier's uniform weights and biases of 0, the defaults of the framework of the assignment."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
