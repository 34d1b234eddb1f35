"""Reports of run directories that are written by hand, with numbers that the hand can check."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from helpers.run_directories import write_run
from PIL import Image

from gan_lightning.cli.report import main
from gan_lightning.sweeps.collect import grouped, read_run, read_runs, tables
from gan_lightning.sweeps.pictures import all_pictures, at_stages
from gan_lightning.sweeps.plots import axis, is_geometric
from gan_lightning.sweeps.report import report
from gan_lightning.sweeps.run_page import run_page
from gan_lightning.utils.errors import UserError


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for seed, (gan, lsgan) in enumerate([(5.0, 2.0), (5.5, 2.1), (5.2, 2.2)]):
        write_run(tmp_path / "sweep", "gan", seed, gan)
        write_run(tmp_path / "sweep", "lsgan", seed, lsgan)
    write_run(tmp_path / "sweep", "lsgan", 3, None)
    return tmp_path / "sweep"


def test_runs_are_grouped_by_everything_but_the_seed(sweep: Path):
    groups = {group.name: group for group in grouped(read_runs([sweep]))}
    assert groups.keys() == {"loss=gan", "loss=lsgan"}
    assert groups["loss=gan"].values() == [5.0, 5.5, 5.2]
    assert groups["loss=gan"].values("last") == [6.0, 6.5, 6.2]


def test_the_table_has_the_best_first_and_names_the_winner(sweep: Path):
    report(sweep)
    first, second = csv.DictReader((sweep / "summary.csv").open())
    assert (first["setting"], first["n"]) == ("loss=lsgan", "3")
    assert float(first["mean"]) == pytest.approx(2.1)
    assert float(first["std"]) == pytest.approx(0.1) and float(first["last mean"]) == pytest.approx(3.1)
    assert float(first["low"]) >= 2.0 and float(first["high"]) <= 2.2
    assert second["command"] == "python train.py -m loss=gan seed=0,1,2"
    summary = (sweep / "summary.md").read_text()
    assert "Winner: loss=lsgan" in summary and "Welch" in summary
    assert "- loss=lsgan,seed=3: failed: diverged: <nan>\n" in summary


def test_numbers_of_different_protocols_stand_in_different_tables(sweep: Path):
    write_run(sweep, "hinge", 0, 1.0, fakes=50)
    found, _ = tables(read_runs([sweep]))
    names = sorted([group.name for group in table.groups] for table in found)
    assert names == [["loss=hinge"], ["loss=lsgan", "loss=gan"]]


def test_debug_runs_stand_in_no_table_with_real_ones(sweep: Path):
    run = write_run(sweep, "hinge", 0, 1.0)
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "choices": {"debug": "fast"}}))
    report(sweep)
    real, debug = sorted((sweep / "summary.md").read_text().split("## ")[1:3], key=lambda table: "debug" in table)
    assert "loss=hinge" not in real and "debug=fast: these runs try the program out" in debug


def test_a_job_that_was_refused_stands_among_the_runs_without_a_number(sweep: Path):
    refused = sweep / "loss=ebgan,seed=0"
    refused.mkdir()
    (refused / "result.json").write_text('{"status": "failed", "error": "needs energies"}')
    page = report(sweep).read_text()
    assert "- loss=ebgan,seed=0: failed: needs energies\n" in (sweep / "summary.md").read_text()
    assert "loss=ebgan,seed=0" in page and "Winner: loss=lsgan" in page


def test_a_run_given_twice_is_one_sample(sweep: Path):
    run = sweep / "loss=gan,seed=0"
    again = sweep / "again"
    again.mkdir()
    for file in ("config.yaml", "overrides.yaml", "result.json"):
        (again / file).write_bytes((run / file).read_bytes())
    groups = {group.name: group for group in grouped(read_runs([sweep]))}
    assert len(groups["loss=gan"].runs) == 3


def test_the_page_needs_nothing_else_and_shows_errors_as_text(sweep: Path):
    page = report(sweep).read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "<nan>" not in page and "&lt;nan&gt;" in page
    assert page.count('<img alt="samples after') == 4 and page.count(" hidden>") == 2
    assert "currentColor" in page and 'data-value="2.1' in page


def test_fifty_runs_of_pictures_make_a_page_below_five_megabytes(tmp_path: Path):
    picture = tmp_path / "noise.png"
    Image.effect_noise((600, 600), 90).save(picture)
    for seed in range(50):
        run = write_run(tmp_path, f"loss{seed}", 0, float(seed), size=8)
        for iteration in range(12):
            shutil.copy(picture, run / "samples" / f"iteration_{iteration:06d}.png")
        rows = "".join(f"{iteration},{64 * iteration},{seed + 1000 / (iteration + 1)}\n" for iteration in range(1000))
        (run / "metrics.csv").write_text(f"iteration,images,val/fid\n{rows}")
    page = report(tmp_path)
    assert page.stat().st_size < 5e6 and page.read_text().count("<img") == 200


def test_the_command_line_prints_the_table(sweep: Path, capsys: pytest.CaptureFixture[str]):
    main([str(sweep), "--output", str(sweep.parent / "out")])
    assert "| `loss=lsgan` | 3 | 2.1 ± 0.1 |" in capsys.readouterr().out
    assert (sweep.parent / "out" / "report.html").is_file()


def test_a_folder_without_runs_is_one_sentence(tmp_path: Path):
    with pytest.raises(UserError, match="holds no run"):
        report(tmp_path)


def test_curves_and_samples_are_over_the_images_seen(tmp_path: Path):
    write_run(tmp_path, "gan", 0, 5.0)
    (run,) = read_runs([tmp_path])
    assert run.curve() == [(100.0, 7.0), (200.0, 5.0)]
    pictures = all_pictures(run)
    assert [seen for seen, _ in pictures] == [0.0, 200.0]
    several = [(seen, Path(f"{seen}")) for seen in (0.0, 90.0, 110.0, 200.0)]
    assert [seen for seen, _ in at_stages(several, [0.0, 100.0, 200.0, 300.0])] == [0.0, 90.0, 200.0]


def test_a_single_run_has_a_page_of_its_own(tmp_path: Path):
    run = write_run(tmp_path, "gan", 0, 5.0)
    page = report(run).read_text()
    assert page.startswith("<!doctype html>") and "<title>loss=gan,seed=0</title>" in page
    assert "Best val/fid: 5" in page and "python train.py loss=gan seed=0" in page
    assert 'data-stops="0,200"' in page and 'data-value="7.0">7</td>' in page


def test_a_number_that_is_none_is_a_dash(tmp_path: Path):
    """As a metric of fakes that are no numbers; the best of them is none either."""
    run = write_run(tmp_path, "gan", 0, best=3.0)
    result = json.loads((run / "result.json").read_text())
    result |= {"best": {"val/fid": None}, "final": {"val/fid": None, "val/kid": 0.25}}
    (run / "result.json").write_text(json.dumps(result))
    (run / "metrics.csv").write_text("iteration,val/fid,val/kid\n10,nan,0.5\n20,,0.25\n")
    page = run_page(read_run(run))
    assert re.findall(r">([^<>]*)</td>", page)[:8] == ["val/fid", "–", "–", "–", "val/kid", "0.25", "0.25", "0.5"]


@pytest.mark.parametrize(
    ("places", "geometric"),
    [([1e-4, 2e-4, 4e-4], True), ([16.0, 32.0, 48.0, 64.0], False), ([1.0, 2.0], False), ([0.0, 1.0, 10.0], False)],
)
def test_swept_numbers_are_on_a_logarithmic_axis_where_their_ratios_are_even(places: list[float], geometric: bool):
    assert is_geometric(places) is geometric


def test_values_on_parallel_axes_are_numbers_by_size_and_words_in_order():
    assert axis(["1e-4", "1e-2", "1e-3"])[0] == pytest.approx([0, 1, 0.5])
    assert axis(["0", "3", "1"])[0] == pytest.approx([0, 1, 1 / 3])
    assert axis(["gan", None, "lsgan"])[0] == [0.5, 0.0, 1.0]


def test_parallel_coordinates_are_there_when_several_numbers_were_swept(tmp_path: Path):
    for seed, (lr, dim) in enumerate([(0.1, 2), (0.01, 2), (0.1, 4), (0.01, 4)]):
        write_run(tmp_path, f"{lr}{dim}", 0, float(seed), typed=[f"lr={lr}", f"dim={dim}", "loss=gan"])
    assert "All that was swept" in report(tmp_path).read_text()
    only = [write_run(tmp_path / "one", f"{lr}", 0, lr, typed=[f"lr={lr}", "loss=gan"]) for lr in (0.1, 0.01)]
    assert "All that was swept" not in report(*only, output=tmp_path / "one").read_text()


def test_what_differs_in_the_environments_is_said(tmp_path: Path):
    for loss, torch in (("gan", "2.11.0"), ("lsgan", "2.12.1")):
        run = write_run(tmp_path, loss, 0, 1.0)
        content = {"command": [loss], "packages": {"torch": torch, "numpy": "2"}}
        (run / "environment.json").write_text(json.dumps(content))
    page = report(tmp_path).read_text()
    assert "What differs in the environments (1)" in page and "packages.torch" in page
