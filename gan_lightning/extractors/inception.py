"""The Inception network of the literature's FID, KID and Inception Score."""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from gan_lightning.data.base import RealData
from gan_lightning.data.pixels import quantise
from gan_lightning.extractors.base import Extractor, Features, check_colours
from gan_lightning.extractors.download import download, read_weights, weights_error_context, weights_file
from gan_lightning.utils.checks import fingerprint

FILE_NAME, WEIGHTS = Path(URL_INCEPTION_V3).name, "the Inception weights"
FEATURES, LOGITS = 2048, 1008
IMAGES_AT_ONCE = 64  # at 299x299 a hundred images already take half a gigabyte in the first layers
HASH = FILE_NAME.removesuffix(".pth").rpartition("-")[2]
"""The first digits of the SHA-256 of the file, as its name has them."""


class Inception(Extractor):
    """Inception v3 with the weights of 2015-12-05 and TensorFlow's original resize, as Heusel et al. 2017 used it.

    The network is torch-fidelity's. Images are rounded to 8 bits, grey ones repeated to three channels, and resized to
    299x299 without antialiasing. Logits are those without bias, as the Inception Score has always been computed.

    Args:
        weights: the file of the network's weights; None takes it from torch.hub's cache, or downloads it there (91 MB).

    Raises:
        FileNotFoundError: there is no such file, or it cannot be downloaded.
    """

    preprocessing = "8 bits, grey repeated to 3 channels, 299x299 (TensorFlow's bilinear)"

    def __init__(self, weights: str | Path | None = None) -> None:
        self.path = weights_file(weights, URL_INCEPTION_V3, WEIGHTS, "metrics=sliced_wasserstein")
        name = HASH if self.path is None else fingerprint(self.path)[: len(HASH)]
        super().__init__(FEATURES, LOGITS, f"inception-v3-{name}")
        self.network: FeatureExtractorInceptionV3 | None = None

    def prepare(self, data: RealData | None = None) -> None:
        """Load the network, once; a ValueError or FileNotFoundError for a file that cannot be used."""
        if self.network is not None:
            return
        path = self.path or download(URL_INCEPTION_V3, WEIGHTS)
        with weights_error_context(path, "the Inception network", FILE_NAME):
            checked = io.BytesIO()  # torch-fidelity would run what code a file has: it is given what the weights are
            torch.save(read_weights(path, FILE_NAME), checked)
            checked.seek(0)
            with torch.random.fork_rng(devices=[]):  # weights are drawn before they are loaded
                network = FeatureExtractorInceptionV3(
                    "inception-v3-compat",
                    [str(FEATURES), "logits_unbiased"],
                    feature_extractor_weights_path=checked,
                )
        self.network = network.eval().requires_grad_(False)

    def extract(self, images: Tensor) -> Features:
        """Return the features of images (batch, 1 or 3, height, width) in [-1, 1]."""
        check_colours(images, "Inception")
        self.prepare()
        assert self.network is not None
        pixels = quantise(images).to(torch.uint8).expand(-1, 3, -1, -1)
        parts = [self.network.to(images.device)(part) for part in pixels.split(IMAGES_AT_ONCE)]
        return Features(*(torch.cat(kind) for kind in zip(*parts, strict=True)))
