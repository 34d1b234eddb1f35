"""`gan-report`: compare runs and sweeps in a table and on a page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gan_lightning.cli.command import reported
from gan_lightning.utils.errors import write_line


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="gan-report", description="Compare runs and sweeps in a table and on a page.")
    parser.add_argument("paths", nargs="+", metavar="SWEEP_OR_RUN", help="directories of runs or of sweeps")
    parser.add_argument("--output", help="directory of the report; by default the first of the paths")
    given = parser.parse_args(arguments)
    from gan_lightning.sweeps.report import report

    with reported():
        page = report(*given.paths, output=given.output)
    write_line((page.parent / "summary.md").read_text(encoding="utf-8"))
    write_line(f"report  {page}")


if __name__ == "__main__":
    main()
