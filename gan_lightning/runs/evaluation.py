"""The metrics of a trained generator, computed again from its checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lightning.evaluation.results import published
from gan_lightning.runs.run_dir import run_directory
from gan_lightning.utils.errors import UserError, user_errors

if TYPE_CHECKING:
    from gan_lightning.runs.checkpoints import LoadedRun


def evaluate_checkpoint(cfg: DictConfig, checkpoint: Path) -> dict[str, float]:
    """Judge a checkpoint; its numbers."""
    from hydra.utils import instantiate

    from gan_lightning.callbacks.evaluation import Evaluation
    from gan_lightning.runs.checkpoints import loaded
    from gan_lightning.trainer.hardware import device_named

    device = device_named(cfg.device)
    trained = loaded(cfg, checkpoint, device)
    gan, config = trained.gan, trained.config
    as_in_training(trained)
    if cfg.weights == "raw":
        gan.averaged_generator = gan.generator
    if cfg.seed is not None:
        gan.seed = cfg.seed
    choose_metrics(config, cfg)
    with user_errors():
        data = instantiate(config.data, _convert_="all")
        metrics = instantiate(config.metrics.metrics, _convert_="all")
        if not metrics:
            raise UserError("the run measured nothing: choose metrics, such as metrics=digits")
        evaluation = Evaluation(every=1, metrics=metrics, num_fakes=config.metrics.num_fakes, cache=cfg.cache)
        asked = gan.fixed_latents(1, "evaluation").labels
        for metric in metrics.values():
            metric.check_labels(asked)
        data.prepare_data()
        data.setup("fit")
        evaluation.prepare_reference(data, device)
        for metric in metrics.values():
            metric.check_count(evaluation.num_fakes)
        protocol = evaluation.described(gan, data, cfg.weights)
        values = evaluation.measure(gan)
    result: dict[str, Any] = {
        "checkpoint": str(checkpoint),
        "iterations": gan.iterations,
        "images": gan.images,
        "weights": cfg.weights,
        "seed": gan.seed,
        "num_fakes": evaluation.num_fakes,
        "reference_size": data.reference_size,
        "protocol": protocol,
        "data": OmegaConf.to_container(config.data, resolve=True),
        "metrics": OmegaConf.to_container(config.metrics, resolve=True),
        "values": values,
    }
    averaged = "averaged generator" if cfg.weights == "ema" else "generator without averaging"
    head = f"{checkpoint}: iteration {gan.iterations}, {averaged}, seed {gan.seed}"
    raw = "_raw" if cfg.weights == "raw" else ""
    stem = f"{checkpoint.stem}{raw}_{'-'.join(config.metrics.metrics)}_{evaluation.num_fakes}_s{gan.seed}"
    path = published(result, run_directory(checkpoint) / "evaluations", stem, head)
    if cfg.wandb:
        from gan_lightning.runs.wandb_run import send

        send(checkpoint, values, protocol, gan.iterations)
    print(os.path.relpath(path))
    return values


def as_in_training(trained: LoadedRun) -> None:
    """Lay the networks out and compute as the run did, so that its numbers come out the same to the last bit."""
    import torch

    from gan_lightning.trainer.precision import set_tf32

    trainer = trained.config.get("trainer") or {}
    set_tf32(bool(trainer.get("tf32", False)))
    if trainer.get("channels_last"):
        trained.gan.to(memory_format=torch.channels_last)


def choose_metrics(config: DictConfig, cfg: DictConfig) -> None:
    """Put what the command line says of metrics in the place of what the run has, but for the number of fakes.

    Raises:
        UserError: metrics and data do not go together.
    """
    own = config.metrics
    if cfg.get("extractor") is not None:
        config.extractor = cfg.extractor
    if cfg.get("metrics") is not None:
        config.metrics = cfg.metrics
        if own.metrics:
            config.metrics.num_fakes = own.num_fakes
    elif cfg.get("extractor") is not None:
        look_through(own.metrics, cfg.extractor)
    if cfg.num_fakes is not None:
        config.metrics.num_fakes = cfg.num_fakes
    fill_in(config)


def look_through(metrics: DictConfig, extractor: DictConfig) -> None:
    """Have those of a run's own metrics that name an extractor look through another one.

    Raises:
        UserError: none of them does.
    """
    looking = [metric for metric in metrics.values() if "extractor" in metric]
    if not looking:
        raise UserError(
            f"extractor={extractor._target_.rpartition('.')[2].lower()} is without effect, as none of the run's "
            f"metrics ({', '.join(metrics) or 'none'}) lets one be chosen: choose metrics too, such as metrics=fid"
        )
    for metric in looking:
        metric.extractor = extractor


def fill_in(config: DictConfig) -> None:
    """See that all that metrics refer to is there.

    Raises:
        UserError: it is not.
    """
    try:
        OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{error.full_key} cannot be filled in ({reason}): choose metrics that go with the data, and extractor=..."
        ) from error
