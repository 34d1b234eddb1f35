"""Text files are UTF-8 on any system, whatever its locale."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from helpers.run_script import ROOT, run_anew

FILES = sorted(path for folder in ("gan_lightning", "benchmarks", "tools") for path in (ROOT / folder).rglob("*.py"))


def without_encoding(source: str) -> list[int]:
    """The lines that read or write text in the encoding of the system."""
    lines = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or any(key.arg == "encoding" for key in call.keywords):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        mode = [part.value for part in call.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        of_bytes = any("b" in text and len(text) < 4 for text in mode)
        other = isinstance(owner, ast.Name) and owner.id in ("self", "Image", "os", "gzip", "zipfile", "archive")
        text_file = name == "FileHandler" or (owner is not None and name in ("read_text", "write_text"))
        if text_file or (name == "open" and not of_bytes and not other):
            lines.append(call.lineno)
    return lines


def test_what_lacks_an_encoding_is_found():
    source = "a.read_text()\nopen(b)\nopen(b, 'rb')\nc.open('w')\nc.open('w', encoding='utf-8')\na.write_text(d)\n"
    assert without_encoding(source) == [1, 2, 4, 6]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_text_file_is_read_and_written_as_utf_8(file: Path):
    assert without_encoding(file.read_text(encoding="utf-8")) == []


def test_help_is_printed_where_the_locale_is_ascii(tmp_path: Path):
    """Some names in conf/ have letters that ASCII lacks."""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
    done = run_anew(tmp_path, "train.py", "--help", **ascii_only)
    assert done.returncode == 0, done.stderr
    assert "5\\xd75 grid" in done.stdout
