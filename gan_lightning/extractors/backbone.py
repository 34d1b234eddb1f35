"""Any of torchvision's image classifiers, with the weights that come with it."""

from __future__ import annotations

import warnings
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torchvision
from torch import Tensor, nn

from gan_lightning.data.base import RealData
from gan_lightning.data.pixels import quantise
from gan_lightning.extractors.base import Extractor, Features, check_colours
from gan_lightning.extractors.download import download, hub_file, read_weights, weights_error_context, weights_file
from gan_lightning.utils.checks import fingerprint

IMAGES_AT_ONCE = 64


class Backbone(Extractor):
    """The features before the last linear layer of a classifier of ImageNet, and its logits.

    Kynkäänniemi et al. 2023, "The Role of ImageNet Classes in Fréchet Inception Distance", say why one wants the
    features of another network than Inception. Images are rounded to 8 bits, grey ones repeated to three channels, and
    then prepared as the weights require.

    Args:
        name: torchvision's, such as resnet50 or convnext_tiny; its default weights are taken.
        weights: the file of these weights; None takes it from torch.hub's cache, or downloads it there.

    Raises:
        FileNotFoundError: there is no such file, or it cannot be downloaded.
        ValueError: there is no such network, or it does not end in a linear layer.
    """

    def __init__(self, name: str, weights: str | Path | None = None) -> None:
        known = torchvision.models.list_models(module=torchvision.models)
        if name not in known:
            near = get_close_matches(str(name), known) or ["resnet50", "convnext_tiny", "vit_b_16"]
            raise ValueError(f"extractor.name={name} is none of torchvision's image classifiers: try {', '.join(near)}")
        self.name, self.weights = name, torchvision.models.get_model_weights(name).DEFAULT
        instead = "an extractor that needs none: extractor=digits"
        self.path = weights_file(weights, self.weights.url, f"the weights of {name}", instead)
        head = last_linear(build_without_weights(name))
        if head is None:
            raise ValueError(f"extractor.name={name} does not end in a linear layer: try resnet50")
        mark = Path(self.weights.url).stem.rpartition("-")[2]  # the first digits of the file's SHA-256
        mark = mark if self.path is None else fingerprint(self.path)[: len(mark)]
        super().__init__(head.in_features, head.out_features, f"{name}-{mark}")
        self.transforms = self.weights.transforms()
        resize, crop = self.transforms.resize_size[0], self.transforms.crop_size[0]
        self.preprocessing = (
            f"8 bits, grey repeated to 3 channels, shorter side {resize} ({self.transforms.interpolation.value}, "
            f"antialiased), centre {crop}x{crop}"
        )
        self.network: nn.Module | None = None

    def prepare(self, data: RealData | None = None) -> None:
        """Load the network, once; a ValueError or FileNotFoundError for a file that cannot be used."""
        if self.network is not None:
            return
        name = hub_file(self.weights.url).name
        path = self.path or download(self.weights.url, f"the weights of {self.name}")
        # torchvision's own reader would run code that the file holds. Its builders stay, as some do more than to load:
        # densenet's renames weights, those of googlenet, inception_v3 and vit build other layers for them.
        with weights_error_context(path, f"torchvision's {self.name}", name):
            state = read_weights(path, name)
            reading = patch.object(type(self.weights), "get_state_dict", lambda *_, **__: state)
            with torch.random.fork_rng(devices=[]), reading:
                network = build(self.name, self.weights)
        self.network = network.eval().requires_grad_(False)

    def extract(self, images: Tensor) -> Features:
        """Return the features of images (batch, 1 or 3, height, width) in [-1, 1]."""
        check_colours(images, self.name)
        self.prepare()
        assert self.network is not None
        network, features = self.network.to(images.device), list[Tensor]()
        head = last_linear(network)
        assert head is not None
        hook = head.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0].flatten(1)))
        try:
            pixels = quantise(images).to(torch.uint8).expand(-1, 3, -1, -1)
            logits = torch.cat([network(self.transforms(part)) for part in pixels.split(IMAGES_AT_ONCE)])
        finally:
            hook.remove()
        return Features(torch.cat(features), logits)


def build_without_weights(name: str) -> nn.Module:
    """Return torchvision's network for the shapes of its layers: without memory, where that can be done."""
    try:
        with torch.device("meta"):
            return build(name, None)
    except NotImplementedError:  # some compute their shapes with tensors
        with torch.random.fork_rng(devices=[]):
            return build(name, None)


def build(name: str, weights: Any) -> nn.Module:
    """Return torchvision's network, without its remarks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: nn.Module = torchvision.models.get_model(name, weights=weights)
    return network


def last_linear(network: nn.Module) -> nn.Linear | None:
    """Return the layer that makes the logits; None where that is none of this kind."""
    return next((layer for layer in reversed(list(network.modules())) if isinstance(layer, nn.Linear)), None)
