"""`python sample.py`, also installed as `gan-sample`: pictures or arrays of a trained generator's samples."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import hydra
from omegaconf import DictConfig, ListConfig

from gan_lightning.cli.command import reported, run_command
from gan_lightning.runs.run_dir import checkpoint_of, run_directory
from gan_lightning.utils.checks import check_bool, check_int, check_positive
from gan_lightning.utils.class_names import class_numbers
from gan_lightning.utils.conf import conf_dir
from gan_lightning.utils.errors import UserError, write_line
from gan_lightning.utils.instantiation import user_errors

if TYPE_CHECKING:
    from gan_lightning.gan import GAN


class Task(NamedTuple):
    """A kind of output: its name, formats (the default first), the keys that it takes, its default count."""

    name: str
    formats: tuple[str, ...]
    takes: tuple[str, ...]
    default_count: int = 0


TAKEN = ("count", "seed", "classes", "clusters", "truncation")
SAMPLES = Task("samples", ("grid", "files", "npz"), TAKEN, default_count=64)
INTERPOLATION = Task("interpolate=", ("grid", "npz"), TAKEN, default_count=8)
TRAVERSAL = Task("traverse=true", ("grid",), ("count", "seed", "truncation"), default_count=10)
PAIRS = Task("a model that translates images", ("grid", "npz"), ("count", "seed", "direction"), default_count=10)
FOLDER = Task("source=", ("files",), ("direction",))

KEYS = (*TAKEN, "direction")
"""Keys that not every task takes."""


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="sample")
def run(cfg: DictConfig) -> None:
    """Write the files that the command line describes, and print their paths."""
    try:
        with reported():
            for path in sample(cfg):
                write_line(os.path.relpath(path))
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: nothing was written.\n")
        sys.exit(130)


def sample(cfg: DictConfig) -> list[Path]:
    """Write the samples that `cfg` describes; return the paths. A UserError comes before anything is written."""
    with user_errors():
        check_values(cfg)
    task = task_of(cfg)
    checkpoint = checkpoint_of(cfg.ckpt_path, cfg.which)
    folder = Path(cfg.output).expanduser() if cfg.output else run_directory(checkpoint) / "samples"
    if task is FOLDER:
        return translate_images(cfg, checkpoint, folder)

    from gan_lightning.models.cyclegan import is_translator
    from gan_lightning.runs.checkpoints import load
    from gan_lightning.sampling import writers
    from gan_lightning.trainer.hardware import device_named

    config, gan, _ = load(checkpoint, device_named(cfg.device), cfg.trust)
    if is_translator(gan.averaged_generator):
        if task in (INTERPOLATION, TRAVERSAL):
            raise UserError(f"{task.name} is for a model that is fed noise, and this one is fed images: leave it out")
        task = PAIRS
    check_keys(cfg, task)
    shape = config.data.shape
    if task is not PAIRS and cfg.format != "npz" and (len(shape) != 3 or shape[0] not in (1, 3)):
        way_out = "choose format=npz" if "npz" in task.formats else f"leave {task.name} out"
        raise UserError(f"samples of shape {list(shape)} are not pictures: {way_out}")

    seed, format = cfg.seed or 0, cfg.format or task.formats[0]
    name = f"{checkpoint.stem}_iteration{gan.iterations}_seed{seed}"
    start: tuple[GAN, Path, str, int] = gan, folder, name, cfg.count or task.default_count
    with user_errors():
        names = class_names_of(config)
        labels = labels_of(cfg, config, names)
        if task is PAIRS:
            directions = [cfg.direction] if cfg.direction else ["a_to_b", "b_to_a"]
            return writers.write_pairs(*start, directions, seed, format)
        if task is TRAVERSAL:
            return writers.write_traversal(*start, cfg.truncation, seed)
        if task is INTERPOLATION:
            return writers.write_interpolation(*start, cfg.interpolate, labels, cfg.truncation, seed, format, names)
        return writers.write_samples(*start, labels, cfg.truncation, seed, format, names)


def class_names_of(config: DictConfig) -> list[str] | None:
    """Return the names of a run's classes, which its checkpoint holds; None where there are none."""
    names = config.data.get("class_names")
    return None if names is None or config.data.get("clusters") is not None else list(names)


def labels_of(cfg: DictConfig, config: DictConfig, names: list[str] | None) -> list[int] | None:
    """Return the classes or clusters that the command line names, as numbers; None where it names none.

    Raises:
        UserError: the run `config` has clusters and classes are named, or the other way round.
        ValueError: there is no such class.
    """
    key, other = ("classes", "clusters") if config.data.get("clusters") is None else ("clusters", "classes")
    if cfg[other] is not None:
        without = {"classes": "has no clusters", "clusters": "has clusters (data.clusters) in the place of classes"}
        raise UserError(f"{other}= is not for this run, which {without[key]}: choose {key}=")
    return None if cfg[key] is None else class_numbers(key, list(cfg[key]), names)


def translate_images(cfg: DictConfig, checkpoint: Path, folder: Path) -> list[Path]:
    """Write the translations of the images in the folder `cfg.source`. The run's own data need not be there."""
    from gan_lightning.models.cyclegan import is_translator
    from gan_lightning.runs.checkpoints import load_generator
    from gan_lightning.sampling.writers import write_translations
    from gan_lightning.trainer.hardware import device_named

    config, network, iterations = load_generator(checkpoint, device_named(cfg.device), cfg.trust)
    if not is_translator(network):
        raise UserError("source= is for a model that translates images, such as variant=cyclegan's: leave it out")
    if cfg.direction is None:
        raise UserError("say which way to translate: direction=a_to_b, or b_to_a, the domains being data.a and data.b")
    name, channels = f"{checkpoint.stem}_iteration{iterations}", config.data.shape[0] // 2
    with user_errors():
        return write_translations(network, folder, name, Path(cfg.source), cfg.direction, channels)


def check_values(cfg: DictConfig) -> None:
    """Raise a ValueError for a value that is not of its key's kind."""
    for key, least in (("count", 1), ("seed", 0), ("interpolate", 2)):
        if cfg[key] is not None:
            check_int(key, cfg[key], least)
    check_bool("traverse", cfg.traverse)
    for key in ("classes", "clusters"):
        if cfg[key] is not None and not isinstance(cfg[key], ListConfig):
            raise ValueError(f"{key} must be a list of {key}, such as {key}=[0], not {cfg[key]!r}")
    if cfg.truncation is not None:
        check_positive("truncation", cfg.truncation)
    for key, known in (("direction", ("a_to_b", "b_to_a")), ("format", SAMPLES.formats), ("which", ("last", "best"))):
        if cfg[key] not in (None, *known):
            raise ValueError(f"{key} must be one of {', '.join(known)}, not {cfg[key]}")
    if not isinstance(cfg.trust, ListConfig):
        raise ValueError(f"trust must be a list of names, such as trust=[my_package.MyLoss], not {cfg.trust}")


def task_of(cfg: DictConfig) -> Task:
    """Return the task, as far as the command line tells without the model; a UserError if it names several."""
    tasks = {"interpolate": INTERPOLATION, "traverse": TRAVERSAL, "source": FOLDER}
    chosen = [key for key in tasks if cfg[key] not in (None, False)]
    if len(chosen) > 1:
        raise UserError(f"{' and '.join(f'{key}=' for key in chosen)} are different things: choose one")
    task = tasks[chosen[0]] if chosen else SAMPLES
    if chosen:
        check_keys(cfg, task)
    return task


def check_keys(cfg: DictConfig, task: Task) -> None:
    """Raise a UserError for keys and formats that `task` does not take."""
    strange = [key for key in KEYS if cfg[key] is not None and key not in task.takes]
    if strange == ["direction"]:
        raise UserError("direction= is for a model that translates images, such as variant=cyclegan's: leave it out")
    if strange:
        them = "it" if len(strange) == 1 else "them"
        raise UserError(f"{' and '.join(f'{key}=' for key in strange)} cannot go with {task.name}: leave {them} out")
    if cfg.format not in (None, *task.formats):
        raise UserError(
            f"format={cfg.format} is not for {task.name}: choose {' or '.join(task.formats)}, or leave it out"
        )


def main() -> None:
    """Run the command line."""
    run_command("sample", run)


if __name__ == "__main__":
    main()
