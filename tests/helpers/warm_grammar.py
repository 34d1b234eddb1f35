"""Composes configurations on import, before a fork: parsers learn their grammars, and files of conf/ are read."""

from __future__ import annotations

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from gan_lightning.utils.conf import hydra_at_conf
from helpers.composed_once import compose_once

LINES = {
    "train": (
        [],
        ["variant=self_conditioned"],
        ["experiment=gaussian", "max_iterations=6", "optimizer.lr=1e-3", "optimizer.betas=[0.5,0.9]"],
    ),
    "eval": ([],),
    "sample": ([],),
}

compose_once()
with hydra_at_conf():
    for name, lines in LINES.items():
        for line in lines:
            compose(name, overrides=line)
            # As what was typed is compared with.
            GlobalHydra.instance().config_loader().load_configuration(name, line, RunMode.RUN)
