from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

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
