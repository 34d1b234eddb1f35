"""Reports of run directories that are written by hand, with numbers that the hand can check."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from PIL import Image

from gan_lightning.cli.report import main
from gan_lightning.sweeps.collect import grouped, read_runs, tables
from gan_lightning.sweeps.report import report
from gan_lightning.utils.errors import UserError


def write_run(
    sweep: Path, loss: str, seed: int, best: float | None, fakes: int = 100, typed: Sequence[str] = (), size: int = 40
) -> Path:
    """Write the directory of a run with `best` as its FID; of a failed one where that is None."""
    run = sweep / f"loss={loss},seed={seed}"
    (run / "samples").mkdir(parents=True)
    config = {"seed": seed, "loss": {"kind": loss}, "data": {"seed": seed}, "max_iterations": 20}
    config["metrics"] = {"monitor": "val/fid", "mode": "min"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "overrides.yaml").write_text(yaml.safe_dump([f"loss={loss}", f"seed={seed}", *typed]))
    reference = dict.fromkeys(("data", "split", "size", "shape", "fingerprint"), "ring")
    number: dict = {"metric": "FID", "config": {}, "extractor": None, "preprocessing": None}
    protocol = {"num_fakes": fakes, "reference": reference, "numbers": {"val/fid": number}}
    result: dict = {"status": "failed", "error": "diverged: <nan>\nand more"}
    if best is not None:
        result = {"status": "finished", "best": {"val/fid": best}, "final": {"val/fid": best + 1}}
        result |= {"images": 200, "seconds": 2.0, "protocol": protocol, "health": []}
        (run / "metrics.csv").write_text(f"iteration,val/fid\n10,{best + 2}\n20,{best}\n")
        for iteration in (0, 20):
            Image.new("L", (size, size), iteration).save(run / "samples" / f"iteration_{iteration:06d}.png")
    (run / "result.json").write_text(json.dumps(result))
    return run


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
    assert page.count('<img alt="samples"') == 4 and page.count("hidden>") == 2
    assert "currentColor" in page and 'data-value="2.1' in page


def test_fifty_runs_of_pictures_make_a_page_below_five_megabytes(tmp_path: Path):
    for seed in range(50):
        run = write_run(tmp_path, f"loss{seed}", 0, float(seed), size=8)
        for iteration in range(12):
            Image.effect_noise((600, 600), 90).save(run / "samples" / f"iteration_{iteration:06d}.png")
    assert report(tmp_path).stat().st_size < 5e6


def test_the_command_line_prints_the_table(sweep: Path, capsys: pytest.CaptureFixture[str]):
    main([str(sweep), "--output", str(sweep.parent / "out")])
    assert "| `loss=lsgan` | 3 | 2.1 ± 0.1 |" in capsys.readouterr().out
    assert (sweep.parent / "out" / "report.html").is_file()


def test_a_folder_without_runs_is_one_sentence(tmp_path: Path):
    with pytest.raises(UserError, match="holds no run"):
        report(tmp_path)
