"""Files of the cache with wrong content: each is left aside with one line, and made again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gan_lightning.utils.files import load_cached, save_cached

WEIGHTS = {"a": torch.arange(50.0), "b": torch.ones(3, dtype=torch.int64)}


def named_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def signed(content: bytes) -> bytes:
    """Return content behind a checksum that holds."""
    return hashlib.sha256(content).digest() + content


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "garbage": lambda path: path.write_bytes(b"\xff\x00 garbage \x1b[2J" * 9),
    "one bit": one_bit,
    "another version's": lambda path: path.write_bytes(signed(b"\x80\x05 of PyTorch 9")),
    "code": lambda path: path.write_bytes(signed(b"cos\nsystem\n(S'true'\ntR.")),
    "a named pipe": named_pipe,
    "a folder": folder,
    "a link to itself": link_to_itself,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_used_is_as_none_with_one_line(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "statistics" / "x.pt"
    save_cached(WEIGHTS, path)
    torch.testing.assert_close(load_cached(path), WEIGHTS)
    DAMAGES[damage](path)
    assert load_cached(path) is None
    lines = [record.getMessage() for record in caplog.records]
    if damage == "a link to itself":
        assert not lines
        return
    (line,) = lines
    assert line.startswith(f"{path} cannot be used (") and line.endswith("): its content is computed again")
    assert line.isprintable()
    if damage != "a folder":
        save_cached(WEIGHTS, path)
        torch.testing.assert_close(load_cached(path), WEIGHTS)


def test_a_file_that_may_not_be_read_is_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def forbidden(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    save_cached(WEIGHTS, tmp_path / "x.pt")
    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert load_cached(tmp_path / "x.pt") is None
    assert "x.pt cannot be used (Permission denied)" in caplog.text


def test_none_is_no_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_cached(tmp_path / "x.pt") is None and not caplog.records
