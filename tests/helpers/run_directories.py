"""Run directories that are written by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import yaml
from PIL import Image


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
        result |= {"iterations": 20, "images": 200, "seconds": 2.0, "protocol": protocol, "health": []}
        (run / "metrics.csv").write_text(f"iteration,val/fid\n10,{best + 2}\n20,{best}\n")
        for iteration in (0, 20):
            Image.new("L", (size, size), iteration).save(run / "samples" / f"iteration_{iteration:06d}.png")
    (run / "result.json").write_text(json.dumps(result))
    return run
