"""Downloads that raise one error whatever went wrong, and leave nothing behind when they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def downloading(name: str, root: Path) -> Iterator[None]:
    """Download `name` into the folder `root`, removed again if nothing came; all errors are FileNotFoundErrors."""
    new = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        yield
    except (RuntimeError, OSError) as error:
        for folder in new:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"{name} could not be downloaded to data.root={root} ({reason}): set data.root to a folder that holds it, "
            "or choose data=mnist10k, which needs no download"
        ) from error
