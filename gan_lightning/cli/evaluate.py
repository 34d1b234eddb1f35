"""`python eval.py`, also installed as `gan-eval`: the metrics of a trained generator, from its checkpoint."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from gan_lightning.checks import whole
from gan_lightning.cli.errors import UserError, mistakes_told
from gan_lightning.cli.paths import checkpoint_of, conf_dir, run_directory


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="eval")
def run(cfg: DictConfig) -> None:
    """Judge the checkpoint that the command line names."""
    try:
        evaluate(cfg)
    except UserError as error:
        sys.stderr.write(error.report() + "\n")
        sys.exit(error.exit_code)


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Judge a checkpoint, print the numbers and write them with their protocol; returns the numbers.

    Raises:
        UserError: for whatever cannot be done.
    """
    with mistakes_told():
        for key, least in (("num_fakes", 1), ("seed", 0)):
            if cfg[key] is not None:
                whole(key, cfg[key], least)
    checkpoint = checkpoint_of(cfg.ckpt_path, cfg.which)

    from hydra.utils import instantiate

    from gan_lightning.callbacks.evaluation import Evaluation
    from gan_lightning.cli.record import write_json
    from gan_lightning.cli.report import print_metrics
    from gan_lightning.cli.trained import device_named, load

    device = device_named(cfg.device)
    trained = load(checkpoint, device)
    config = trained.config
    if cfg.get("metrics") is not None:
        config.metrics = cfg.metrics
    if cfg.num_fakes is not None:
        config.metrics.num_fakes = cfg.num_fakes
    if cfg.seed is not None:
        trained.gan.seed = cfg.seed
    with mistakes_told():
        data = instantiate(config.data, _convert_="all")
        evaluation = Evaluation(
            every=1, metrics=instantiate(config.metrics.metrics, _convert_="all"), num_fakes=config.metrics.num_fakes
        )
        data.prepare_data()
        data.setup("fit")
        evaluation.count_real(data, device)
        values = evaluation.measure(trained.gan)
    result: dict[str, Any] = {
        "checkpoint": str(checkpoint),
        "iterations": trained.gan.iterations,
        "images": trained.gan.images,
        "seed": trained.gan.seed,
        "num_fakes": config.metrics.num_fakes,
        "reference_size": data.reference_size,
        "data": OmegaConf.to_container(config.data, resolve=True),
        "metrics": OmegaConf.to_container(config.metrics, resolve=True),
        "values": values,
    }
    folder = run_directory(checkpoint) / "evaluations"
    folder.mkdir(exist_ok=True)
    path = unused(
        folder, f"{checkpoint.stem}_{'-'.join(config.metrics.metrics)}_{result['num_fakes']}_s{result['seed']}"
    )
    write_json(path, result)
    print(f"{checkpoint}, iteration {trained.gan.iterations}: {result['num_fakes']} fakes, seed {trained.gan.seed}")
    print_metrics(values)
    print(os.path.relpath(path))
    return values


def unused(folder: Path, stem: str) -> Path:
    """A path for a JSON file that does not exist yet, so that no earlier evaluation is overwritten."""
    path, number = folder / f"{stem}.json", 2
    while path.exists():
        path, number = folder / f"{stem}_{number}.json", number + 1
    return path


def main() -> None:
    """Run the command line."""
    run()


if __name__ == "__main__":
    main()
