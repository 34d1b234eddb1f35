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
# # Train, sample and evaluate from Python
#
# A class-conditional GAN on handwritten digits. With `max_iterations=20` this takes seconds and the digits are smudges;
# leave the last six overrides out and it takes minutes and they are digits.
#
# Open this file as a notebook with [jupytext](https://jupytext.readthedocs.io), or run it as a script.

# %%
import matplotlib.pyplot as plt

import gan_lightning as gl

# %% [markdown]
# ## Train
#
# The list is what would stand behind `python train.py`: `experiment`, `model` and `metrics` name files of `conf/`, the
# others are values. `gl.compose` shows the configuration that comes of it.

# %%
overrides = [
    "experiment=cgan",
    "model=mlp",
    "metrics=labelled_digits",
    "logger=csv",
    "callbacks.samples=null",
    "metrics.num_fakes=500",
    "data.reference=test",  # 1 000 real samples: quick, and too few for an FID to publish
    "trainer.precision=32-true",
    "max_iterations=20",
    "evaluate_every=10",
    "log_every=5",
]
config = gl.compose(overrides)
print(config.name, config.data.batch_size, config.model.generator.width)

# %%
run = gl.train(overrides)
print(run.directory)
run.result["final"]

# %% [markdown]
# `run.metrics` has a row for each logged iteration: a pandas frame where pandas is installed, else a list of dicts.

# %%
run.metrics

# %% [markdown]
# ## Sample
#
# Ten samples of each of two classes. The same seed gives the same samples at any time.

# %%
gan = gl.load(run.directory)  # the same as run.gan
samples = gan.sample(20, labels=[3, 5], seed=1)  # (20, 1, 28, 28), in [-1, 1]
figure, axes = plt.subplots(2, 10, figsize=(10, 2))
for axis, image in zip(axes.flat, samples, strict=True):
    axis.imshow(image[0].numpy(), cmap="gray", vmin=-1, vmax=1)
    axis.axis("off")
figure.savefig(run.directory / "threes_and_fives.png")

# %% [markdown]
# ## Evaluate
#
# Without further arguments the numbers are those of the training, to the last bit. Other metrics, another number of
# samples or another seed are arguments; `protocol` says how the numbers were measured.

# %%
again = gl.evaluate(run)
assert all(again.values[name] == run.result["final"][name] for name in again.values)
print(again.protocol)

# %%
other = gl.evaluate(run, metrics=["kid"], num_fakes=200, seed=1)
other.values

# %% [markdown]
# ## Resume
#
# The run goes to twenty-five iterations in its own directory, with its own overrides.

# %%
longer = gl.train([f"ckpt_path='{run.directory}'", "max_iterations=25"])
longer.result["iterations"]

# %% [markdown]
# ## Export
#
# `.pt2` needs nothing but PyTorch to run; `.onnx` and `.safetensors` need `pip install 'gan_lightning[export]'`.

# %%
gl.export(longer, longer.directory / "generator.pt2")
