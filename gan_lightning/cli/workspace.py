"""`gan-wandb-workspace`: build the dashboard of a sweep, or of runs, in W&B."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from gan_lightning.cli.command import reported
from gan_lightning.utils.errors import UserError, WorkError

DESCRIPTION = """Build a dashboard in W&B of a sweep or of runs that were logged there: parameter importance and
parallel coordinates of what was swept, curves over the images seen, samples."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="gan-wandb-workspace", description=DESCRIPTION)
    parser.add_argument("paths", nargs="+", type=Path, metavar="SWEEP_OR_RUN", help="directories of runs or of a sweep")
    parser.add_argument("--entity", help="user or team of W&B; by default that of the account")
    parser.add_argument("--project", help="of W&B; by default that of the runs")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, and send nothing")
    given = parser.parse_args(arguments)
    with reported():
        if find_spec("wandb_workspaces") is None:
            raise UserError('gan-wandb-workspace needs wandb-workspaces: pip install "gan_lightning[workspace]"')
        build(given)


def build(given: argparse.Namespace) -> None:
    """Print the workspace of the runs, or send it to W&B and print its address."""
    from gan_lightning.loggers.weights_and_biases import reason, wandb_credentials
    from gan_lightning.sweeps.collect import read_runs
    from gan_lightning.sweeps.workspace import workspace

    runs = sorted(read_runs(given.paths), key=lambda run: not run.config)  # those that were refused are last
    sweep = (
        given.paths[0].absolute() if len(given.paths) == 1 and (given.paths[0] / "multirun.yaml").is_file() else None
    )
    entity = given.entity or next((found for run in runs if (found := run.config.get("logger.wandb.entity"))), None)
    if given.dry_run:
        view = workspace(runs, sweep, entity or "ENTITY", given.project)
        print(json.dumps(view._to_model().model_dump(by_alias=True, exclude_none=True, mode="json"), indent=2))
        return
    if not wandb_credentials():
        raise UserError("gan-wandb-workspace needs an account of W&B: wandb login, or look at it with --dry-run")
    import wandb

    try:
        view = workspace(runs, sweep, entity or str(wandb.Api().default_entity), given.project)
        print(f"workspace    {view.save().url}")
    except UserError:
        raise
    except Exception as error:  # W&B's, of its service, or of the network: there are many kinds
        raise WorkError(f"W&B has not taken the workspace: {reason(error)}") from error


if __name__ == "__main__":
    main()
