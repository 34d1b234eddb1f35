"""`gan-published`: list how experiments differ from the papers that they follow. Needs no torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from omegaconf import DictConfig, OmegaConf

from gan_lightning.runs.compose import hydra_job
from gan_lightning.utils.conf import conf_dir, plain_value
from gan_lightning.utils.errors import write_line

DESCRIPTION = """List what the settings of experiments are beside the paper's, as their `published:` blocks state them.
Without names, the page docs/published.md."""

INTRODUCTION = """# Experiments beside their papers

An experiment trains small networks within a short budget, so that its settings are not the paper's. Its file in
`conf/experiment/` states the paper's in a block `published:`; here is what differs. A setting that the paper does not
state, or that has not been looked up, is left out of the block. Where a section names code of the authors, the values
were compared with that code; those of the other sections were not compared with anything since they were written down
from the papers: look there before you rely on one. This page is what the command writes:

    gan-published                      # all, as below
    gan-published wgan_gp              # one

`batch_size` counts the samples of an update. `latent` is the length of z, classes and codes included. `iterations` are
updates of the generator. `ema` is the decay of the generator's average an iteration. Networks are never the same: the
paper's is described, and ours is the file in `conf/model/` with its width.
"""

KEYS = {
    "batch_size": "data.batch_size",
    "latent": "prior.dim",
    "iterations": "max_iterations",
    "discriminator_steps": "loss.discriminator_steps",
    "momentum": "optimizer.momentum",
}
"""The key of the configuration for a key of `published`."""


class Difference(NamedTuple):
    """A setting with the value that the paper states and that of the experiment."""

    setting: str
    paper: Any
    experiment: Any


def published_experiments() -> list[str]:
    """Return the names of the experiments that follow a paper, the blocks that they take over included."""
    names = sorted(file.stem for file in Path(conf_dir(), "experiment").glob("*.yaml"))
    return [name for name in names if published_block(name)]


def published_block(name: str) -> dict[str, Any]:
    """Return the block `published:` of an experiment, or of the one that it is based on; empty where there is none."""
    content = yaml.safe_load(Path(conf_dir(), "experiment", f"{name}.yaml").read_text(encoding="utf-8"))
    if "published" in content:
        return content["published"] or {}
    bases = [part for part in content["defaults"] if isinstance(part, str)]
    return published_block(bases[0]) if bases else {}


def differences(name: str) -> list[Difference]:
    """Return the settings of an experiment that are not the paper's, its networks first."""
    block = published_block(name)
    with hydra_job([f"experiment={name}"]) as config:
        return [*different(block, config)]


def different(block: Mapping[str, Any], config: DictConfig) -> Iterator[Difference]:
    """Yield the settings of `config` that are not as `block` states them."""
    choices = config.hydra.runtime.choices
    model = [choices["model"]]
    if width := OmegaConf.select(config, "model.generator.width"):
        model.append(f"width {width}")
    yield Difference("network", block["network"], ", ".join(model))
    for key, paper in block.items():
        if key == "settings":
            pairs = [(part, value, OmegaConf.select(config, part)) for part, value in paper.items()]
        elif key in ("lr", "betas"):
            states = paper if isinstance(paper, dict) else {"generator": paper, "discriminator": paper}
            pairs = [
                (f"{key} of the {player}", value, OmegaConf.select(config, f"optimizer.{player}.{key}"))
                for player, value in states.items()
            ]
        elif key in ("source", "code", "network"):
            continue
        else:
            pairs = [(key, paper, setting_of(key, config))]
        yield from (Difference(part, *values) for part, *values in pairs if values[0] != plain_value(values[1]))


def setting_of(key: str, config: DictConfig) -> Any:
    """Return the value that an experiment has for a key of `published`."""
    if key == "ema":
        images = config.ema.half_life_images
        an_iteration = config.data.batch_size * config.loss.discriminator_steps
        return round(0.5 ** (an_iteration / images), 4) if images else "none"
    if key == "regularizer":
        files = Path(conf_dir(), "regularizer")
        return [name for name, part in config.loss.objectives.items() if part and (files / f"{name}.yaml").is_file()]
    if key in ("optimizer", "schedule"):
        return config.choices.get(key)
    return OmegaConf.select(config, KEYS[key])


def table(name: str) -> str:
    """Return the differences of an experiment as a section of Markdown."""
    block = published_block(name)
    compared = f" Compared with the code in github.com/{block['code']}." if "code" in block else ""
    lines = [
        f"## {name}",
        "",
        f"{block['source']}.{compared}",
        "",
        "| | paper | experiment |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*lines, *(f"| {' | '.join(map(text, row))} |" for row in differences(name))])


def text(value: Any) -> str:
    """Return a value as a cell of a table has it."""
    value = plain_value(value)
    if isinstance(value, list):
        return ", ".join(map(text, value)) or "none"
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="gan-published", description=DESCRIPTION)
    parser.add_argument("experiments", nargs="*", help="names of files in conf/experiment; by default all")
    names = parser.parse_args(arguments).experiments
    known = published_experiments()
    if unknown := [name for name in names if name not in known]:
        words = f"{', '.join(unknown)}: no experiment with a paper's settings; there are {', '.join(known)}"
        write_line(words, sys.stderr)
        sys.exit(2)
    sections = [table(name) for name in names or known]
    print("\n\n".join(sections if names else [INTRODUCTION.rstrip(), *sections]))


if __name__ == "__main__":
    main()
