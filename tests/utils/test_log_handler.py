from __future__ import annotations

import errno
import logging
import sys
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_class

from gan_lightning.evaluation.results import EvaluationResult, print_result
from gan_lightning.utils.errors import write_line
from gan_lightning.utils.log_handler import LogFile


def test_a_full_disk_is_one_line_however_much_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full(text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(tmp_path)
    handler = LogFile("train.log")
    log = logging.Logger("test")
    log.addHandler(handler)
    log.error("whole")
    with monkeypatch.context() as disk:
        disk.setattr(handler.stream, "write", full, raising=True)
        for number in range(20):
            log.error(f"line {number}")
    log.error("again")
    handler.close()
    assert capsys.readouterr().err == (
        "train.log cannot be written (No space left on device): lines of the log are lost\n"
    )
    assert Path("train.log").read_text(encoding="utf-8") == "whole\nagain\n"


HOSTILE = "[red]a[/b]\x1b[2J\r\x07\x9b1m\u202e.png"
SHOWN = r"[red]a[/b]\x1b[2J\r\x07\x9b1m\u202e.png"


@pytest.mark.parametrize("name", ["job_logging/gan_lightning", "job_logging/terminal", "hydra_logging/gan_lightning"])
def test_control_characters_in_names_are_escaped_in_logs(name: str, capsys: pytest.CaptureFixture[str]):
    formatters = yaml.safe_load(Path(f"conf/hydra/{name}.yaml").read_text(encoding="utf-8"))["formatters"]
    for settings in formatters.values():
        kind = get_class(settings["class"])
        record = logging.LogRecord("a", logging.WARNING, "", 0, "%s is damaged\nand left out", (HOSTILE,), None)
        assert kind(settings["format"]).format(record).endswith(f"{SHOWN} is damaged\nand left out")


def test_control_characters_in_names_are_escaped_in_what_commands_print(capsys: pytest.CaptureFixture[str]):
    write_line(HOSTILE)
    write_line(HOSTILE, sys.stderr)
    assert capsys.readouterr() == (SHOWN + "\n", SHOWN + "\n")


def test_an_evaluation_prints_names_as_they_are(capsys: pytest.CaptureFixture[str]):
    protocol = {
        "num_fakes": 3,
        "reference": {"data": HOSTILE, "split": "all", "size": 2},
        "numbers": {f"val/{HOSTILE}": {"extractor": HOSTILE, "preprocessing": HOSTILE, "config": {HOSTILE: HOSTILE}}},
    }
    print_result(EvaluationResult({f"val/{HOSTILE}": 1.0}, protocol), HOSTILE)
    out = capsys.readouterr().out
    assert not any(c in out for c in "\x1b\r\x07\x9b\u202e")
    assert out.count(SHOWN) >= 7
