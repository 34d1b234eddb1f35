"""An exported generator makes the samples of the one it was made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.compose import composed
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

import gan_lightning as gl
from gan_lightning.game import Latent
from gan_lightning.priors import ClassConditional
from gan_lightning.runs import export as module
from gan_lightning.utils.errors import UserError

onnxruntime = pytest.importorskip("onnxruntime")

Run = Callable[[Path, dict[str, Tensor]], Tensor]
SMALL = ("model.generator.width=8", "model.discriminator.width=8")
MODELS = {
    "mlp": ("model=mlp", "model.generator.width=8"),
    "dcgan": ("model=dcgan", *SMALL),
    "biggan": ("experiment=biggan", *SMALL),
    "one-hot classes": ("variant=cgan", "model=dcgan", *SMALL),
    "infogan": ("experiment=infogan", *SMALL),
}


def gan_of(*overrides: str) -> gl.GAN:
    """A GAN of a configuration, its averaged generator with statistics and weights of its own."""
    with composed(*overrides) as config:
        torch.manual_seed(0)
        gan = instantiate(config.gan, _convert_="all")
    assert isinstance(gan, gl.GAN)
    for weight in gan.averaged_generator.state_dict().values():
        if weight.is_floating_point():
            weight.mul_(1 + 0.2 * torch.rand_like(weight)).add_(0.01 * torch.rand_like(weight))
    return gan.eval()


def run_onnx(path: Path, inputs: dict[str, Tensor]) -> Tensor:
    session = onnxruntime.InferenceSession(path)
    assert [output.name for output in session.get_outputs()] == ["samples"]
    (samples,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    assert samples.dtype == np.float32
    return torch.from_numpy(samples)


def run_pt2(path: Path, inputs: dict[str, Tensor]) -> Tensor:
    samples: Tensor = torch.export.load(path).module()(**inputs)
    return samples


FORMATS: list[tuple[str, str, Run]] = [
    *((model, ".onnx", run_onnx) for model in MODELS),
    *((model, ".pt2", run_pt2) for model in MODELS if model != "biggan"),  # traced as for ONNX, in some seconds
]


@pytest.mark.parametrize(("model", "suffix", "run"), FORMATS)
def test_an_exported_generator_makes_the_same_samples(model: str, suffix: str, run: Run, tmp_path: Path) -> None:
    gan = gan_of(*MODELS[model])
    path = gl.export(gan, tmp_path / f"generator{suffix}")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    for count in (1, 5):  # neither is the batch that it was traced with
        rng, prior = torch.Generator().manual_seed(count), gan.prior
        latent: Latent = prior.sample(count, rng)
        inputs = {"z": latent.z}
        if isinstance(prior, ClassConditional):
            inputs = {"z": prior.noise(count, rng), "labels": torch.arange(count) % 10}
            latent = prior.from_classes(inputs["z"], inputs["labels"])
        samples = run(path, inputs)
        assert samples.shape == (count, 1, 28, 28)
        assert torch.allclose(samples, gan.generate(latent), atol=1e-4)
        assert samples.std() > 1e-3


def test_weights_can_be_loaded_into_the_generator_of_the_settings(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file

    gan = gan_of("model=dcgan", *SMALL)
    path = gl.export(gan, tmp_path / "generator.safetensors")
    weights = load_file(path)
    assert weights.keys() == gan.averaged_generator.state_dict().keys()
    assert all(torch.equal(weight, weights[name]) for name, weight in gan.averaged_generator.state_dict().items())
    with safe_open(path, "pt") as file:
        assert not file.metadata()
    with composed("model=dcgan", *SMALL) as config:
        settings = OmegaConf.to_container(config.model.generator, resolve=True)
    gan.save_hyperparameters({"gan": {"generator": settings}}, logger=False)
    with safe_open(gl.export(gan, path), "pt") as file:
        generator = instantiate(json.loads(file.metadata()["generator"]))
    generator.load_state_dict(weights)
    latent = gan.fixed_latents(3, "test")
    assert torch.equal(generator.eval()(latent), gan.generate(latent))


def test_exporting_leaves_the_gan_as_it_was(tmp_path: Path) -> None:
    gan = gan_of(*MODELS["mlp"]).train()
    before = gan.generate(gan.fixed_latents(3, "test"))
    gl.export(gan, tmp_path / "generator.pt2")
    assert gan.training and all(weight.requires_grad for weight in gan.generator.parameters())
    assert torch.equal(gan.generate(gan.fixed_latents(3, "test")), before)


def test_an_unknown_ending_and_a_missing_package_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"generator\.bin must end in \.onnx, \.pt2 or \.safetensors"):
        gl.export("nowhere", tmp_path / "generator.bin")
    with pytest.raises(UserError, match="nowhere holds no checkpoint"):
        gl.export("nowhere", tmp_path / "generator.pt2")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"\.onnx needs onnx and onnxscript: pip install 'gan_lightning\[export\]'"):
        gl.export("nowhere", tmp_path / "generator.onnx")
    assert not list(tmp_path.iterdir())
