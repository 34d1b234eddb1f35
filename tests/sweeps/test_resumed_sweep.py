"""A sweep given again after a kill, with a value added, and with a job that fails: exactly what is missing runs."""

from __future__ import annotations

import signal
from pathlib import Path

from helpers.run_script import TINY, Command

ACCIDENT = """
import os, signal
from pathlib import Path
from lightning import Callback

class Accident(Callback):
    '''In the job that the file `killed` or `failing` names.'''

    def on_train_start(self, trainer, module):
        job = Path(trainer.default_root_dir).name
        if job == Path("killed").read_text():
            os.kill(os.getpid(), signal.SIGKILL)
        if job == Path("failing").read_text():
            raise RuntimeError("no luck")
"""
SWEEP = (
    *("-m", *TINY, "max_iterations=2", "metrics=none", "callbacks.density=null", "logger=csv"),
    *("+callbacks.accident._target_=accident.Accident", "hydra.sweep.dir=sweep", "resume=auto"),
)


def finished(folder: Path) -> dict[str, int]:
    """Return when the result of each finished job was written, by the job's name."""
    results = [path for path in folder.glob("*/result.json") if '"finished"' in path.read_text()]
    return {path.parent.name: path.stat().st_mtime_ns for path in results}


def test_a_sweep_given_again_runs_exactly_what_is_missing(command: Command, tmp_path: Path):
    (tmp_path / "accident.py").write_text(ACCIDENT)
    (tmp_path / "killed").write_text("loss=lsgan,seed=0")
    (tmp_path / "failing").write_text("")
    done = command("train.py", *SWEEP, "loss=gan,lsgan", "seed=0,1")
    assert done.returncode == -signal.SIGKILL
    first = finished(tmp_path / "sweep")
    assert sorted(first) == ["loss=gan,seed=0", "loss=gan,seed=1"]

    (tmp_path / "killed").write_text("")
    done = command("train.py", *SWEEP, "loss=gan,lsgan", "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert "4 jobs in sweep, of which 2 have finished" in done.stderr
    second = finished(tmp_path / "sweep")
    assert len(second) == 4 and first.items() <= second.items()

    (tmp_path / "failing").write_text("loss=hinge,seed=0")
    done = command("train.py", *SWEEP, "loss=hinge,gan,lsgan", "seed=0,1")
    assert done.returncode == 1
    assert "6 jobs in sweep, of which 4 have finished" in done.stderr
    assert "1 job of 6 failed:\n  loss=hinge,seed=0: RuntimeError: no luck\n" in done.stderr
    third = finished(tmp_path / "sweep")
    assert third.keys() - second.keys() == {"loss=hinge,seed=1"} and second.items() <= third.items()
    assert "loss=hinge,seed=0: failed: RuntimeError: no luck" in (tmp_path / "sweep" / "summary.md").read_text()
