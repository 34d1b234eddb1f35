"""The metrics of a trained generator, computed again from its checkpoint or from a loaded `GAN`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lightning.data.base import RealData
from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.evaluation.results import EvaluationResult
from gan_lightning.gan import GAN
from gan_lightning.metrics.base import SampleMetric
from gan_lightning.runs.checkpoints import load, move_data
from gan_lightning.runs.run_dir import checkpoint_of
from gan_lightning.trainer.hardware import device_named
from gan_lightning.utils.checks import check_int
from gan_lightning.utils.composition import compose_packaged
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import cache_folder
from gan_lightning.utils.instantiation import user_errors


class Source(NamedTuple):
    """What is evaluated: a GAN, the configuration of its run, and the checkpoint it came from, if any."""

    gan: GAN
    config: DictConfig
    checkpoint: Path | None


def evaluate(
    run: GAN | str | os.PathLike[str],
    metrics: str | Sequence[str] | Mapping[str, SampleMetric] | DictConfig | None = None,
    *,
    extractor: str | DictConfig | None = None,
    num_fakes: int | None = None,
    seed: int | None = None,
    weights: Literal["ema", "raw"] = "ema",
    which: Literal["last", "best"] = "last",
    device: str = "auto",
    data: RealData | Mapping[str, Any] | None = None,
    cache: str | None = "auto",
    trust: Collection[str] = (),
) -> EvaluationResult:
    """Evaluate a trained generator on the reference samples of its data.

    Without further arguments the numbers are those that training logged at the checkpoint's iteration.

    Args:
        run: a run directory, a checkpoint file, or a `GAN`; one that knows no configuration needs `metrics` and `data`.
        metrics: names of files in conf/metrics, such as ["digits", "kid"]; metrics by names of your own; or the
            configuration that such a file gives. None: those of the run.
        extractor: the name of a file in conf/extractor, or the configuration that it gives. None: that of the run.
        num_fakes: how many samples are generated. None: as many as in the run, or as the file of the metrics says.
        seed: of the latents. None: the run's own.
        weights: "ema" for the averaged generator, "raw" for the generator itself.
        which: the checkpoint of a run directory.
        device: "cpu", "cuda", "cuda:1"; "auto" is the first GPU if there is one, or where a given `GAN` is.
        data: a data module in the place of the run's; or settings that say where the run's data are now, such as
            {"root": "/where/the/images/are"}.
        cache: the folder where the metrics' states of real samples are kept, "auto" as `cache_folder` says; None keeps
            nothing.
        trust: code that a checkpoint may name although no file of conf/ does.

    Returns:
        The numbers as ``val/<key>``, their protocol, and what was evaluated.

    Raises:
        UserError: there is no such run, or run, data and metrics do not go together.

    Examples:
        >>> gl.evaluate("outputs/runs/digits", metrics=["digits", "kid"], num_fakes=5000)["fid"]
        57.1
    """
    check_choices(num_fakes, seed, weights)
    moved = dict(data) if isinstance(data, Mapping) else {}
    gan, config, checkpoint = source_of(run, which, device, moved, trust)
    with user_errors(), as_chosen(gan, config, weights, seed):
        reference = data if isinstance(data, RealData) else data_of(config)
        chosen, num_fakes = build_metrics(config, reference, metrics, extractor, num_fakes)
        evaluator = Evaluator(chosen, cache=cache_folder(cache))
        reference.prepare_data()
        reference.setup("fit")
        evaluator.prepare_gan(gan, reference, num_fakes)
        protocol = evaluator.gan_protocol(gan, reference, num_fakes, weights)
        values = evaluator.evaluate_gan(gan, num_fakes)
        source = {
            "checkpoint": None if checkpoint is None else str(checkpoint),
            "iterations": gan.iterations,
            "images": gan.images,
            "weights": weights,
            "seed": gan.seed,
            "num_fakes": num_fakes,
            "reference_size": reference.reference_size,
            "data": OmegaConf.to_container(config.data, resolve=True),
            "metrics": OmegaConf.to_container(config.metrics, resolve=True),
        }
    return EvaluationResult(values, protocol, source)


def check_choices(num_fakes: int | None, seed: int | None, weights: str) -> None:
    """Raise a UserError for values that cannot be."""
    with user_errors():
        for key, value, least in (("num_fakes", num_fakes, 1), ("seed", seed, 0)):
            if value is not None:
                check_int(key, value, least)
    if weights not in ("ema", "raw"):
        raise UserError(f"weights must be ema or raw, not {weights}")


def source_of(
    run: GAN | str | os.PathLike[str], which: str, device: str, moved: dict[str, Any], trust: Collection[str]
) -> Source:
    """Return the GAN that `run` names, on `device`, with its configuration; see `evaluate`."""
    if isinstance(run, GAN):
        gan = run if device == "auto" else run.to(device_named(device))
        known = {part: run.hparams[part] for part in ("data", "extractor", "metrics", "trainer") if part in run.hparams}
        config = OmegaConf.create({"data": {}, "metrics": {"metrics": {}}, **known})
        move_data(config, moved)
        return Source(gan, config, None)
    if which not in ("last", "best"):
        raise UserError(f"which must be last or best, not {which}")
    checkpoint = checkpoint_of(os.fspath(run), which)
    # Data are moved before the GAN is built: a prior that draws from them reads them then.
    loaded = load(checkpoint, device_named(device), trust, lambda config: move_data(config, moved))
    return Source(loaded.gan, loaded.config, checkpoint)


@contextmanager
def as_chosen(gan: GAN, config: DictConfig, weights: str, seed: int | None) -> Iterator[None]:
    """Within, `gan` generates with the chosen weights and seed; its networks are laid out in memory as in training."""
    if (config.get("trainer") or {}).get("channels_last"):  # so that numbers come out the same to the last bit
        gan.to(memory_format=torch.channels_last)
    before, averaged = gan.seed, gan.averaged_generator
    modes = [(network, network.training) for network in (gan.generator, averaged)]
    try:
        gan.seed = before if seed is None else seed
        gan.averaged_generator = gan.generator if weights == "raw" else averaged
        yield
    finally:
        gan.seed, gan.averaged_generator = before, averaged
        for network, training in modes:
            if network.training != training:
                network.train(training)


def data_of(config: DictConfig) -> RealData:
    """Build the data module of a run; a UserError if the run names none."""
    if "_target_" not in config.data:
        raise UserError("this GAN does not know the data it was trained on: give data=, a data module")
    data = instantiate(config.data, _convert_="all")
    assert isinstance(data, RealData)
    return data


def build_metrics(
    config: DictConfig,
    data: RealData,
    metrics: str | Sequence[str] | Mapping[str, SampleMetric] | DictConfig | None,
    extractor: str | DictConfig | None,
    num_fakes: int | None,
) -> tuple[Mapping[str, SampleMetric], int]:
    """Build the chosen metrics and return them with the number of fakes; `config` then says what was chosen.

    Raises a UserError if none are chosen, or they do not go with the data.
    """
    if isinstance(metrics, Mapping) and not isinstance(metrics, DictConfig):
        config.metrics = {"metrics": {}, "num_fakes": num_fakes or config.metrics.get("num_fakes")}
        built = metrics
    else:
        if not config.data:  # of a GAN without a run: what metrics usually refer to
            config.data = {"num_classes": data.num_classes, "shape": list(data.shape)}
        choose_metrics(config, *composed(metrics, extractor), num_fakes)
        built = instantiate(config.metrics.metrics, _convert_="all")
    if not built:
        raise UserError("the run measured nothing: choose metrics, such as metrics=digits")
    if config.metrics.get("num_fakes") is None:
        raise UserError("how many samples are to be generated? Give num_fakes")
    return built, int(config.metrics.num_fakes)


def composed(
    metrics: str | Sequence[str] | DictConfig | None, extractor: str | DictConfig | None
) -> tuple[DictConfig | None, DictConfig | None]:
    """Return the configurations of metrics and extractor; names are those of files in conf/."""
    overrides = []
    if metrics is not None and not isinstance(metrics, DictConfig):
        overrides.append(f"metrics=[{','.join([metrics] if isinstance(metrics, str) else metrics)}]")
    if isinstance(extractor, str):
        overrides.append(f"extractor={extractor}")
    named = compose_packaged("eval", overrides) if overrides else DictConfig({"metrics": None, "extractor": None})
    return (
        metrics if isinstance(metrics, DictConfig) else named.get("metrics"),
        extractor if isinstance(extractor, DictConfig) else named.get("extractor"),
    )


def choose_metrics(
    config: DictConfig, metrics: DictConfig | None, extractor: DictConfig | None, num_fakes: int | None = None
) -> None:
    """Put the chosen metrics in the place of the run's, but for the number of fakes."""
    own = config.metrics
    if extractor is not None:
        config.extractor = extractor
    if metrics is not None:
        config.metrics = metrics
        if own.metrics:
            config.metrics.num_fakes = own.num_fakes
    elif extractor is not None:
        replace_extractor(own.metrics, extractor)
    if num_fakes is not None:
        config.metrics.num_fakes = num_fakes
    check_interpolations(config)


def replace_extractor(metrics: DictConfig, extractor: DictConfig) -> None:
    """Have the run's metrics that name an extractor use another one; a UserError if none names one."""
    looking = [metric for metric in metrics.values() if "extractor" in metric]
    if not looking:
        raise UserError(
            f"extractor={extractor._target_.rpartition('.')[2].lower()} is without effect, as none of the run's "
            f"metrics ({', '.join(metrics) or 'none'}) lets one be chosen: choose metrics too, such as metrics=fid"
        )
    for metric in looking:
        metric.extractor = extractor


def check_interpolations(config: DictConfig) -> None:
    """Raise a UserError if metrics refer to what is not there."""
    try:
        OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{error.full_key} cannot be filled in ({reason}): choose metrics that go with the data, and extractor=..."
        ) from error
