from __future__ import annotations

import json
import math
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.compose import composed, job_part
from helpers.jobs import train
from helpers.tiny_gan import tiny_gan
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor, nn

from benchmarks import zoo, zoo_table
from benchmarks.zoo_table import Row
from gan_lightning.data.mnist import Mnist10k
from gan_lightning.game import Latent
from gan_lightning.priors import ClassConditional, Gaussian

EXPERIMENTS = "dcgan_mnist10k,lsgan"
TINY = (
    *("metrics.num_fakes=200", "trainer.accelerator=cpu", "data.batch_size=8", "data.reference=test"),
    *("model.generator.width=16", "model.discriminator.width=16"),
)


def result_of(fid: float | None, **more: float) -> dict:
    return {"final": {"val/fid": fid, "val/confidence": 0.5, "val/class_entropy": 0.25, **more}, "seconds": 61.4}


class Keeper:
    """Calls the benchmark as the command line does, with the runs in this process, and notes which were played."""

    def __init__(self, folder: Path) -> None:
        self.results, self.runs, self.played = folder / "results", folder / "runs", list[str]()

    def call(self, *arguments: str) -> object:
        """The exit code."""
        self.played.clear()
        folders = ("--runs", str(self.runs), "--results", str(self.results))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", ["zoo", "--images", "16", "--seeds", "0", *folders, *arguments, *TINY])
            patch.setattr(zoo.Run, "play", lambda run: self.play(run))
            zoo.main()
        return ended.value.code

    def play(self, run: zoo.Run) -> None:
        self.played.append(str(run))
        shutil.rmtree(run.directory, ignore_errors=True)
        run.directory.mkdir(parents=True)
        (run.directory / "hardware.txt").write_text("a machine\nits PyTorch")
        with composed(*run.overrides, directory=run.directory) as config:
            train(job_part(config))

    def table(self) -> str:
        return (self.results / "zoo.md").read_text()


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Keeper:
    """Of a zoo of two experiments, one seed each, two iterations."""
    keeper = Keeper(tmp_path_factory.mktemp("zoo"))
    assert keeper.call("--only", EXPERIMENTS) == 0
    assert keeper.played == ["dcgan_mnist10k seed 0", "lsgan seed 0"]
    return keeper


def test_experiments_evaluated_on_all_ten_digits_are_in_the_zoo() -> None:
    names = ["ring", "lsgan", "mnist_mlp_digit2", "dcgan_mnist10k", "none_such"]
    found, problems = zoo.zoo(names)
    assert found == ["dcgan_mnist10k", "lsgan"]
    assert list(problems) == ["none_such"] and "none_such" in problems["none_such"]


def test_the_table_holds_the_numbers_of_the_runs(keeper: Keeper) -> None:
    lines = [line.split(" | ") for line in keeper.table().splitlines() if line.startswith("| `")]
    names = [line[0].strip("| `") for line in lines]
    assert sorted(names) == ["dcgan_mnist10k", "lsgan"]
    for name, line in zip(names, lines, strict=True):
        run = keeper.runs / "16" / f"{name}_s0"
        result = json.loads((run / "result.json").read_text())
        fid, precision, recall, confidence, entropy, accuracy, updates, seconds, parameters, seeds = line[1:]
        assert float(fid) == pytest.approx(result["final"]["val/fid"], abs=0.051)
        assert float(precision) == pytest.approx(result["final"]["val/precision"], abs=0.0051)
        assert float(recall) == pytest.approx(result["final"]["val/recall"], abs=0.0051)
        assert float(confidence) == pytest.approx(result["final"]["val/confidence"], abs=0.00051)
        assert float(entropy) == pytest.approx(result["final"]["val/class_entropy"], abs=0.00051)
        assert float(seconds) == pytest.approx(result["seconds"], abs=0.51)
        assert (accuracy.strip(), updates, seeds) == ("", "2", "1 |")
        state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for player, shown in zip(("generator", "discriminator"), parameters.split(" / "), strict=True):
            learned = [value.numel() for key, value in state.items() if re.match(rf"{player}\..*(weight|bias)$", key)]
            assert float(shown) == pytest.approx(sum(learned) / 1e6, abs=0.0051)


def test_the_protocol_stands_above(keeper: Keeper) -> None:
    head = keeper.table().split("| experiment")[0]
    for words in (
        "16 real images",
        "seeds 0;",
        "200 fakes against 1000 real samples (Mnist10k, test)",
        "data.batch_size=8",
        "a machine; its PyTorch",
    ):
        assert words in head
    assert "training digits" not in head and "not the Inception FID" in head
    assert "Precision: bf16-mixed." in head or "Precision: 32-true." in head


def test_the_picture_has_a_row_of_samples_for_each(keeper: Keeper) -> None:
    picture = keeper.results / "zoo.png"
    assert Image.open(picture).size == (560, 2 * 128)
    assert "](zoo.png)" in keeper.table()


def test_without_resume_finished_runs_are_not_touched(keeper: Keeper, capsys: pytest.CaptureFixture[str]) -> None:
    assert keeper.call("--only", EXPERIMENTS) == 2
    assert keeper.played == []
    assert "continue with --resume" in capsys.readouterr().err


def test_an_interrupted_run_alone_is_left_out_and_trained_anew(keeper: Keeper) -> None:
    result = keeper.runs / "16" / "lsgan_s0" / "result.json"
    result.write_text(result.read_text().replace('"finished"', '"interrupted"'))
    assert keeper.call("--no-train") == 1
    lines, left_out = keeper.table().split("Not in the table:")
    assert "| `dcgan_mnist10k`" in lines and "| `lsgan`" not in lines
    assert "- lsgan seed 0: " in left_out
    assert keeper.call("--only", EXPERIMENTS, "--resume") == 0
    assert keeper.played == ["lsgan seed 0"]
    assert "Not in the table" not in keeper.table()


def test_a_run_of_other_settings_is_another_game(keeper: Keeper) -> None:
    folder = keeper.runs / "16"
    assert zoo.Run("lsgan", 0, 16, TINY, folder).problem() is None
    assert zoo.Run("lsgan", 0, 16, ("trainer.devices=2", *TINY), folder).problem() is None
    changed = zoo.Run("lsgan", 0, 16, (*TINY, "prior.dim=95"), folder).problem()
    assert changed is not None and "other settings" in changed and "dim was 100 and is now 95" in changed
    found, problems = zoo.zoo(["lsgan"], (*TINY, "prior.none_such=1"))
    assert not found and "none_such" in problems["lsgan"]
    assert zoo.Run("lsgan", 0, 24, TINY, folder).problem() is not None, "another budget"


def test_a_setting_that_a_later_version_added_counts_only_where_it_is_on(keeper: Keeper, tmp_path: Path) -> None:
    shutil.copytree(keeper.runs / "16", tmp_path / "16")
    path = tmp_path / "16" / "lsgan_s0" / "config.yaml"
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    del config["init_from"], config["init_fresh"]  # off: null and an empty list
    OmegaConf.save(config, path)
    assert zoo.Run("lsgan", 0, 16, TINY, tmp_path / "16").problem() is None
    del config["max_iterations"], config["prior"]["dim"]
    OmegaConf.save(config, path)
    problem = zoo.Run("lsgan", 0, 16, TINY, tmp_path / "16").problem()
    assert problem is not None and "prior.dim was not there" in problem


def test_runs_that_were_measured_in_other_ways_stand_in_no_table(
    keeper: Keeper, capsys: pytest.CaptureFixture[str]
) -> None:
    path = keeper.runs / "16" / "lsgan_s0" / "result.json"
    before = path.read_text()
    try:
        result = json.loads(before)
        path.write_text(json.dumps({**result, "protocol": {**result["protocol"], "precision": "bfloat16"}}))
        code = str(keeper.call("--no-train"))
        assert "cannot stand in one table" in code and "precision bfloat16 and float32" in code
        assert f"delete its folder in {keeper.runs / '16'}, and continue with --resume" in code
        path.write_text(json.dumps({**result, "protocol": None}))
        assert keeper.call("--no-train") == 1
        assert "lsgan seed 0: its protocol is not known: train it anew" in capsys.readouterr().err
    finally:
        path.write_text(before)


def test_a_run_of_another_number_of_fakes_is_refused_with_a_way_out(keeper: Keeper) -> None:
    folder = keeper.runs / "16"
    overrides = ("metrics.num_fakes=100", *TINY[1:])
    assert zoo.Run("lsgan", 0, 16, overrides, folder).problem() == (
        "it was evaluated on 200 fakes and not on 100: train it anew with --resume, or give metrics.num_fakes=200"
    )


def test_notes_stand_below_the_table(keeper: Keeper) -> None:
    notes = keeper.results / "zoo_notes.md"
    notes.write_text("- `lsgan`: is large.\n")
    assert keeper.call("--no-train") == 0
    assert keeper.played == []
    notes.unlink()
    assert "- `lsgan`: is large." in keeper.table().split("| ---")[-1]


def test_a_failed_run_is_reported_and_the_others_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands of their own, which fail before they import torch."""
    folders = ("--runs", str(tmp_path / "runs"), "--results", str(tmp_path))
    arguments = ("--images", "16", "--seeds", "0", *folders, "--only", EXPERIMENTS, "optimizer.lr=abc")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["zoo", *arguments])
        zoo.main()
    assert ended.value.code == 1
    shown = capsys.readouterr()
    for number, name in enumerate(("dcgan_mnist10k", "lsgan"), start=1):
        assert f"[{number}/2] {name} seed 0: failed: optimizer.lr must be a number above 0, not abc" in shown.out
        assert f"not in the table: {name} seed 0: optimizer.lr must be" in shown.err
    assert not (tmp_path / "zoo.md").exists(), "there was nothing to show"


@pytest.mark.slow
def test_a_command_of_its_own_trains(tmp_path: Path) -> None:
    run = zoo.Run("dcgan_mnist10k", 3, 16, TINY, tmp_path)
    run.play()
    assert run.problem() is None
    assert run.result["iterations"] == 2 and run.result["final"]["val/fid"] > 0
    assert (run.directory / "hardware.txt").read_text() == zoo.hardware()


def test_wrong_names_are_refused(keeper: Keeper, capsys: pytest.CaptureFixture[str]) -> None:
    assert keeper.call("--only", "lsgan,ring,nope") == 2
    assert "--only nope,ring: no experiment of this name is evaluated on all ten digits" in capsys.readouterr().err


def test_seeds_become_a_mean_and_a_deviation() -> None:
    assert zoo_table.spread([1.0, 2.0, 3.0], 2) == "2.00 ± 1.00"
    assert zoo_table.spread([1.26], 1) == "1.3"
    assert zoo_table.spread([1.0, math.nan, 3.0], 0) == "2 ± 1 (diverged in 1 of 3)"
    assert zoo_table.spread([math.nan], 1) == "diverged in 1 of 1"


def test_rows_are_ordered_by_fid_and_the_diverged_come_last() -> None:
    fids: dict[str, list[float | None]] = {"a": [300.0, 100.0], "b": [150.0], "c": [None, 10.0], "d": [150.0]}
    rows = [Row(name, [], [result_of(fid) for fid in values]) for name, values in fids.items()]
    assert [row.experiment for row in sorted(rows, key=lambda row: row.order)] == ["b", "d", "a", "c"]


class PaintsLabels(nn.Module):
    """Paints the class that it is conditioned on."""

    def forward(self, latent: Latent) -> Tensor:
        assert latent.labels is not None
        return (latent.labels / 10)[:, None, None, None].expand(-1, 1, 2, 2)


def labelled_row(experiment: str = "acgan") -> Row:
    """A row whose generator is conditioned on one of ten classes."""
    row = Row(
        experiment, [], [{**result_of(7.0, **{"val/label_accuracy": value}), "iterations": 2} for value in (0.5, 0.75)]
    )
    gan = tiny_gan()
    gan.prior, gan.averaged_generator = ClassConditional(3, Gaussian(3), num_classes=10), PaintsLabels()
    row.__dict__["trained"] = SimpleNamespace(gan=gan)
    return row


def test_classes_have_a_column_and_stand_in_order_in_the_picture() -> None:
    assert "0.625 ± 0.177 (label)" in labelled_row().cells()
    assert (labelled_row().samples()[:, 0, 0, 0] * 10).round().tolist() == [*range(10)] * 3


def test_values_that_differ_stand_with_their_names() -> None:
    assert zoo_table.grouped({"a": "x", "b": "x"}) == "x"
    assert zoo_table.grouped({"a": "x", "b": "y", "c": "x"}) == "x (a, c); y (b)"


def test_the_picture_of_a_large_zoo_is_a_small_file(tmp_path: Path) -> None:
    data = Mnist10k(shape=[1, 28, 28], num_classes=10, value_range=[-1, 1], batch_size=12, seed=0)
    data.setup("fit")
    batches = data.reference_batches("cpu", batch_size=zoo_table.SAMPLES)
    rows = {f"experiment_{number}": next(batches) for number in range(25)}
    zoo_table.save_picture(rows, tmp_path / "zoo.png")
    assert (tmp_path / "zoo.png").stat().st_size < 600_000
    pixels = np.asarray(Image.open(tmp_path / "zoo.png").convert("L"))
    assert pixels.shape == (25 * 128, 560)
    assert pixels[:, :110].min() < 50 and pixels[:, 120:].min() < 10  # names in black on white, and digits


def test_the_command_is_that_of_a_user() -> None:
    run = zoo.Run("acgan", 2, 44800, ("trainer.precision=32-true",), Path("runs"))
    assert run.overrides[:4] == ["experiment=acgan", "max_iterations=700", "seed=2", "logger=csv"]
    assert {"evaluate_every=700", "metrics.num_fakes=9000", "trainer.precision=32-true"} < set(run.overrides)
    assert run.directory == Path("runs/acgan_s2")
