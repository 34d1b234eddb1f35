"""A sweep over combinations of values, as Hydra runs it: one directory, resumable, a failed job named at the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, flag_override

from gan_lightning.runs.resume_policy import refuse_changes
from gan_lightning.runs.status import read_result
from gan_lightning.sweeps.jobs import Job, expand
from gan_lightning.sweeps.launch import Outcome, Progress, placed, run_jobs
from gan_lightning.utils.conf import plain, quoted
from gan_lightning.utils.errors import ReportedError, UserError, write_line


class SweepBase(Sweeper):
    """What sweepers share: the directory, which is the same for all jobs, and the end.

    Args:
        params: overrides of every sweep, as value by key; what is typed comes on top.
    """

    config: DictConfig
    hydra_context: HydraContext
    launcher: Launcher

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Fix the directory, where a job's own choices would lead to another one, and make the launcher."""
        setup_globals()
        self.directory = Path(config.hydra.sweep.dir)
        with flag_override(config, ["struct", "readonly"], [False, False]):
            config.hydra.sweep.dir = str(self.directory)
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def parsed(self, arguments: Sequence[str]) -> list[Override]:
        """Return what is swept by default, as far as `arguments` do not name it, and `arguments`."""
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        typed = parser.parse_overrides(list(arguments))
        keys = {override.key_or_group for override in typed}
        params = [f"{key}={value}" for key, value in self.params.items() if key not in keys]
        return [*parser.parse_overrides(params), *typed]

    @contextmanager
    def composed(self, job: Job) -> Iterator[DictConfig]:
        """Within, Hydra's global state is that of `job`; yields its configuration without the part `hydra`."""
        before = HydraConfig.instance().cfg
        loader = self.hydra_context.config_loader
        config = loader.load_sweep_config(self.config, [*job.overrides, *placed(job, self.directory)])
        with flag_override(config, ["struct", "readonly"], [False, False]):
            config.hydra.runtime.output_dir = str((self.directory / job.name).absolute())
            config.hydra.job.num, config.hydra.job.id = 0, "0"
            try:
                HydraConfig.instance().set_config(config)
                own = config.copy()
                del own["hydra"]
                yield own
            finally:
                HydraConfig.instance().cfg = before

    def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Write the report, and name the jobs that failed.

        Raises:
            ReportedError: some did.
        """
        self.write_report()
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        if failed:
            jobs = "1 job" if len(failed) == 1 else f"{len(failed)} jobs"
            write_line(f"{jobs} of {len(outcomes)} failed:", sys.stderr)
            for outcome in failed:
                write_line(f"  {outcome.job.name}: {(outcome.error or '').splitlines()[0]}", sys.stderr)
                write_line(f"    {self.directory / outcome.job.name / 'train.log'}", sys.stderr)
            write_line(f"To run what is missing: {self.command_to_resume()}", sys.stderr)
            raise ReportedError(f"{jobs} failed")

    def write_report(self) -> None:
        """Write a report on all runs in the directory, also to W&B; one that fails leaves the sweep as it is."""
        from gan_lightning.sweeps.report import report, verdicts  # imports torch

        try:
            page = report(self.directory)
            write_line("\n".join(["", *verdicts(self.directory), f"report  {page}"]), sys.stderr)
        except Exception as error:
            write_line(f"No report was written: {type(error).__name__}: {error}", sys.stderr)
            return
        from gan_lightning.sweeps.wandb_table import log_sweep

        try:
            log_sweep(self.directory)
        except Exception as error:
            write_line(f"W&B has no table of this sweep: {type(error).__name__}: {error}", sys.stderr)

    def command_to_resume(self) -> str:
        """Return the command line that runs what is missing."""
        program = ["python", sys.argv[0]] if sys.argv[0].endswith(".py") else [Path(sys.argv[0]).name]
        given = sys.argv[1:]
        keys = {argument.partition("=")[0] for argument in given}
        added = {"resume": "auto", "hydra.sweep.dir": quoted(str(self.directory))}
        return shlex.join([*program, *given, *(f"{key}={value}" for key, value in added.items() if key not in keys)])


class Grid(SweepBase):
    """A job for each combination of values. With ``resume=auto`` the jobs that have finished are left out."""

    def sweep(self, arguments: list[str]) -> list[Outcome]:
        """Run the jobs and return how each ended.

        Raises:
            ReportedError: some failed.
        """
        jobs = expand(self.parsed(arguments), self.config.seed)
        self.validate_batch_is_legal([job.overrides for job in jobs])
        self.directory.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.directory / "multirun.yaml")
        over = [job for job in jobs if self.config.get("resume") == "auto" and self.is_over(job)]
        missing = [job for job in jobs if job not in over]
        done = f", of which {len(over)} have finished" if over else ""
        progress = Progress(len(jobs), len(over))
        progress.say(f"{len(jobs)} jobs in {self.directory}{done}")
        try:
            outcomes = run_jobs(self.launcher, missing, self.directory, progress) if missing else []
        except (SystemExit, KeyboardInterrupt):
            progress.say(f"The sweep was stopped. To run what is missing: {self.command_to_resume()}")
            raise
        outcomes += [Outcome(job, read_result(self.directory / job.name)) for job in over]
        self.finish(outcomes)
        return outcomes

    def is_over(self, job: Job) -> bool:
        """Return whether the job has finished, with these settings: made as many iterations, or stopped early."""
        directory = self.directory / job.name
        result = read_result(directory)
        if result.get("status") != "finished" or not (directory / "config.yaml").is_file():
            return False
        before = OmegaConf.load(directory / "config.yaml")
        assert isinstance(before, DictConfig)
        with self.composed(job) as config:
            try:
                refuse_changes(directory, plain(before), config)
            except UserError:
                return False  # the job itself says so
            stopped = result.get("stopped") and OmegaConf.select(before, "stop") == config.stop
            return bool(stopped or result["iterations"] >= config.max_iterations)
