"""A dashboard of a sweep in W&B, a workspace: what mattered, curves over the images seen, samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_lightning.sweeps.collect import RunRecord
from gan_lightning.sweeps.labels import differing
from gan_lightning.sweeps.plots import as_number, is_geometric
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.job_names import of_game

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

X_AXIS = "images_seen"


def workspace(runs: Sequence[RunRecord], sweep: Path | None, entity: str, project: str | None = None) -> Workspace:
    """Return the workspace of runs that were logged to W&B; nothing is sent.

    Args:
        runs: whose settings and metric it shows.
        sweep: the folder of the sweep that they are, to whose group the workspace is limited; None: all of the project.
        entity: of W&B, a user or a team.
        project: of W&B; None: that of the runs.

    Raises:
        UserError: the runs were not logged to W&B.
    """
    from wandb_workspaces import workspaces as ws

    project = project or next((found for run in runs if (found := run.config.get("logger.wandb.project"))), None)
    if project is None:
        raise UserError(f"{runs[0].directory} was not logged to W&B: give runs of logger=wandb, or --project")
    filters: Any = [ws.Metric("Group") == sweep.name] if sweep else ""
    return ws.Workspace(
        entity=entity,
        project=project,
        name=sweep.name if sweep else runs[0].monitor.removeprefix("val/"),
        sections=[
            ws.Section(name=name, panels=panels, is_open=True) for name, panels in sections(runs).items() if panels
        ],
        settings=ws.WorkspaceSettings(x_axis=X_AXIS),
        runset_settings=ws.RunsetSettings(
            filters=filters, pinned_columns=["summary:best", "summary:best_iteration", "summary:health"]
        ),
    )


def sections(runs: Sequence[RunRecord]) -> dict[str, list[Any]]:
    """Return the panels by the names of their sections."""
    from wandb_workspaces.reports import v2 as panels

    best, monitor = panels.SummaryMetric("best"), runs[0].monitor
    typed = [run.typed for run in runs]
    keys = [key for key in differing(typed) if of_game(key)]
    places = {key: [x for own in typed if (x := as_number(own.get(key))) is not None] for key in keys}
    numbers = {key: is_geometric(sorted(set(found))) for key, found in places.items() if len(set(found)) > 1}
    columns = [
        panels.ParallelCoordinatesPlotColumn(panels.Config(config_key(key, runs[0])), log=numbers.get(key, False))
        for key in keys
    ]
    swept = [
        panels.ParallelCoordinatesPlot(columns=[*columns, panels.ParallelCoordinatesPlotColumn(best)]),
        panels.ParameterImportancePlot(with_respect_to="best"),
        *(
            panels.ScatterPlot(title=f"best over {key}", x=panels.Config(config_key(key, runs[0])), y=best, log_x=log)
            for key, log in numbers.items()
        ),
    ]
    curves = [monitor, "discriminator/adversarial", "generator/adversarial"]
    return {
        "What mattered": swept if keys else [],
        "Over training": [panels.LinePlot(title=name, x=X_AXIS, y=[name]) for name in curves],
        "Samples": [panels.MediaBrowser(title=name, media_keys=[name]) for name in ("samples", "samples_best", "real")],
    }


def config_key(key: str, run: RunRecord) -> str:
    """Return where the config of a W&B run has a key that was typed: answers stand at its top."""
    return key if f"choices.{key}" in run.config else f"settings.{key}"
