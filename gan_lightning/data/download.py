"""Downloads that end in data or in one sentence, and leave nothing behind when they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def downloading(name: str, root: Path) -> Iterator[None]:
    """Within, `name` is fetched to the folder `root`, which is made for it, and taken away again if nothing came.

    Raises:
        FileNotFoundError: in place of what downloads raise (no network, no permission, wrong checksum).
    """
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        yield
    except (RuntimeError, OSError) as error:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"{name} could not be downloaded to data.root={root} ({reason}): set data.root to a folder that holds it, "
            "or choose data=mnist10k, which needs no download"
        ) from error
