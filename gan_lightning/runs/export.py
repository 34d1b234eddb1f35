"""A trained generator as a file for other programs: ONNX, torch.export or safetensors."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Collection
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gan_lightning.game import Latent
from gan_lightning.gan import GAN
from gan_lightning.priors import ClassConditional, Prior
from gan_lightning.runs.api import load
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import atomic_write


class TensorGenerator(nn.Module):
    """A generator whose inputs are tensors.

    Args:
        generator: called with a `Latent`.
        prior: whose latents it takes.
    """

    def __init__(self, generator: nn.Module, prior: Prior) -> None:
        super().__init__()
        self.generator, self.prior = generator, prior

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the samples of noise z (batch, dim), for a class-conditional generator of the classes (batch,)."""
        if labels is not None and isinstance(self.prior, ClassConditional):
            samples: Tensor = self.generator(self.prior.from_classes(z, labels))
        else:
            samples = self.generator(Latent(z))
        return samples


def export(
    run: GAN | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    which: Literal["last", "best"] = "last",
    trust: Collection[str] = (),
) -> Path:
    """Write the averaged generator of a run to a file that other programs read.

    ``.onnx`` and ``.pt2`` hold the network with inputs ``z`` (batch, dim) of float32 and, where the prior is
    class-conditional, ``labels`` (batch,) of int64; the batch may have any size. Their output ``samples`` is that of
    `GAN.generate`, images in [-1, 1]. ``.safetensors`` holds the weights alone, by their names in the generator, and
    how it was built as JSON in the metadata ``generator``.

    Args:
        run: a run directory, a `Run`, a checkpoint file or a `GAN`.
        path: the file; its ending chooses the format. A file that is there is replaced.
        which: the checkpoint of a run directory.
        trust: see `load`.

    Returns:
        The path of the file.

    Raises:
        UserError: the ending is none of the three, a package that the format needs is not installed, or there is no
            such run.

    Examples:
        >>> gl.export("outputs/runs/digits", "generator.onnx", which="best")
        PosixPath('generator.onnx')
        >>> onnxruntime.InferenceSession("generator.onnx").run(None, {"z": z})  # [samples]
    """
    path = Path(path).expanduser()
    if path.suffix not in WRITERS:
        *others, last = WRITERS
        raise UserError(f"{path} must end in {', '.join(others)} or {last}: the ending chooses the format")
    packages, write = WRITERS[path.suffix]
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise UserError(f"{path.suffix} needs {' and '.join(missing)}: pip install 'gan_lightning[export]'")
    gan = run if isinstance(run, GAN) else load(run, which, trust=trust)
    generator = (
        TensorGenerator(deepcopy(gan.averaged_generator), deepcopy(gan.prior)).cpu().eval().requires_grad_(False)
    )
    with atomic_write(path) as unfinished, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters, about themselves
        write(generator, unfinished, gan)
    return path


def example_inputs(generator: TensorGenerator) -> dict[str, Tensor]:
    """Return inputs for two samples, by their names."""
    prior, rng = generator.prior, torch.Generator().manual_seed(0)
    inputs = {"z": prior.noise(2, rng)}
    if isinstance(prior, ClassConditional):
        return {**inputs, "labels": torch.arange(2) % prior.num_classes}
    return {"z": prior.sample(2, rng).z}


def traced(generator: TensorGenerator) -> torch.export.ExportedProgram:
    """Trace `generator` for any batch size."""
    inputs = example_inputs(generator)
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} for name in inputs}
    return torch.export.export(generator, (), inputs, dynamic_shapes=shapes)


def write_pt2(generator: TensorGenerator, path: Path, gan: GAN) -> None:
    """Write what `torch.export.load` reads."""
    with path.open("wb") as file:
        torch.export.save(traced(generator), file)


def write_onnx(generator: TensorGenerator, path: Path, gan: GAN) -> None:
    """Write an ONNX model, weights included."""
    names = list(example_inputs(generator))
    torch.onnx.export(
        traced(generator),
        (),
        path,
        dynamo=True,
        verbose=False,
        input_names=names,
        output_names=["samples"],
        external_data=False,
    )


def write_safetensors(generator: TensorGenerator, path: Path, gan: GAN) -> None:
    """Write the weights, with the generator's settings where the GAN knows those of its run."""
    from safetensors.torch import save_file

    settings = gan.hparams.get("gan", {}).get("generator")
    metadata = {} if settings is None else {"generator": json.dumps(settings)}
    weights = {name: weight.contiguous() for name, weight in generator.generator.state_dict().items()}
    save_file(weights, path, metadata)


WRITERS: dict[str, tuple[tuple[str, ...], Callable[[TensorGenerator, Path, GAN], Any]]] = {
    ".onnx": (("onnx", "onnxscript"), write_onnx),
    ".pt2": ((), write_pt2),
    ".safetensors": (("safetensors",), write_safetensors),
}
"""The packages that a format needs and what writes it, by the ending of its files."""
