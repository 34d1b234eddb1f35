"""`python sample.py`, also installed as `gan-sample`: pictures or arrays of what a trained generator makes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import hydra
from omegaconf import DictConfig, ListConfig

from gan_lightning.runs.run_dir import checkpoint_of, run_directory
from gan_lightning.utils.checks import check_bool, check_int, check_ints, check_positive
from gan_lightning.utils.conf import conf_dir
from gan_lightning.utils.errors import UserError, user_errors

if TYPE_CHECKING:
    pass


class Task(NamedTuple):
    """What can be asked for: its name, formats (the default first), keys that it heeds, how many if nobody says."""

    name: str
    formats: tuple[str, ...]
    heeds: tuple[str, ...]
    usual_count: int = 0


SAMPLES = Task("samples", ("grid", "files", "npz"), ("count", "seed", "classes", "truncation"), usual_count=64)
INTERPOLATION = Task("interpolate=", ("grid", "npz"), ("count", "seed", "classes", "truncation"), usual_count=8)
TRAVERSAL = Task("traverse=true", ("grid",), ("count", "seed", "truncation"), usual_count=10)
PAIRS = Task("a model that translates images", ("grid", "npz"), ("count", "seed", "direction"), usual_count=10)
FOLDER = Task("source=", ("files",), ("direction",))

KEYS = ("count", "seed", "classes", "truncation", "direction")
"""What not every task heeds."""


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="sample")
def run(cfg: DictConfig) -> None:
    """Write what the command line asks for, and say where."""
    try:
        for path in sample(cfg):
            print(os.path.relpath(path))
    except UserError as error:
        sys.stderr.write(error.report() + "\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: nothing was written.\n")
        sys.exit(130)


def sample(cfg: DictConfig) -> list[Path]:
    """Write what `cfg` asks for; returns the paths written, a folder for many files.

    Raises:
        UserError: for whatever cannot be done, before anything is written.
    """
    with user_errors():
        check_values(cfg)
    task = task_of(cfg)
    checkpoint = checkpoint_of(cfg.ckpt_path, cfg.which)
    folder = Path(cfg.output).expanduser() if cfg.output else run_directory(checkpoint) / "samples"

    from gan_lightning.models.cyclegan import is_translator
    from gan_lightning.runs.checkpoints import load
    from gan_lightning.sampling import writers
    from gan_lightning.trainer.hardware import device_named

    device = device_named(cfg.device)
    if task is FOLDER:
        return writers.write_translations(cfg, checkpoint, device, folder)
    trained = load(checkpoint, device, cfg.trust)
    gan, shape = trained.gan, trained.config.data.shape
    name = f"{checkpoint.stem}_iteration{gan.iterations}_seed{cfg.seed or 0}"
    if is_translator(gan.averaged_generator):
        if task in (INTERPOLATION, TRAVERSAL):
            raise UserError(f"{task.name} is for a model that is fed noise, and this one is fed images: leave it out")
        check_keys(cfg, PAIRS)
        return writers.write_pairs(cfg, gan, folder, name, cfg.count or PAIRS.usual_count)
    check_keys(cfg, task)
    if cfg.format != "npz" and (len(shape) != 3 or shape[0] not in (1, 3)):
        way_out = "choose format=npz" if "npz" in task.formats else f"leave {task.name} out"
        raise UserError(f"samples of shape {list(shape)} are not pictures: {way_out}")
    write = {
        SAMPLES: writers.write_samples,
        INTERPOLATION: writers.write_interpolation,
        TRAVERSAL: writers.write_traversal,
    }[task]
    with user_errors():
        return write(cfg, gan, folder, name, cfg.count or task.usual_count)


def check_values(cfg: DictConfig) -> None:
    """See that every key has a value of its kind.

    Raises:
        ValueError: one has not.
    """
    for key, least in (("count", 1), ("seed", 0), ("interpolate", 2)):
        if cfg[key] is not None:
            check_int(key, cfg[key], least)
    check_bool("traverse", cfg.traverse)
    if cfg.classes is not None:
        check_ints("classes", cfg.classes)
    if cfg.truncation is not None:
        check_positive("truncation", cfg.truncation)
    for key, known in (("direction", ("a_to_b", "b_to_a")), ("format", SAMPLES.formats), ("which", ("last", "best"))):
        if cfg[key] not in (None, *known):
            raise ValueError(f"{key} must be one of {', '.join(known)}, not {cfg[key]}")
    if not isinstance(cfg.trust, ListConfig):
        raise ValueError(f"trust must be a list of names, such as trust=[my_package.MyLoss], not {cfg.trust}")


def task_of(cfg: DictConfig) -> Task:
    """What is asked for, as far as the command line tells.

    Raises:
        UserError: more than one thing.
    """
    tasks = {"interpolate": INTERPOLATION, "traverse": TRAVERSAL, "source": FOLDER}
    asked = [key for key in tasks if cfg[key] not in (None, False)]
    if len(asked) > 1:
        raise UserError(f"{' and '.join(f'{key}=' for key in asked)} are different things to ask for: choose one")
    task = tasks[asked[0]] if asked else SAMPLES
    if asked:
        check_keys(cfg, task)
    return task


def check_keys(cfg: DictConfig, task: Task) -> None:
    """See that nothing is asked for that `task` does not heed.

    Raises:
        UserError: something is.
    """
    strange = [key for key in KEYS if cfg[key] is not None and key not in task.heeds]
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
    run()


if __name__ == "__main__":
    main()
