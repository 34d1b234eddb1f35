"""`python eval.py`, also installed as `gan-eval`: the metrics of a trained generator, or of a folder of images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gan_lightning.cli.command import reported, run_command
from gan_lightning.runs.data_path import expand_moved_data
from gan_lightning.runs.run_dir import checkpoint_of, run_directory
from gan_lightning.utils.checks import check_bool, check_int
from gan_lightning.utils.conf import conf_dir
from gan_lightning.utils.errors import UserError, write_line
from gan_lightning.utils.instantiation import user_errors

if TYPE_CHECKING:
    from gan_lightning.data.files import ImageFiles

CHOICES = {"which": ("last", "best", "both"), "weights": ("ema", "raw")}
FOLDER = Path("outputs/evaluations")
"""Of the results of folders, which have no run directory."""


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="eval")
def run(cfg: DictConfig) -> None:
    """Evaluate what the command line names."""
    with reported():
        evaluate(cfg)


def evaluate(cfg: DictConfig) -> dict[str, dict[str, float]]:
    """Evaluate one or two checkpoints or a folder, print the numbers and write them with their protocol.

    Returns:
        The numbers, by the name of the checkpoint (``last``) or of the folder.

    Raises:
        UserError: something in `cfg` cannot be done.
    """
    check(cfg)
    if cfg.real is not None or cfg.fake is not None:
        return {Path(cfg.fake or "").name: evaluate_images(cfg)}
    found = checkpoints(cfg)
    if cfg.wandb:
        from gan_lightning.runs.wandb_run import wandb_arguments

        for checkpoint in found:
            wandb_arguments(checkpoint)
    return {checkpoint.stem: evaluate_checkpoint(cfg, checkpoint) for checkpoint in found}


def check(cfg: DictConfig) -> None:
    """Refuse values that cannot be."""
    with user_errors():
        for key, least in (("num_fakes", 1), ("seed", 0)):
            if cfg[key] is not None:
                check_int(key, cfg[key], least)
        check_bool("wandb", cfg.wandb)
    for key, choices in CHOICES.items():
        if cfg[key] not in choices:
            raise UserError(f"{key} must be {', '.join(choices[:-1])} or {choices[-1]}, not {cfg[key]}")


def checkpoints(cfg: DictConfig) -> list[Path]:
    """Return the checkpoints to evaluate; a UserError if they are not there, or `which` is given with a file."""
    if cfg.which != "last" and cfg.ckpt_path and Path(cfg.ckpt_path).expanduser().is_file():
        raise UserError(
            f"which={cfg.which} chooses from a run directory, and ckpt_path={cfg.ckpt_path} is a file: leave which "
            "out, or give the run directory"
        )
    return [checkpoint_of(cfg.ckpt_path, which) for which in (("last", "best") if cfg.which == "both" else [cfg.which])]


def evaluate_checkpoint(cfg: DictConfig, checkpoint: Path) -> dict[str, float]:
    """Evaluate a checkpoint, print and write the numbers, and return them."""
    from gan_lightning.evaluation.results import print_result, write_result
    from gan_lightning.runs import evaluation

    result = evaluation.evaluate(
        checkpoint,
        cfg.get("metrics"),
        extractor=cfg.get("extractor"),
        num_fakes=cfg.num_fakes,
        seed=cfg.seed,
        weights=cfg.weights,
        device=cfg.device,
        data={key: value for key, value in cfg.data.items() if value is not None},
        cache=cfg.cache,
        trust=cfg.trust,
    )
    averaged = "averaged generator" if cfg.weights == "ema" else "generator without averaging"
    source = result.source
    print_result(result, f"{checkpoint}: iteration {source['iterations']}, {averaged}, seed {source['seed']}")
    raw = "_raw" if cfg.weights == "raw" else ""
    names = "-".join(source["metrics"]["metrics"])
    stem = f"{checkpoint.stem}{raw}_{names}_{source['num_fakes']}_s{source['seed']}"
    path = write_result(result, run_directory(checkpoint) / "evaluations", stem)
    if cfg.wandb:
        from gan_lightning.runs.wandb_run import send

        send(checkpoint, result.values, result.protocol, source["iterations"])
    write_line(os.path.relpath(path))
    return result.values


def evaluate_images(cfg: DictConfig) -> dict[str, float]:
    """Evaluate the folder `fake` against `real`, print and write the numbers, and return them."""
    refuse_checkpoint_keys(cfg)
    from hydra.utils import instantiate

    from gan_lightning.data.files import ImageFiles
    from gan_lightning.evaluation.folders import evaluate_folders, require_same_kind
    from gan_lightning.evaluation.results import print_result, write_result
    from gan_lightning.trainer.hardware import device_named
    from gan_lightning.utils.files import cache_folder

    device = device_named(cfg.device)
    with user_errors():
        real, fake = (ImageFiles(key, cfg[key], cfg.image_size, cfg.channels) for key in ("real", "fake"))
        require_same_kind(real, fake)
        config = folder_config(cfg, real)
        metrics = instantiate(config.metrics.metrics, _convert_="all")
        if not metrics:
            raise UserError("metrics=none measures nothing: choose others")
        result = evaluate_folders(real, fake, metrics, device=device, cache=cache_folder(cfg.cache))
    result.source.update(
        image_size=cfg.image_size,
        channels=cfg.channels,
        metrics=OmegaConf.to_container(config.metrics, resolve=True),
    )
    print_result(result, f"{fake.folder} against {real.folder}")
    stem = f"{fake.folder.absolute().name}_{'-'.join(metrics)}_{fake.reference_size}"
    write_line(os.path.relpath(write_result(result, FOLDER, stem)))
    return result.values


def refuse_checkpoint_keys(cfg: DictConfig) -> None:
    """Raise a UserError for keys that only checkpoints take, or if one of the two folders is missing."""
    if cfg.real is None or cfg.fake is None:
        raise UserError("give two folders: real=... and fake=...")
    for key in ("ckpt_path", "num_fakes", "seed"):
        if cfg[key] is not None:
            raise UserError(f"{key} is for checkpoints, and real= and fake= are folders, evaluated whole: leave it out")
    if any(value is not None for value in cfg.data.values()):
        raise UserError("data.* is for checkpoints, and real= and fake= are folders: leave it out")
    if cfg.wandb or cfg.weights != "ema" or cfg.which != "last":
        raise UserError("wandb, weights and which are for checkpoints: leave them out")


def folder_config(cfg: DictConfig, real: ImageFiles) -> DictConfig:
    """Return the metrics and what they refer to; where the command line names none, the literature's FID."""
    from gan_lightning.runs.evaluation import check_interpolations

    overrides = list(HydraConfig.get().overrides.task)
    if cfg.get("metrics") is None:
        overrides.append("metrics=inception")
    if cfg.get("extractor") is None:
        overrides.append("extractor=inception")
    whole = GlobalHydra.instance().config_loader().load_configuration("eval", overrides, run_mode=RunMode.RUN)
    config = OmegaConf.create({"data": {"num_classes": None, "shape": list(real.shape)}})
    config.extractor, config.metrics = whole.extractor, whole.metrics
    check_interpolations(config)
    return config


def main() -> None:
    """Run the command line; ``data=PATH`` is short for ``data.root=PATH``."""
    run_command("eval", run, expand_moved_data)


if __name__ == "__main__":
    main()
