"""Runs of many seeds: independent games of vector data, trained as one program and measured one by one."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from lightning import __version__ as lightning_version
from omegaconf import DictConfig

from gan_lightning.callbacks.checkpoint import reason
from gan_lightning.callbacks.evaluation import Evaluation, evaluated
from gan_lightning.callbacks.progress import Progress
from gan_lightning.figures.images import save_picture
from gan_lightning.figures.seeds import seeds_figure
from gan_lightning.loggers import read_table, write_table
from gan_lightning.randomness import generator_for
from gan_lightning.runs.checkpoints import read_checkpoint
from gan_lightning.runs.resume import ResumePoint
from gan_lightning.runs.run_dir import write_result, write_start
from gan_lightning.runs.seed_games import build_game, settings_of_seeds
from gan_lightning.runs.seed_statistics import print_seeds, statistics_of
from gan_lightning.trainer.hardware import uses_gpu
from gan_lightning.trainer.stacked import StackedGames
from gan_lightning.utils.checksum import KEY, structure_digest
from gan_lightning.utils.conf import plain
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import atomic_write
from gan_lightning.utils.instantiation import user_errors
from gan_lightning.utils.stop_signals import Interrupted, StopSignals

log = logging.getLogger(__name__)

POINTS = 2000
"""Samples of each game in the figure."""


def train_seeds(
    config: DictConfig, overrides: Sequence[str], start: ResumePoint, *, report: bool = False
) -> dict[str, Any]:
    """Train `config.seeds` games, from the seed `config.seed` on, and fill the run directory.

    Args:
        config: the composed configuration, see conf/train.yaml.
        overrides: that it was composed with.
        start: where the run begins.
        report: print at the end what was reached.

    Returns:
        The content of ``result.json``: the numbers of each seed, and their mean, deviation and interval.

    Raises:
        UserError: the games cannot be trained as one program.
        Interrupted: a signal has ended the run, and its state is saved.
    """
    with user_errors():
        run = SeedsRun(config, start.directory)
        if start.checkpoint is not None:
            run.restore(start.checkpoint)
    write_start(start.directory, run.settings, overrides)
    result = run.train()
    if report:
        print_seeds(result, start.directory)
    return result


class SeedsRun:
    """The games of one configuration with their evaluation, files and progress.

    Args:
        config: the composed configuration, with `seeds`.
        directory: of the run.
    """

    def __init__(self, config: DictConfig, directory: Path) -> None:
        self.settings = plain(config)
        self.directory = directory
        self.seeds = list(range(config.seed, config.seed + config.seeds))
        built = [build_game(settings) for settings in settings_of_seeds(config, self.seeds)]
        self.sources = [data for data, _ in built]
        device = "cuda" if uses_gpu(config.trainer.accelerator) else "cpu"
        self.gans = [gan.to(device) for _, gan in built]
        self.games = StackedGames(self.gans, self.sources)
        self.first = self.gans[0]
        callbacks = {name: part for name, part in self.settings["callbacks"].items() if part is not None}
        made = {
            name: instantiate(callbacks[name], _convert_="all")
            for name in ("evaluation", "progress", "density")
            if name in callbacks
        }
        self.evaluation: Evaluation | None = made.get("evaluation")
        self.progress: Progress | None = made.get("progress")
        self.density = made.get("density")
        self.saves = "checkpoint" in callbacks
        self.rows: list[dict[str, Any]] = []
        self.values: dict[int, dict[str, float]] = {}
        self.signals = StopSignals()

    def train(self) -> dict[str, Any]:
        """Train to the end of the budget; return the content of ``result.json``, which is written however it ends."""
        started, status, error = time.monotonic(), "failed", None
        write_result(self.directory, {"status": "running", "error": None, "seconds": None, **self.summary()})
        self.signals.listen()
        try:
            self.prepare()
            self.loop()
            status = "finished"
        except Interrupted:
            status = "interrupted"
            raise
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            self.signals.restore()
            if self.progress is not None:
                self.progress.close()
            result = {"status": status, "error": error, "seconds": time.monotonic() - started, **self.summary()}
            write_result(self.directory, result)
        return result

    def prepare(self) -> None:
        """Show the metrics their reference samples, and begin to show progress."""
        if self.evaluation is not None and self.evaluation.metrics:
            evaluation = self.evaluation
            evaluation.evaluator.prepare_gan(self.first, self.sources[0], evaluation.num_fakes)
            evaluation.protocol = evaluation.evaluator.gan_protocol(self.first, self.sources[0], evaluation.num_fakes)
        if self.progress is not None:
            self.progress.on_train_start(SimpleNamespace(is_global_zero=True), self.first)  # type: ignore[arg-type]

    def loop(self) -> None:
        """Make all iterations, with what is due after each."""
        games, budget = self.games, self.first.max_iterations
        for real in games.batches():
            games.step(real)
            if games.state.discriminator_updates % self.first.discriminator_steps:
                continue
            over = games.iterations >= budget
            if over or games.iterations % self.settings["evaluate_every"] == 0:
                self.evaluate(over)
            if over or games.iterations % self.settings["checkpoint_every"] == 0:
                self.save()
            if self.progress is not None:
                self.first.losses = {name: losses.mean() for name, losses in games.losses.items()}
                self.progress.on_train_batch_end(None, self.first, None, None, 0)  # type: ignore[arg-type]
            if over:
                break
            if self.signals.received is not None:
                self.save()
                text = f"saved iteration {games.iterations}; to resume: ckpt_path={os.path.relpath(self.directory)}"
                raise Interrupted(self.signals.received, text)
        if self.progress is not None:
            self.progress.on_train_end(None, self.first)  # type: ignore[arg-type]
        self.draw()

    def evaluate(self, last: bool) -> None:
        """Measure every game as its own single run does, and write ``metrics.csv``."""
        evaluation = self.evaluation
        if evaluation is None or not evaluation.metrics:
            return
        for index, seed in enumerate(self.seeds):
            gan = self.gans[index]
            if self.is_finite(index):
                self.values[seed] = evaluation.evaluator.evaluate_gan(gan, evaluation.num_fakes)
                if last:
                    self.values[seed] |= self.density_values(index)
            else:
                self.values[seed] = dict.fromkeys(evaluation.evaluator.keys, math.nan)
            self.rows.append({"iteration": self.games.iterations, "seed": seed, **self.values[seed]})
        evaluation.last_iteration = self.games.iterations
        means = {
            name: float(np.mean([self.values[seed][name] for seed in self.seeds])) for name in evaluation.evaluator.keys
        }
        self.first.metrics.update(means)
        if evaluation.monitor is not None:
            evaluation.remember(means[evaluation.monitor], self.games.iterations)
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        write_table(self.directory / "metrics.csv", columns, self.rows)

    def density_values(self, index: int) -> dict[str, float]:
        """Return V(D, G), C(G) and |D - D*| of one game as it is played, for data on the line; see `DensityPlot`."""
        data = self.sources[index]
        if self.density is None or data.distribution.dim != 1:
            return {}
        values: dict[str, float] = {}
        keeper = SimpleNamespace(log_metrics=lambda found, step: values.update(found))
        trainer: Any = SimpleNamespace(is_global_zero=True, world_size=1, datamodule=data, loggers=[keeper])
        plot = deepcopy(self.density)
        plot.on_train_start(trainer, self.gans[index])
        plot.run(trainer, self.gans[index])
        return values

    def is_finite(self, index: int) -> bool:
        """Return whether all weights of a game are finite."""
        return all(bool(value[index].isfinite().all()) for value in self.games.state_dict().values())

    def save(self) -> None:
        """Save ``last.ckpt``, all games in one, unless a weight is not finite; a full disk is a line in the log."""
        if not self.saves:
            return
        path = self.directory / "checkpoints" / "last.ckpt"
        state = {name: value.clone() for name, value in self.games.state_dict().items()}
        if any(not value.isfinite().all() for value in state.values()):
            log.error(f"{os.path.relpath(path)} was not saved: a game has diverged, and a weight is not finite")
            return
        content: dict[str, Any] = {
            "hyper_parameters": self.settings,
            "state_dict": state,
            "game": self.games.state.counters(),
            "optimizer_states": [optimizer.state_dict() for optimizer in self.games.optimizers.values()],
            "lr_schedulers": [
                {key: value for key, value in schedule.state_dict().items() if key != "lr_lambdas"}
                for schedule in self.games.schedules
            ],
            "loops": {},
            "callbacks": {} if self.evaluation is None else {Evaluation.__qualname__: self.evaluation.state_dict()},
            "pytorch-lightning_version": lightning_version,
        }
        try:
            with atomic_write(path, durable=True) as unfinished, unfinished.open("wb") as file:
                torch.save({**content, KEY: structure_digest(content)}, file)
        except (OSError, RuntimeError) as error:
            log.error(f"{os.path.relpath(path)} could not be saved ({reason(error)})")

    def restore(self, checkpoint: Path) -> None:
        """Take the state of a checkpoint, and keep the rows of ``metrics.csv`` up to it.

        Raises:
            UserError: it is of a run of other games.
        """
        content = read_checkpoint(checkpoint)
        shapes = {name: value.shape for name, value in content["state_dict"].items()}
        if shapes != {name: value.shape for name, value in self.games.state_dict().items()}:
            raise UserError(f"{checkpoint} has other networks or another number of seeds: leave out what changes them")
        self.games.load_state_dict(content["state_dict"])
        for name, value in content["game"].items():
            setattr(self.games.state, name, value)
        for optimizer, state in zip(self.games.optimizers.values(), content["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)
        for schedule, state in zip(self.games.schedules, content["lr_schedulers"], strict=True):
            schedule.load_state_dict({**state, "lr_lambdas": [None] * len(schedule.base_lrs)})
        if self.evaluation is not None and Evaluation.__qualname__ in content["callbacks"]:
            self.evaluation.load_state_dict(content["callbacks"][Evaluation.__qualname__])
        table = self.directory / "metrics.csv"
        rows = read_table(table)[1] if table.is_file() else []
        self.rows = [dict(row) for row in rows if int(row["iteration"]) <= self.games.iterations]

    def draw(self) -> None:
        """Write ``seeds.png``: the densities of all games, or small pictures of their samples."""
        distribution = self.sources[0].distribution
        if distribution.dim > 2:
            return
        samples = [gan.generate(gan.fixed_latents(POINTS, "density")).cpu().numpy() for gan in self.gans]
        real = distribution.sample(POINTS, generator_for("density"))
        with user_errors():
            picture = seeds_figure(self.seeds, samples, real.numpy(), distribution.log_density)
            save_picture(picture, self.directory / "seeds.png")

    def summary(self) -> dict[str, Any]:
        """Return what was reached: counters, each seed's last numbers, and their statistics."""
        per_seed = {seed: self.values[seed] for seed in self.seeds if seed in self.values}
        statistics = statistics_of(list(per_seed.values())) if per_seed else {}
        return {
            **self.games.state.counters(),
            "seeds": self.seeds,
            "final": {name: of["mean"] for name, of in statistics.items()},
            **evaluated(self.evaluation),
            "statistics": statistics,
            "per_seed": {str(seed): values for seed, values in per_seed.items()},
            "classes": None,
            "stopped": None,
            "health": [],
        }
