# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Review a sweep
#
# Three learning rates of the generator, two seeds each, on a one-dimensional Gaussian: which rate learns it fastest?
# A sweep of the command line is reviewed in the same way, from the second cell on:
#
#     python train.py -m experiment=gaussian optimizer.lr=2.5e-4,1e-3,4e-3 seed=0,1 max_iterations=300
#
# Open this file as a notebook with [jupytext](https://jupytext.readthedocs.io), or run it as a script.

# %%
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt

import gan_lightning as gl

sweep = Path(f"outputs/sweeps/{datetime.now():%Y-%m-%d_%H-%M-%S}_learning_rates")
for rate in (2.5e-4, 1e-3, 4e-3):
    for seed in (0, 1):
        gl.train(
            [
                "experiment=gaussian",
                f"optimizer.lr={rate}",
                f"seed={seed}",
                "max_iterations=300",
                "evaluate_every=50",
                "logger=csv",
                "callbacks.density=null",
            ],
            directory=sweep / f"lr{rate}_s{seed}",
        )

# %% [markdown]
# ## Collect
#
# Each run directory holds its configuration, its result and its numbers; nothing else need be remembered. A metric's
# final value and its best are in `result`.

# %%
runs = [gl.Run(path) for path in sorted(sweep.iterdir()) if (path / "config.yaml").is_file()]
by_rate = defaultdict(list)
for run in runs:
    by_rate[run.config.optimizer.lr].append(run)

# %% [markdown]
# ## A table

# %%
metric = runs[0].result["monitor"]
print(f"{'learning rate':>13} {'runs':>5} {'final':>8} {'best':>8}   {metric}, mean over seeds")
for rate, group in sorted(by_rate.items()):
    final = mean(run.result["final"][metric] for run in group)
    best = mean(run.result["best"][metric] for run in group)
    print(f"{rate:>13g} {len(group):>5} {final:>8.3f} {best:>8.3f}")

# %% [markdown]
# ## A figure


# %%
def curve(run: gl.Run) -> tuple[list[int], list[float]]:
    """Return the iterations of the evaluations and their values."""
    rows = run.metrics if isinstance(run.metrics, list) else run.metrics.to_dict("records")
    evaluated = [row for row in rows if row.get(metric) == row.get(metric) is not None]
    return [row["iteration"] for row in evaluated], [row[metric] for row in evaluated]


figure, axes = plt.subplots()
for color, (rate, group) in enumerate(sorted(by_rate.items())):
    for index, run in enumerate(group):
        axes.plot(*curve(run), color=f"C{color}", label=f"{rate:g}" if index == 0 else None)
axes.set(xlabel="iteration", ylabel=metric, yscale="log")
axes.legend(title="learning rate")
figure.savefig(sweep / "learning_rates.png")
