"""Composes one configuration on import: the parsers of Hydra and OmegaConf learn their grammars once, before a fork."""

from __future__ import annotations

from hydra import compose, initialize_config_dir

from gan_lightning.utils.conf import conf_dir

LINE = ["experiment=gaussian", "max_iterations=6", "optimizer.lr=1e-3", "optimizer.betas=[0.5,0.9]"]

with initialize_config_dir(conf_dir(), version_base="1.3"):
    compose("train", overrides=LINE)
