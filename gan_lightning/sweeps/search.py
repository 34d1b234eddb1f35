"""A search for the best settings with Optuna, as Hydra runs it; trials that fail or are pruned count as such."""

from __future__ import annotations

import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from gan_lightning.runs.lock import one_writer
from gan_lightning.sweeps.jobs import Job, bare
from gan_lightning.sweeps.launch import Outcome, Progress, run_jobs
from gan_lightning.sweeps.space import distribution, shortened, suggest
from gan_lightning.sweeps.sweeper import SweepBase
from gan_lightning.utils.errors import ReportedError, UserError
from gan_lightning.utils.files import write_json
from gan_lightning.utils.job_names import job_name

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

JOURNAL = "study.journal"
NOT_OF_A_RUN = ("launcher", "hparams_search", "resume")


@dataclass
class Drawn:
    """A trial with the settings that it drew, and the ends of its runs."""

    trial: Trial
    settings: dict[str, str]
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def goes_wrong(self) -> bool:
        """Whether a run has failed or was pruned, so that the others are not needed."""
        return any(outcome.error is not None or is_pruned(outcome) for outcome in self.outcomes)


class Search(SweepBase):
    """Trials that Optuna draws, kept in the sweep's ``study.journal``, which several processes may share.

    Args:
        n_trials: of the whole study, whatever became of them.
        n_jobs: trials that are drawn and run at once.
        seeds: runs of a trial; the mean of their best counts.
        direction: minimize or maximize.
        sampler: makes Optuna's sampler, given a seed.
        params: what is searched by default, as override by key.
    """

    def __init__(
        self,
        n_trials: int,
        n_jobs: int,
        seeds: int,
        direction: Literal["minimize", "maximize"],
        sampler: Callable[..., Any],
        params: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(params)
        self.n_trials, self.n_jobs, self.seeds = n_trials, n_jobs, seeds
        self.direction, self.sampler = direction, sampler

    def sweep(self, arguments: list[str]) -> float:
        """Run trials until the study has `n_trials`; return the best value.

        Raises:
            UserError: the space cannot be searched, or the directory holds a study and ``resume=auto`` is missing.
            ReportedError: no trial has a value.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", module="optuna")
        overrides = self.fitting(self.parsed(arguments))
        space = {bare(o.get_key_element()): distribution(o) for o in overrides if o.is_sweep_override()}
        self.keys = {bare(o.get_key_element()): o.get_key_element() for o in overrides}
        self.constants = [
            str(o.input_line) for o in overrides if not o.is_sweep_override() and o.key_or_group != "seed"
        ]
        study = self.study()
        self.directory.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.directory / "multirun.yaml")
        before = sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))
        self.progress = Progress(self.n_trials * self.seeds, before * self.seeds)
        self.progress.say(f"{self.n_trials} trials in {self.directory}" + (f", {before} made before" if before else ""))
        try:
            for batch in self.batches(study, space):
                self.run_batch(study, batch)
        except (SystemExit, KeyboardInterrupt):
            self.progress.say(f"The search was stopped. To continue: {self.command_to_resume()}")
            raise
        return self.report(study)

    def study(self) -> Study:
        """Return the study of the directory, a new one where there is none."""
        import optuna

        from gan_lightning.callbacks.pruning import STUDY, study_storage  # imports torch, which --help does without

        file = self.directory / JOURNAL
        if file.exists() and self.config.get("resume") != "auto":
            raise UserError(f"{self.directory} holds a study: add resume=auto to continue it")
        self.directory.mkdir(parents=True, exist_ok=True)
        return optuna.create_study(
            study_name=STUDY, storage=study_storage(file), direction=self.direction, load_if_exists=True
        )

    def fitting(self, overrides: Sequence[Override]) -> list[Override]:
        """Return `overrides` without the defaults of the search for keys that this configuration does not read."""
        swept = {o.key_or_group: o for o in overrides if o.is_choice_sweep()}
        constants = [str(o.input_line) for o in overrides if not o.is_sweep_override()]
        loader = self.hydra_context.config_loader

        def fits(override: Override) -> bool:
            key, group = override.key_or_group, override.key_or_group.partition(".")[0]
            if override.input_line not in {f"{name}={value}" for name, value in self.params.items()}:
                return True
            configs = [self.config]
            if group in swept:
                choices = [f"{group}={choice}" for choice in swept[group].sweep_string_iterator()]
                configs = [loader.load_sweep_config(self.config, [*constants, choice]) for choice in choices]
            # An experiment may set a key of its own optimizer, which another one does not read.
            return all(re.search(rf"\${{{re.escape(key)}[}}\[]", OmegaConf.to_yaml(config)) for config in configs)

        return [override for override in overrides if fits(override)]

    def batches(self, study: Study, space: Mapping[str, BaseDistribution]) -> Iterator[list[Drawn]]:
        """Yield trials to run: first those that a process which has ended left behind, then new ones."""
        left = [trial for trial in study.get_trials(deepcopy=False) if not trial.state.is_finished()]
        orphans: Iterator[FrozenTrial] = iter(left)
        while True:
            with ExitStack() as claims:
                batch = [self.draw(study, space, orphan) for orphan in orphans if self.claimed(orphan.number, claims)]
                while not batch or (len(batch) < self.n_jobs and not left):
                    if len(study.get_trials(deepcopy=False)) >= self.n_trials:
                        break
                    trial = study.ask()
                    self.claimed(trial.number, claims)
                    batch.append(self.draw(study, space, trial))
                left = []
                if not batch:
                    return
                yield batch

    def claimed(self, number: int, claims: ExitStack) -> bool:
        """Return whether trial `number` is this process's, which it stays as long as `claims` are open."""
        try:
            claims.enter_context(one_writer(self.directory / ".trials" / str(number)))
        except UserError:
            return False  # another process runs it
        return True

    def draw(self, study: Study, space: Mapping[str, BaseDistribution], trial: Trial | FrozenTrial) -> Drawn:
        """Return a trial with its settings; what it draws depends on the seed, its number and the trials before."""
        import optuna

        study.sampler = self.sampler(seed=self.config.seed + trial.number)
        own = optuna.trial.Trial(study, trial._trial_id)
        return Drawn(own, {name: suggest(own, name, values) for name, values in space.items()})

    def run_batch(self, study: Study, batch: Sequence[Drawn]) -> None:
        """Run each trial with each seed and tell the study how it ended."""
        for index in range(self.seeds):
            running = [drawn for drawn in batch if not drawn.goes_wrong]
            jobs = [self.job(drawn, self.config.seed + index) for drawn in running]
            for drawn, job in zip(running, jobs, strict=True):
                write_json(
                    self.directory / job.name / "trial.json",
                    {
                        "journal": str((self.directory / JOURNAL).absolute()),
                        "trial_id": drawn.trial._trial_id,
                        "first_step": index * self.config.max_iterations,
                    },
                )
            if running:
                number = batch[0].trial.number * self.seeds + index
                outcomes = run_jobs(self.launcher, jobs, self.directory, self.progress, number)
                for drawn, outcome in zip(running, outcomes, strict=True):
                    drawn.outcomes.append(outcome)
        for drawn in batch:
            self.tell(study, drawn)

    def job(self, drawn: Drawn, seed: int) -> Job:
        """Return the run of a trial with a seed."""
        lines = [f"{self.keys[name]}={value}" for name, value in drawn.settings.items()]
        shown = {name: shortened(value) for name, value in drawn.settings.items()}
        name = job_name({"trial": drawn.trial.number, **shown, "seed": seed})
        settings = {"trial": str(drawn.trial.number), **drawn.settings}
        return Job((*self.constants, *lines, f"seed={seed}"), settings, name)

    def tell(self, study: Study, drawn: Drawn) -> None:
        """Tell the study how a trial ended: with a value, pruned, or failed."""
        from optuna.trial import TrialState

        drawn.trial.set_user_attr("runs", [outcome.job.name for outcome in drawn.outcomes])
        values = [outcome.value for outcome in drawn.outcomes if outcome.value is not None]
        error = next((outcome.error for outcome in drawn.outcomes if outcome.error is not None), None)
        if error is not None or len(values) < len(drawn.outcomes):
            drawn.trial.set_user_attr("error", error or "the monitored metric was not measured")
            study.tell(drawn.trial, state=TrialState.FAIL)
        elif drawn.goes_wrong:
            study.tell(drawn.trial, state=TrialState.PRUNED)
        else:
            study.tell(drawn.trial, fmean(values))

    def report(self, study: Study) -> float:
        """Print the best trial and what mattered, and write ``optimization_results.yaml``; return the best value."""
        from optuna.trial import TrialState

        trials = study.get_trials(deepcopy=False)
        states = ("finished", TrialState.COMPLETE), ("failed", TrialState.FAIL), ("pruned", TrialState.PRUNED)
        counts = {word: sum(trial.state == state for trial in trials) for word, state in states}
        found: dict[str, Any] = {"name": "optuna", "trials": counts, "best_value": None}
        if counts["finished"]:
            best = study.best_trial
            found |= {"best_value": best.value, "best_trial": best.number, "best_params": best.params}
            found |= {"directories": [str(self.directory / run) for run in best.user_attrs.get("runs", [])]}
            found |= {"command": self.command_of(best.params), "importance": importance(study)}
        OmegaConf.save(OmegaConf.create(found), self.directory / "optimization_results.yaml")
        running = len(trials) - sum(counts.values())
        words = ", ".join(
            [f"{count} {word}" for word, count in counts.items()] + [f"{running} running"] * bool(running)
        )
        say = self.progress.say
        say(f"\n{len(trials)} trials: {words}")
        if found["best_value"] is None:
            raise ReportedError("no trial has a value")
        say(f"best trial {found['best_trial']}: {self.config.metrics.monitor} {found['best_value']:.4g}")
        for name, value in found["best_params"].items():
            say(f"  {name}={value}")
        for directory in found["directories"]:
            say(f"directory    {directory}")
        say(f"command      {found['command']}")
        if found["importance"]:
            say("importance   " + ", ".join(f"{name} {share:.0%}" for name, share in found["importance"].items()))
        self.write_report()
        return float(found["best_value"])

    def command_of(self, params: Mapping[str, Any]) -> str:
        """Return the command line that repeats a trial."""
        kept = [line for line in self.constants if line.partition("=")[0] not in NOT_OF_A_RUN]
        lines = [*kept, *(f"{self.keys[name]}={value}" for name, value in params.items()), f"seed={self.config.seed}"]
        lines[-1] += "".join(f",{self.config.seed + index}" for index in range(1, self.seeds))
        program = ["python", Path(sys.argv[0]).name] if sys.argv[0].endswith(".py") else [Path(sys.argv[0]).name]
        return shlex.join([*program, *(["-m"] if self.seeds > 1 else []), *lines])


def is_pruned(outcome: Outcome) -> bool:
    """Return whether the pruner has ended a run."""
    return str(outcome.result.get("stopped")).startswith("pruned")


def importance(study: Study) -> dict[str, float]:
    """Return each parameter's share in what made trials good (PED-ANOVA, Watanabe et al. 2023), the largest first.

    Nothing where there are too few trials to tell.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    try:
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (ValueError, RuntimeError):
        return {}
