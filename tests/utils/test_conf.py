from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gan_lightning.utils.conf import quote_paths


def test_directories_of_jobs_are_typed_without_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    job = Path("sweep/loss=lsgan,seed=0")
    job.mkdir(parents=True)
    line, *others = quote_paths([f"ckpt_path={job}", "seed=0,1", "-m", f"ckpt_path='{job}'"])
    assert OverridesParser.create().parse_override(line).value() == str(job)
    assert others == ["seed=0,1", "-m", f"ckpt_path='{job}'"]
