"""`python train.py`, also installed as `gan-train`: compose, check, train, evaluate, and say where everything lies."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gan_lightning.cli.command import run_command
from gan_lightning.runs.data_path import expand_data_path
from gan_lightning.runs.default_variant import with_default_variant
from gan_lightning.runs.memory import refuse_large_networks
from gan_lightning.runs.overrides import expand_resume_overrides
from gan_lightning.runs.run_dir import discard_refused
from gan_lightning.runs.validate import refuse_arguments, validate_job
from gan_lightning.trainer.ranks import prepare_rank, started_as_rank_zero
from gan_lightning.utils.conf import conf_dir, register_resolvers, typed
from gan_lightning.utils.errors import ReportedError, UserError, printable
from gan_lightning.utils.files import write_json

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="train")
def run(cfg: DictConfig) -> float | None:
    """Run one job, a single one or one of a sweep. A failure is reported at once, and in the log of the job."""
    register_resolvers()  # again, for a sweep's job in a process of its own
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    sweeping = hydra.mode == RunMode.MULTIRUN
    try:
        if sweeping:  # a single run was checked before its directory was made
            validate_job(cfg, "train")
            refuse_large_networks(cfg)
        from gan_lightning.runs.training import train  # imports torch: --help and mistakes are answered before that

        result = train(cfg, directory, typed(hydra.overrides.task), report=True)
        if not sweeping and started_as_rank_zero():
            show_page(directory)
        return result["best"].get(result["monitor"])  # what a search optimises
    except UserError as error:
        log.error(error.report())
        if not sweeping and error.exit_code == 2:
            discard_refused(directory)
        if sweeping and started_as_rank_zero() and not (directory / "config.yaml").exists():
            write_json(directory / "result.json", {"status": "failed", "error": str(error)})  # for the report
        failure, code = str(error), error.exit_code
    except Exception as error:
        log.exception("The run failed:")
        failure, code = f"{type(error).__name__}: {error}", 1
    if sweeping:
        raise ReportedError(failure)  # the other jobs of a sweep run on; the command ends with an error after them
    sys.exit(code)


def show_page(directory: Path) -> None:
    """Write the page of a finished run, and print its path."""
    from gan_lightning.sweeps.run_page import write_run_page

    if page := write_run_page(directory):
        print(f"{'report':<12} {printable(os.path.relpath(page))}")


def prepare(arguments: list[str]) -> list[str]:
    """Return the command line as Hydra is to read it; a UserError if it cannot run."""
    arguments = prepare_rank(expand_resume_overrides(with_default_variant(expand_data_path(arguments))))
    refuse_arguments(arguments)
    return arguments


def main() -> None:
    """Run the command line."""
    run_command("train", run, prepare)


if __name__ == "__main__":
    main()
