"""Folders of images evaluated without a run, and runs whose images were moved to another folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.compose import composed, job_part, resolved
from helpers.evaluated_runs import SMALL, mnist, result, run_eval
from helpers.jobs import train
from omegaconf import OmegaConf
from PIL import Image

from gan_lightning.data.pixels import to_uint8
from gan_lightning.metrics.digits import DigitQuality
from gan_lightning.runs.checkpoints import move_data
from gan_lightning.utils.errors import UserError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def folder(path: Path, images: torch.Tensor) -> Path:
    """PNGs of images (count, 1, height, width) in [-1, 1], some of them deeper."""
    for number, image in enumerate(to_uint8(images).numpy()):
        file = path / ("deep" if number % 3 else ".") / f"{number:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.squeeze(image)).save(file)
    return path


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.cat(list(mnist().reference_batches("cpu")))
    return images[:120], (images[120:200] + images[200:280]).clamp(-1, 1)


def test_two_folders_give_the_numbers_of_their_images(home: Path, digits: tuple[torch.Tensor, torch.Tensor]):
    real, fake = digits
    folder(home / "real", real)
    folder(home / "fake", fake)
    values = run_eval("real=real", "fake=fake", "metrics=[digits,sliced_wasserstein]")["fake"]
    metric = DigitQuality()
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert values["val/fid"] == pytest.approx(metric.compute()["fid"], rel=1e-6)
    (written,) = (home / "outputs" / "evaluations").iterdir()
    known = json.loads(written.read_text())
    assert written.name == "fake_digits-sliced_wasserstein_80.json"
    assert (known["num_fakes"], known["reference_size"]) == (80, 120)
    assert known["protocol"]["weights"] == "files" and known["values"] == values
    again = run_eval("real=real", "fake=fake", "metrics=[fid]", "extractor=digits")["fake"]
    assert again["val/fid"] == values["val/fid"]


def test_folders_of_different_kinds_are_refused_with_the_way_out(home: Path, digits: tuple[torch.Tensor, torch.Tensor]):
    folder(home / "real", digits[0][:4])
    folder(home / "small", digits[1][:4, :, ::2, ::2])
    folder(home / "colour", digits[1][:4])
    for path in (home / "colour").rglob("*.png"):
        Image.open(path).convert("RGB").save(path)
    chosen = ("metrics=digits", "extractor=digits")
    with pytest.raises(UserError, match=r"28x28 pixels .* of 14x14: bring them to one size by image_size=N"):
        run_eval("real=real", "fake=small", *chosen)
    with pytest.raises(UserError, match=r"holds grey images and fake=.*colour ones: bring them to one by channels=1"):
        run_eval("real=real", "fake=colour", *chosen)
    assert run_eval("real=real", "fake=colour", "channels=1", *chosen)["colour"]["val/fid"] >= 0
    assert run_eval("real=real", "fake=small", "image_size=28", *chosen)["small"]["val/fid"] > 0


def test_folders_that_cannot_be_evaluated_are_refused_and_nothing_is_written(
    tmp_path: Path, digits: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where no proxy answers
    folder(tmp_path / "real", digits[0][:4])
    folder(tmp_path / "broken", digits[1][:4])
    path = tmp_path / "broken" / "0000.png"
    path.write_bytes(path.read_bytes()[:150])
    for overrides, words in (
        (("fake=absent", "metrics=digits"), "fake=absent is no folder"),
        (("fake=broken", "metrics=digits"), "broken/0000.png cannot be read"),
        (("fake=real",), "Inception weights could not be downloaded"),
        (("fake=real", "metrics=fid", "extractor=classifier"), "learns the classes of the data, and this has none"),
    ):
        with pytest.raises(UserError, match=words):
            run_eval("real=real", *overrides)
    assert not (tmp_path / "outputs").exists()


# A run whose images were moved


def test_images_that_were_moved_are_found_where_they_are_now(tmp_path: Path, digits: tuple[torch.Tensor, torch.Tensor]):
    folder(tmp_path / "before", digits[0][:16])
    run = tmp_path / "run"
    chosen = ("data=image_folder", f"data.root={tmp_path}/before", "data.image_size=28", "data.channels=1")
    brief = ("max_iterations=2", *(f"{what}_every=2" for what in ("evaluate", "checkpoint", "samples")))
    small = [part for part in SMALL if not part.startswith("data.reference")] + [*brief]
    with composed(*small, *chosen, "metrics.num_fakes=20", "callbacks.evaluation.cache=null", directory=run) as config:
        train(job_part(config))
    (tmp_path / "before").rename(tmp_path / "now")
    with pytest.raises(UserError, match=r"data\.root="):
        run_eval(f"ckpt_path={run}", "cache=null")
    values = run_eval(f"ckpt_path={run}", f"data.root={tmp_path}/now", "cache=null")["last"]
    assert values["val/fid"] == result(run)["final"]["val/fid"]
    (written,) = (run / "evaluations").iterdir()
    assert json.loads(written.read_text())["data"]["root"] == f"{tmp_path}/now"


def test_a_prior_that_draws_from_the_data_draws_from_where_they_are_now():
    folders = ("data=unpaired_folders", "data.a=old_a", "data.b=old_b")
    with composed("variant=cyclegan", *folders) as config:
        trained = OmegaConf.create(resolved(config))
    move_data(trained, {"a": "new_a"})
    for data in (trained.data, trained.prior.data, trained.gan.prior.data):
        assert (data.a, data.b) == ("new_a", "old_b")
