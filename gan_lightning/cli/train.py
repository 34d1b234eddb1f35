"""`python train.py`, also installed as `gan-train`: compose, check, play, judge, and say where everything lies."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gan_lightning.cli.help import print_help_and_exit
from gan_lightning.runs.data_path import expand_data_path
from gan_lightning.runs.overrides import expand_resume_overrides
from gan_lightning.runs.validate import refuse_arguments, validate_job
from gan_lightning.trainer.ranks import prepare_rank
from gan_lightning.utils.conf import conf_dir, register_resolvers, typed
from gan_lightning.utils.errors import UserError


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")
def run(cfg: DictConfig) -> float | None:
    """One job, a run of its own or one of a sweep."""
    register_resolvers()  # again, for a sweep's job in a process of its own
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    try:
        if sweeping:  # a single run was checked before its directory was made
            validate_job(cfg, "train")
        from gan_lightning.runs.training import train  # imports torch: --help and wrong options answer before that

        hydra = HydraConfig.get()
        result = train(cfg, Path(hydra.runtime.output_dir), typed(hydra.overrides.task), report=True)
        return result["best"].get(result["monitor"])  # what a search optimises
    except UserError as error:
        sys.stderr.write(error.report() + "\n")
        if sweeping:
            raise  # the other jobs of a sweep go on; Hydra ends with an error after them
        sys.exit(error.exit_code)


def main() -> None:
    """Run the command line.

    Exit code 2 says that the command is at fault, 1 that the work failed, 75 that the run was asked to stop and can go
    on, 130 that it was stopped with Ctrl+C.
    """
    print_help_and_exit("train", sys.argv[1:])
    register_resolvers()
    try:
        sys.argv[1:] = prepare_rank(expand_resume_overrides(expand_data_path(sys.argv[1:])))
        refuse_arguments(sys.argv[1:])
    except UserError as error:
        sys.stderr.write(error.report() + "\n")
        sys.exit(error.exit_code)
    try:
        run()
    except KeyboardInterrupt:  # before the game began: nothing to save
        sys.exit(130)


if __name__ == "__main__":
    main()
