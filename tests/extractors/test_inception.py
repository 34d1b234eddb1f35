from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image.fid import FrechetInceptionDistance

from gan_lightning.extractors import download, inception
from gan_lightning.extractors.inception import Inception
from gan_lightning.metrics.fid import FrechetDistance


class Recorder(nn.Module):
    """In the network's place: keeps what it is given, and returns mean colours in the first of 2048 features."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(pixels)
        return nn.functional.pad(pixels.float().mean(dim=(2, 3)), (0, 2045)), torch.zeros(len(pixels), 1008)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def extractor(recorder: Recorder, tmp_path: Path) -> Inception:
    """With the recorder in the network's place."""
    (tmp_path / "weights.pth").write_bytes(b"whatever")
    extractor = Inception(tmp_path / "weights.pth")
    extractor.network = recorder
    return extractor


def test_the_network_sees_8_bits_in_three_channels_and_few_images_at_once(recorder: Recorder, extractor: Inception):
    levels = torch.arange(256).float().reshape(1, 1, 16, 16) / 127.5 - 1.0
    images = levels.repeat(130, 1, 1, 1) + 0.4 / 127.5
    seen = extractor(images)
    assert (seen.features.shape, seen.logits.shape) == ((130, 2048), (130, 1008))
    assert [len(part) for part in recorder.seen] == [64, 64, 2]
    pixels = torch.cat(recorder.seen)
    assert pixels.dtype == torch.uint8
    expected = np.clip(np.rint(np.arange(256) + 0.4), 0, 255).reshape(16, 16)
    for channel in range(3):
        np.testing.assert_array_equal(pixels[5, channel], expected)


def test_colour_is_left_in_its_channels(recorder: Recorder, extractor: Inception):
    images = torch.stack([torch.full((8, 8), level) for level in (-1.0, 0.0, 2.0)]).unsqueeze(0)
    extractor(images)
    assert [int(channel.unique()) for channel in recorder.seen[0][0]] == [0, 128, 255]


@pytest.mark.parametrize("shape", [(2, 2, 8, 8), (2, 1), (2, 3, 8)])
def test_what_is_no_image_is_refused(extractor: Inception, shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"batch, 1 or 3, height, width.* metrics=sliced_wasserstein"):
        extractor(torch.zeros(shape))


def test_a_missing_file_is_refused_at_once(tmp_path: Path):
    with pytest.raises(
        FileNotFoundError, match=r"extractor\.weights=.*absent\.pth does not exist: give the path of wei"
    ):
        Inception(tmp_path / "absent.pth")


def test_without_network_the_error_names_the_way_out_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def unreachable(url: str, timeout: float) -> None:
        assert 0 < timeout <= 10
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(download, "urlopen", unreachable)
    started = time.monotonic()
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded.* extractor\.weights .* metrics=sliced_wass"):
        Inception()
    assert time.monotonic() - started < 1


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the network, in the format of the real file."""
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *a, **k: {})
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.slow
def test_the_distance_is_torchmetrics(weights: Path):
    """Under the same weights and the same pixels; over fewer images than features, where rounding is worst."""
    rng = torch.Generator().manual_seed(0)
    real = torch.randint(256, (6, 1, 16, 16), generator=rng, dtype=torch.uint8)
    fake = torch.randint(128, (5, 1, 16, 16), generator=rng, dtype=torch.uint8)
    ours = FrechetDistance(Inception(weights))
    theirs = FrechetInceptionDistance(feature_extractor_weights_path=str(weights), antialias=False)
    for images, is_real in ((real, True), (fake, False)):
        ours.update(images / 127.5 - 1.0, real=is_real)
        theirs.update(images.repeat(1, 3, 1, 1), real=is_real)
    torch.testing.assert_close(ours.real_sum, theirs.real_features_sum)
    torch.testing.assert_close(ours.fake_outer, theirs.fake_features_cov_sum)
    # Their way to the root's trace takes minutes at this size; the singular values of the features give it at once.
    a, b = (ours.extractor(images / 127.5 - 1.0).features.double() for images in (real, fake))
    a_root, b_root = ((x - x.mean(dim=0)) / (len(x) - 1) ** 0.5 for x in (a, b))
    trace = a_root.square().sum() + b_root.square().sum() - 2 * torch.linalg.svdvals(a_root @ b_root.T).sum()
    expected = ((a.mean(dim=0) - b.mean(dim=0)).square().sum() + trace).item()
    assert ours.compute()["fid"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_the_resize_is_tensorflows(weights: Path):
    """The original, without antialiasing, halves an image by taking every second pixel."""
    extractor = Inception(weights)
    extractor.prepare()
    network = extractor.network
    assert network is not None and network.use_antialias is False
    image = torch.randint(256, (2, 3, 598, 598), dtype=torch.uint8)
    every_second = image[:, :, ::2, ::2]
    torch.testing.assert_close(network(image)[0], network(every_second)[0])
    blurred = interpolate(image.float(), size=(299, 299), mode="bilinear", antialias=True).to(torch.uint8)
    assert (network(image)[0] - network(blurred)[0]).abs().max() > 1e-3


class Intruder:
    """Leaves a file behind when it is unpickled as Python does it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_code_in_a_file_is_not_run(tmp_path: Path):
    torch.save(Intruder(tmp_path / "mark"), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth does not hold the weights"):
        Inception(tmp_path / "other.pth").prepare()
    assert not (tmp_path / "mark").exists()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is downloaded to an empty folder of torch's, whose name says what its digits are."""
    path = tmp_path / f"weights-{hashlib.sha256(b'weights').hexdigest()[:8]}.pth"
    path.write_bytes(b"weights")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(inception, "URL_INCEPTION_V3", path.as_uri())
    return path


def test_a_download_that_is_cut_off_leaves_nothing_behind(served: Path, tmp_path: Path):
    extractor = Inception()
    served.write_bytes(b"weig")
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded .*hash.* set extractor\.weights to the path"):
        extractor.prepare()
    assert not [path for path in (tmp_path / "torch").rglob("*") if path.is_file()]
    served.unlink()
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded .*: set extractor\.weights to the path"):
        extractor.prepare()


def test_a_download_is_held_against_its_name_kept_and_read_without_running_its_code(served: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=rf"{served.name} does not hold the weights of the Inception network"):
        Inception().prepare()
    assert (tmp_path / "torch" / "hub" / "checkpoints" / served.name).read_bytes() == b"weights"


def test_an_image_that_is_not_finite_has_neither_features_nor_logits(extractor: Inception):
    images = torch.zeros(3, 1, 8, 8)
    images[0, 0, 0, 0], images[2, 0, 7, 7] = torch.nan, torch.inf
    for values in extractor(images):
        assert values is not None
        assert values.isnan().all(dim=1).tolist() == [True, False, True]


@pytest.mark.slow
def test_a_file_of_something_else_is_refused(tmp_path: Path):
    contents: list[object] = [{"state_dict": {}}, [1, 2]]
    for content in contents:
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=r"other\.pth does not hold the weights.* set extractor\.weights"):
            Inception(tmp_path / "other.pth").prepare()
    (tmp_path / "other.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"other\.pth does not hold the weights"):
        Inception(tmp_path / "other.pth").prepare()


@pytest.mark.slow
def test_preparing_leaves_torchs_random_state_alone(weights: Path):
    before = torch.get_rng_state()
    Inception(weights).prepare()
    assert torch.equal(torch.get_rng_state(), before)


def test_one_file_has_one_identity_and_another_file_another(tmp_path: Path):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (Inception(tmp_path / name).fingerprint for name in "abc")
    assert a == b != c


def test_the_file_in_torchs_folder_is_found(served: Path, tmp_path: Path):
    kept = tmp_path / "torch" / "hub" / "checkpoints" / served.name
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"weights")
    assert Inception().path == kept


@pytest.mark.parametrize("content", [b"", b"weight", b"weighty", b"weights and more"])
def test_a_damaged_file_in_torchs_folder_is_downloaded_again(
    content: bytes, served: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """With the right size and another content too."""
    kept = tmp_path / "torch" / "hub" / "checkpoints" / served.name
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content)
    extractor = Inception()
    assert extractor.path is None
    with pytest.raises(ValueError, match="does not hold the weights"):
        extractor.prepare()
    assert kept.read_bytes() == b"weights"
    assert "is damaged, its SHA-256 is not that in its name" in caplog.text
