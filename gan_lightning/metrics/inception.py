"""The FID of the literature, for natural images."""

from __future__ import annotations

import pickle
from pathlib import Path
from urllib.request import urlopen

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchmetrics.image.fid import NoTrainInceptionV3

from gan_lightning.metrics.features import quantise
from gan_lightning.metrics.frechet import FrechetMetric

FILE_NAME = Path(URL_INCEPTION_V3).name
FEATURES = 2048
IMAGES_AT_ONCE = 64  # at 299x299 a hundred images already take half a gigabyte in the first layers
CONNECT_SECONDS = 10.0


class InceptionDistance(FrechetMetric):
    """Frechet Inception Distance: Heusel et al. 2017, with the weights of 2015-12-05 and TensorFlow's original resize.

    Images are rounded to 8 bits, grey ones repeated to three channels, and resized to 299x299. The network is that of
    torchmetrics and torch-fidelity; the moments are kept as those of the other metrics here are, so that real images
    are counted once and autocast cannot reach them.

    A figure means something only beside the number of fakes and the reference images that it was taken with: it falls
    with both.

    `compute` gives `fid`.

    Args:
        weights: the file of the network's weights; None takes it from torch.hub's cache, or downloads it there (91 MB).

    Raises:
        FileNotFoundError: there is no such file, or it cannot be downloaded.
        ValueError: the file holds something else.
    """

    keys = ("fid",)

    def __init__(self, weights: str | Path | None = None) -> None:
        network = inception(weights)
        super().__init__(FEATURES)
        self.network = network

    def accumulate(self, samples: Tensor, real: bool) -> None:
        """Take images (batch, 1 or 3, height, width) in [-1, 1].

        Raises:
            ValueError: the images have another number of channels.
        """
        if samples.ndim != 4 or samples.shape[1] not in (1, 3):
            raise ValueError(
                "Inception reads images (batch, 1 or 3, height, width), "
                f"not {tuple(samples.shape)}: choose metrics=sliced_wasserstein for this data"
            )
        pixels = quantise(samples).to(torch.uint8).expand(-1, 3, -1, -1)
        for part in pixels.split(IMAGES_AT_ONCE):
            self.accumulate_features(self.network(part), real)

    def compute(self) -> dict[str, float]:
        """The distance described above.

        Raises:
            ValueError: fewer than two real or two fake images.
        """
        return {"fid": self.distance()}


def inception(weights: str | Path | None) -> NoTrainInceptionV3:
    """The network with its weights from a file, from torch.hub's cache or from the net; the errors are told above."""
    weights = None if weights is None else Path(weights).expanduser()
    if weights is None:
        require_download()
    elif not weights.is_file():
        raise FileNotFoundError(f"metrics.weights={weights} does not exist: give the path of {FILE_NAME}")
    try:
        # Without antialiasing, as TensorFlow resized for the published figures.
        return NoTrainInceptionV3(
            "inception-v3-compat",
            [str(FEATURES)],
            feature_extractor_weights_path=None if weights is None else str(weights),
            antialias=False,
        )
    except (RuntimeError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{weights or 'the downloaded file'} does not hold the weights of the Inception network: "
            f"set metrics.weights to the path of {FILE_NAME}"
        ) from error


def require_download() -> None:
    """Make sure that the weights are in torch.hub's cache or can be fetched, without a long wait where there is no net.

    Raises:
        FileNotFoundError: neither.
    """
    if (Path(torch.hub.get_dir()) / "checkpoints" / FILE_NAME).is_file():
        return
    try:
        urlopen(URL_INCEPTION_V3, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise FileNotFoundError(
            f"the Inception weights could not be downloaded ({error}): "
            f"set metrics.weights to the path of {FILE_NAME}, or choose metrics=sliced_wasserstein"
        ) from error
