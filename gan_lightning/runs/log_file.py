"""The log of a run that is started from Python. Of those of the command line Hydra sets it up."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gan_lightning.utils.errors import UserError
from gan_lightning.utils.log_handler import LogFile, Printable


@contextmanager
def log_file(path: Path, line: str) -> Iterator[None]:
    """Within, a file has what the package logs and, where the block raises, the error: of a crash with its traceback.

    Args:
        path: of the file, which is appended to.
        line: the format of a line, as of `logging.Formatter`.
    """
    logger = logging.getLogger("gan_lightning")
    file = LogFile(path)
    file.setFormatter(Printable(line))
    handlers: list[logging.Handler] = [file]
    if not logger.hasHandlers() and logging.lastResort is not None:
        handlers.append(logging.lastResort)  # which prints warnings where nothing else does
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    except Exception as error:
        text, trace = (error.report(), None) if isinstance(error, UserError) else ("The run failed:", sys.exc_info())
        file.handle(logger.makeRecord(logger.name, logging.ERROR, __file__, 0, text, (), trace))
        raise
    finally:
        logger.setLevel(level)
        for handler in handlers:
            logger.removeHandler(handler)
        file.close()
