"""Configurations for tests, composed as `python train.py ...` would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lightning.utils.conf import conf_dir, register_resolvers

CONF = Path(conf_dir())

GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "hydra")
"""The questions."""

SMALL = (
    "logger=csv",
    "max_iterations=2",
    "log_every=1",
    "evaluate_every=2",
    "samples_every=1",
    "checkpoint_every=2",
    "trainer.accelerator=cpu",
)
"""A run of two iterations."""


STAND_INS = {
    "stacked_mnist": ("data.train_size=200", "data.clusters=20"),
    "self_conditioned": ("data.train_size=200", "data.clusters=10", "data.reference=test"),
    "shapes_self_conditioned": ("data.train_size=100", "data.test_size=100", "data.clusters=10"),
    "folder": ("data=mnist10k", "metrics=digits", "extractor=digits", "~data.mirror", "note=null"),
    "biggan_cifar10": (
        *("data=mnist10k", "data.image_size=32", "metrics=digits", "extractor=digits"),
        *("data.batch_size=8", "model.generator.width=4", "model.discriminator.width=4"),
    ),
    **dict.fromkeys(("gaussian", "grid", "ring", "ring_pacgan"), ("data.batch_size=50", "callbacks.density.count=200")),
}
"""Data at hand and narrow networks for experiments whose data would be downloaded, and fewer data or larger batches."""


@contextmanager
def composed(*overrides: str, directory: Path | str = "nowhere", config_name: str = "train") -> Iterator[DictConfig]:
    """The configuration, `hydra` included and known to `HydraConfig`, as within a job that runs in `directory`."""
    register_resolvers()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose(config_name, overrides=list(overrides), return_hydra_config=True)
        with open_dict(config.hydra):
            config.hydra.runtime.output_dir = str(directory)
            config.hydra.job.num = 0
        HydraConfig.instance().set_config(config)
        yield config


def job_part(config: DictConfig) -> DictConfig:
    """What the job sees: everything but `hydra`."""
    job = config.copy()
    with open_dict(job):
        del job["hydra"]
    return job


def answers(group: str) -> list[str]:
    """The names of the files of a group."""
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def resolved(config: DictConfig) -> dict:
    """Every value, with no interpolation left."""
    container = OmegaConf.to_container(job_part(config), resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return container
