"""The dashboard of W&B, as it would be sent; nothing of it needs the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.run_directories import write_run

from gan_lightning.cli import workspace
from gan_lightning.cli.workspace import main


def sweep(folder: Path, project: str | None = "gans") -> Path:
    for seed, lr in enumerate(("1e-4", "1e-3", "1e-2")):
        run = write_run(folder / "rates", f"gan{lr}", seed, float(seed), typed=[f"optimizer.lr={lr}"])
        config = yaml.safe_load((run / "config.yaml").read_text()) | {"choices": {"loss": "gan"}}
        logger = {"wandb": {"project": project, "entity": None}} if project else {}
        (run / "config.yaml").write_text(yaml.safe_dump({**config, "logger": logger}))
    (folder / "rates" / "multirun.yaml").write_text("{}")
    return folder / "rates"


def sent(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    pytest.importorskip("wandb_workspaces")
    main([str(folder), "--dry-run", *options])
    view: dict[str, Any] = json.loads(capsys.readouterr().out)
    return view


def test_a_dry_run_prints_the_dashboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    view = sent(sweep(tmp_path), capsys, "--entity", "team")
    assert (view["entity"], view["project"], view["displayName"]) == ("team", "gans", "rates")
    whole = view["spec"]["section"]
    assert whole["settings"]["xAxis"] == "images_seen"
    [filtered] = whole["runSets"][0]["filters"]["filters"]
    assert (filtered["key"]["name"], filtered["value"]) == ("group", "rates")
    panels = {part["name"]: part["panels"] for part in whole["panelBankConfig"]["sections"]}
    kinds = [panel["viewType"] for panel in panels["What mattered"]]
    assert kinds == ["Parallel Coordinates Plot", "Parameter Importance", "Scatter Plot"]
    coordinates, importance, scatter = (panel["config"] for panel in panels["What mattered"])
    accessors = [column["accessor"] for column in coordinates["columns"]]
    assert accessors == ["config:loss.value", "config:settings.value.optimizer.lr", "summary:best"]
    assert importance["targetKey"] == "best"
    assert (scatter["xAxis"], scatter["xAxisLogScale"]) == ("config:settings.value.optimizer.lr", True)
    curves = [panel["config"] for panel in panels["Over training"]]
    assert curves[0] == curves[0] | {"xAxis": "images_seen", "metrics": ["val/fid"]}
    assert ["samples"] in [panel["config"]["mediaKeys"] for panel in panels["Samples"]]


def test_a_single_run_has_no_panels_of_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = next(sweep(tmp_path).glob("*/config.yaml")).parent
    view = sent(run, capsys)
    names = [part["name"] for part in view["spec"]["section"]["panelBankConfig"]["sections"]]
    assert names == ["Over training", "Samples"] and not view["spec"]["section"]["runSets"][0]["filters"]["filters"]


def refusal(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(folder), *options])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_runs_that_were_not_logged_to_wandb_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("wandb_workspaces")
    assert "was not logged to W&B" in refusal(sweep(tmp_path, project=None), capsys, "--dry-run")


def test_without_an_account_nothing_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("wandb_workspaces")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    assert "needs an account of W&B" in refusal(sweep(tmp_path), capsys)


def test_a_missing_package_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(workspace, "find_spec", lambda name: None)
    assert 'pip install "gan_lightning[workspace]"' in refusal(tmp_path, capsys)
