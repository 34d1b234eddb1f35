"""Pictures of a run as W&B keeps them, to the pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.compose import composed, job_part
from helpers.jobs import train
from helpers.wandb_files import history, wandb_files
from PIL import Image

from gan_lightning.figures.images import Pixels, make_image_grid
from gan_lightning.randomness import generator_for
from gan_lightning.runs.checkpoints import load

SMALL_IMAGES = (
    *("data.train_size=64", "max_iterations=4", "evaluate_every=2", "samples_every=2", "metrics.num_fakes=100"),
    *("model.generator.width=8", "model.discriminator.width=8", "trainer.accelerator=cpu", "log_every=1"),
)


def pixels(path: Path) -> Pixels:
    return np.asarray(Image.open(path))


def test_every_row_has_the_images_seen_and_the_best_samples_are_those_of_the_best_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with composed(*SMALL_IMAGES, directory=tmp_path) as config:
        result = train(job_part(config))
    (file,) = wandb_files(tmp_path)
    rows = history(file)
    assert len(rows) > 6
    assert all(row["images_seen"] == 64 * row["iteration"] for row in rows)
    (best,) = (row for row in rows if "samples_best._type" in row)
    name, value = result["monitor"], result["best"][result["monitor"]]
    assert best["samples_best.captions"] == [f"best {name} {value:.4g} at iteration {result['best']['iteration']}"]
    kept = pixels(file.parent / "files" / best["samples_best.filenames"][0])
    gan = load(tmp_path / "checkpoints" / "best.ckpt", "cpu").gan
    assert gan.iterations == result["best"]["iteration"]
    with torch.no_grad():
        latent, columns = gan.prior.grid(64, generator_for(gan.seed, "samples", device=gan.device))
        assert np.array_equal(kept, make_image_grid(gan.generate(latent), columns=columns))
    (moving,) = (row for row in rows if "evolution._type" in row)
    logged = file.parent / "files" / moving["evolution.videos"][0]["path"]
    assert logged.read_bytes() == (tmp_path / "samples" / "evolution.gif").read_bytes()
