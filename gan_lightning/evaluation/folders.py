"""Two folders of images, one held against the other, without any model."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from gan_lightning.data.files import ImageFiles
from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.evaluation.protocol import protocol_of
from gan_lightning.evaluation.results import published
from gan_lightning.runs.evaluation import fill_in
from gan_lightning.trainer.hardware import device_named
from gan_lightning.utils.errors import UserError, user_errors
from gan_lightning.utils.files import cache_folder

BATCH_SIZE = 500
FOLDER = Path("outputs/evaluations")


def compare(cfg: DictConfig) -> dict[str, float]:
    """Judge all images of the folder `fake` beside those of `real`, print the numbers and write them.

    Raises:
        UserError: for whatever cannot be done.
    """
    if cfg.real is None or cfg.fake is None:
        raise UserError("give two folders: real=... and fake=...")
    for key in ("ckpt_path", "num_fakes", "seed"):
        if cfg[key] is not None:
            raise UserError(f"{key} is for checkpoints, and real= and fake= are folders, judged whole: leave one out")
    if any(value is not None for value in cfg.data.values()):
        raise UserError("data.* is for checkpoints, and real= and fake= are folders: leave it out")
    if cfg.wandb or cfg.weights != "ema" or cfg.which != "last":
        raise UserError("wandb, weights and which are for checkpoints: leave them out")
    device = device_named(cfg.device)
    with user_errors():
        real, fake = (ImageFiles(key, cfg[key], cfg.image_size, cfg.channels) for key in ("real", "fake"))
        refuse_different(real, fake)
        config = settings(cfg, real)
        evaluator = Evaluator(instantiate(config.metrics.metrics, _convert_="all"), BATCH_SIZE, cache_folder(cfg.cache))
        if not evaluator.metrics:
            raise UserError("metrics=none measures nothing: choose others")
        for metric in evaluator.metrics.values():
            metric.check_labels(None)
        evaluator.prepare_reference(real, device)
        count = fake.reference_size
        for metric in evaluator.metrics.values():
            metric.check_count(count)
        protocol = protocol_of(evaluator.metrics, real, num_fakes=count, batch_size=BATCH_SIZE, weights="files")
        values = evaluator.evaluate(fake.labelled_reference_batches(device, batch_size=BATCH_SIZE), count)
    result = {
        "real": str(real.folder.absolute()),
        "fake": str(fake.folder.absolute()),
        "image_size": cfg.image_size,
        "channels": cfg.channels,
        "num_fakes": count,
        "reference_size": real.reference_size,
        "protocol": protocol,
        "metrics": OmegaConf.to_container(config.metrics, resolve=True),
        "values": values,
    }
    stem = f"{fake.folder.absolute().name}_{'-'.join(evaluator.metrics)}_{count}"
    print(os.path.relpath(published(result, FOLDER, stem, f"{fake.folder} against {real.folder}")))
    return values


def refuse_different(real: ImageFiles, fake: ImageFiles) -> None:
    """Refuse images of different kinds.

    Raises:
        ValueError: for these.
    """
    if real.channels != fake.channels:
        kind = {1: "grey", 3: "colour"}
        raise ValueError(
            f"real={real.folder} holds {kind[real.channels]} images and fake={fake.folder} {kind[fake.channels]} ones: "
            "bring them to one by channels=1 or channels=3"
        )
    if real.shape != fake.shape:
        a, b = (f"{data.shape[1]}x{data.shape[2]}" for data in (real, fake))
        raise ValueError(
            f"real={real.folder} holds images of {a} pixels (height, width) and fake={fake.folder} of {b}: "
            "bring them to one size by image_size=N"
        )


def settings(cfg: DictConfig, real: ImageFiles) -> DictConfig:
    """The metrics, and what they may refer to. Where the command line says nothing, they are the literature's FID.

    Raises:
        UserError: they need what a folder does not have.
    """
    asked = list(HydraConfig.get().overrides.task)
    if cfg.get("metrics") is None:
        asked.append("metrics=inception")
    if cfg.get("extractor") is None:
        asked.append("extractor=inception")
    whole = GlobalHydra.instance().config_loader().load_configuration("eval", asked, run_mode=RunMode.RUN)
    config = OmegaConf.create({"data": {"num_classes": None, "shape": list(real.shape)}})
    config.extractor, config.metrics = whole.extractor, whole.metrics
    fill_in(config)
    return config
