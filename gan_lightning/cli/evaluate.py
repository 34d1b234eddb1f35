"""`python eval.py`, also installed as `gan-eval`: the metrics of a trained generator, or of a folder of images."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lightning.utils.checks import check_bool, check_int
from gan_lightning.utils.conf import checkpoint_of, conf_dir, run_directory
from gan_lightning.utils.errors import UserError, user_errors

if TYPE_CHECKING:
    from gan_lightning.runs.checkpoints import LoadedRun

CHOICES = {"which": ("last", "best", "both"), "weights": ("ema", "raw")}


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="eval")
def run(cfg: DictConfig) -> None:
    """Judge what the command line names."""
    try:
        evaluate(cfg)
    except UserError as error:
        sys.stderr.write(error.report() + "\n")
        sys.exit(error.exit_code)


def evaluate(cfg: DictConfig) -> dict[str, dict[str, float]]:
    """Judge one or two checkpoints or a folder, print the numbers and write them with their protocol.

    Returns:
        The numbers, by the name of the checkpoint (``last``) or of the folder.

    Raises:
        UserError: for whatever cannot be done.
    """
    check(cfg)
    if cfg.real is not None or cfg.fake is not None:
        from gan_lightning.evaluation.folders import compare

        return {Path(cfg.fake or "").name: compare(cfg)}
    found = list(checkpoints(cfg))
    if cfg.wandb:
        from gan_lightning.runs.wandb_run import logger_settings

        for checkpoint in found:
            logger_settings(checkpoint)
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


def checkpoints(cfg: DictConfig) -> Iterator[Path]:
    """Those that are to be judged.

    Raises:
        UserError: they are not there, or `which` is asked of a file.
    """
    if cfg.which != "last" and cfg.ckpt_path and Path(cfg.ckpt_path).expanduser().is_file():
        raise UserError(
            f"which={cfg.which} chooses from a run directory, and ckpt_path={cfg.ckpt_path} is a file: leave which "
            "out, or give the run directory"
        )
    if cfg.which == "both":
        yield checkpoint_of(cfg.ckpt_path, "last")
        yield checkpoint_of(cfg.ckpt_path, "best")
    else:
        yield checkpoint_of(cfg.ckpt_path, cfg.which)


def evaluate_checkpoint(cfg: DictConfig, checkpoint: Path) -> dict[str, float]:
    """Judge a checkpoint; its numbers."""
    from hydra.utils import instantiate

    from gan_lightning.callbacks.evaluation import Evaluation
    from gan_lightning.runs.checkpoints import device_named
    from gan_lightning.runs.data_overrides import loaded

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
    """See that all that metrics refer to is there, and that Inception is what is called so.

    Raises:
        UserError: it is not.
    """
    from gan_lightning.cli.compatibility import metrics_and_extractor

    try:
        OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"{error.full_key} cannot be filled in ({reason}): choose metrics that go with the data, and extractor=..."
        ) from error
    if misfits := list(metrics_and_extractor(config)):
        raise UserError(misfits)


def published(result: dict[str, Any], folder: Path, stem: str, head: str) -> Path:
    """Write `result` into `folder`, print its numbers under `head` and the protocol; the file.

    Raises:
        UserError: it cannot be written.
    """
    from gan_lightning.evaluation.protocol import describe
    from gan_lightning.runs.report import print_metrics
    from gan_lightning.runs.run_dir import write_json
    from gan_lightning.utils.errors import WorkError

    print("\n".join([head, *describe(result["protocol"])]))
    print_metrics(result["values"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = reserved(folder, stem)
        try:
            write_json(path, result)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise WorkError(f"{folder} cannot be written to: {error}") from error
    return path


def reserved(folder: Path, stem: str) -> Path:
    """An empty JSON file that was not there, so that no other evaluation is overwritten, not even one beside this."""
    for number in count(1):
        path = folder / (f"{stem}.json" if number == 1 else f"{stem}_{number}.json")
        try:
            path.open("x").close()
        except FileExistsError:
            continue
        return path
    raise AssertionError("count ends")


def main() -> None:
    """Run the command line."""
    run()


if __name__ == "__main__":
    main()
