"""`gan-runs`: list runs and sweeps with their status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gan_lightning.sweeps.listing import listing
from gan_lightning.utils.errors import write_line

DESCRIPTION = """List runs and sweeps, the newest first: status (running, dead: killed, finished, failed, stopped: by a
signal or Ctrl+C), iterations, the monitored metric at its best, age, and the settings that differ."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="gan-runs", description=DESCRIPTION)
    parser.add_argument("paths", nargs="*", default=["outputs"], help="folders to look in; by default outputs")
    paths = [Path(path) for path in parser.parse_args(arguments).paths]
    if missing := [str(path) for path in paths if not path.is_dir()]:
        write_line(f"{', '.join(missing)}: there is no such folder here", sys.stderr)
        sys.exit(2)
    write_line(listing(paths) or f"There are no runs in {', '.join(map(str, paths))}")


if __name__ == "__main__":
    main()
