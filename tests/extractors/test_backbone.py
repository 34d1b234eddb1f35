from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights, get_model, resnet18
from torchvision.transforms.v2.functional import to_pil_image

from gan_lightning.extractors import download
from gan_lightning.extractors.backbone import Backbone


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, in the format of the real file."""
    path = tmp_path_factory.mktemp("backbone") / "weights.pth"
    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), path)
    return path


def test_features_and_logits_are_the_networks_under_its_own_preprocessing(weights: Path):
    """The reference: files read by Pillow, torchvision's network and transform."""
    pixels = torch.randint(256, (3, 3, 40, 48), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    extractor = Backbone("resnet18", weights)
    before = torch.get_rng_state(), torch.hub.get_dir()
    seen = extractor(pixels / 127.5 - 1.0)
    assert torch.equal(torch.get_rng_state(), before[0]) and torch.hub.get_dir() == before[1]
    network = resnet18()
    network.load_state_dict(torch.load(weights))
    images: list[Image.Image] = [to_pil_image(image) for image in pixels]
    prepared = torch.stack([ResNet18_Weights.DEFAULT.transforms()(image) for image in images])
    with torch.no_grad():
        logits = network.eval()(prepared)
        network.fc = torch.nn.Identity()
        features = network(prepared)
    assert (extractor.dim, extractor.num_classes) == (512, 1000)
    torch.testing.assert_close(seen.features, features, rtol=0.02, atol=0.02 * features.std().item())  # uint8 resize
    assert seen.logits is not None
    torch.testing.assert_close(seen.logits, logits, rtol=0.05, atol=0.05 * logits.std().item())
    torch.testing.assert_close(extractor.network.fc(seen.features), seen.logits)  # type: ignore[union-attr,operator]


@pytest.mark.parametrize("name", ["densenet121", "googlenet"])
def test_networks_whose_builders_depend_on_the_weights_are_those_of_torchvision(name: str, tmp_path: Path):
    """Held against a plain load of the same weights; densenet's file has its old names."""
    torch.manual_seed(0)
    network = get_model(name, **({"init_weights": False} if name == "googlenet" else {})).eval()
    state = {key: value for key, value in network.state_dict().items() if "num_batches_tracked" not in key}
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value for key, value in state.items()}
    torch.save(old, tmp_path / "weights.pth")
    network.transform_input = True
    extractor = Backbone(name, tmp_path / "weights.pth")
    pixels = torch.randint(256, (1, 3, 80, 80), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    seen = extractor(pixels / 127.5 - 1.0)
    with torch.no_grad():
        expected = network(extractor.transforms(pixels))
    assert seen.logits is not None and torch.equal(seen.logits, expected)


def test_grey_images_have_three_equal_channels(weights: Path):
    grey = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    extractor = Backbone("resnet18", weights)
    assert torch.equal(extractor(grey).features, extractor(grey.repeat(1, 3, 1, 1)).features)
    with pytest.raises(ValueError, match=r"resnet18 reads images .* metrics=sliced_wasserstein"):
        extractor(torch.zeros(2, 2, 8, 8))


class Intruder:
    """Leaves a file behind when it is unpickled as Python does it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_code_in_a_file_is_not_run(tmp_path: Path, weights: Path):
    """Weights in the oldest format pass every check, and behind them torch.hub finds an archive of something else."""
    path = tmp_path / "weights.pth"
    torch.save(torch.load(weights), path, _use_new_zipfile_serialization=False)
    torch.save(Intruder(tmp_path / "mark"), tmp_path / "intruder.pth", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(tmp_path / "intruder.pth", "intruder.pth")
    extractor = Backbone("resnet18", path)
    extractor.prepare()
    assert not (tmp_path / "mark").exists()
    assert extractor.network is not None
    assert all(torch.equal(value, torch.load(weights)[name]) for name, value in extractor.network.state_dict().items())
    with pytest.raises(ValueError, match=r"intruder\.pth does not hold the weights"):
        Backbone("resnet18", tmp_path / "intruder.pth").prepare()
    assert not (tmp_path / "mark").exists()


def test_an_image_that_is_not_finite_has_neither_features_nor_logits(weights: Path):
    images = torch.zeros(2, 3, 8, 8)
    images[0, 0, 0, 0] = torch.nan
    for values in Backbone("resnet18", weights)(images):
        assert values is not None
        assert values.isnan().all(dim=1).tolist() == [True, False]


def test_weights_that_are_not_there_are_refused_with_the_way_out(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
):
    def unreachable(url: str, timeout: float) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(download, "urlopen", unreachable)
    with pytest.raises(FileNotFoundError, match=r"weights of resnet18 could not be downloaded .*extractor\.weights"):
        Backbone("resnet18")
    with pytest.raises(FileNotFoundError, match=r"absent\.pth does not exist"):
        Backbone("resnet18", tmp_path / "absent.pth")
    with pytest.raises(ValueError, match=r"none of torchvision's image classifiers: try resnet"):
        Backbone("resnet9")
    with pytest.raises(ValueError, match=r"squeezenet1_0 does not end in a linear layer"):
        Backbone("squeezenet1_0", weights)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "page.pth").write_bytes(b"<html>")
    for name in ("other.pth", "page.pth"):
        with pytest.raises(ValueError, match=rf"{name} does not hold the weights of torchvision's resnet18"):
            Backbone("resnet18", tmp_path / name).prepare()
