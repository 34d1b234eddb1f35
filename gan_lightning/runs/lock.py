"""One writer a run: a lock in the run directory."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan_lightning.utils.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

NAME = "run.lock"
BEAT_S = 10.0
"""Seconds between two heartbeats: renewals of the lock file's time."""

STALE_S = 45.0
"""Seconds without a heartbeat after which a lock of another machine counts as left behind."""

LONG_AGO_S = 600.0
"""An older heartbeat is not waited for, whatever the clocks of the two machines say."""

LARGEST_BYTES = 4096

_held: set[Path] = set()
"""Lock files of this process, which must not be opened again: closing any of a process's files gives its lock back."""


@dataclass
class RunLock:
    """The file ``run.lock`` of a run directory, which names the host and the process that train there.

    The system gives the lock on the file back when a process ends, however it ends. A file that was left behind by a
    process of this machine is thus known at once. One of another machine, with which the system may not share locks, is
    watched for `STALE_S` seconds for a heartbeat. Processes that a run forks do not inherit the lock.

    Args:
        directory: of the run; made if it is not there.
    """

    directory: Path
    owner: dict[str, Any] = field(default_factory=lambda: {"host": host(), "process": os.getpid()})
    over: threading.Event = field(default_factory=threading.Event)
    descriptor: int = -1

    @property
    def path(self) -> Path:
        return self.directory / NAME

    def acquire(self) -> None:
        """Take the lock and keep its heartbeat; say so where another process has left it behind.

        Raises:
            UserError: another process trains in the directory.
            OSError: the directory cannot be written.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        while True:
            self.open()
            granted = self.try_system_lock()
            found = self.content()
            if granted is False or self.is_alive(found, granted):
                self.close()
                raise UserError(
                    f"{self.directory} is being trained by {described(found)}: wait for it, stop it, or choose another "
                    "directory with hydra.run.dir="
                )
            if self.is_current():
                break
            self.close()  # it was given back, and its file removed, in the meantime
        if found:
            log.warning(f"{self.path} was left behind by {described(found)}, which has ended: taken over")
        self.write(json.dumps(self.owner))
        _held.add(self.path.resolve())
        threading.Thread(target=self.beat, daemon=True, name="run lock").start()

    def open(self) -> None:
        """Open the file; it is made where there is none."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        self.descriptor = os.open(self.path, flags, 0o644)
        if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
            self.close()
            raise UserError(f"{self.path} is no file: remove it")

    def try_system_lock(self) -> bool | None:
        """Return whether the system grants the lock; None where it has no locks for this file."""
        if fcntl is None:
            return None
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return None
        return True

    def is_alive(self, found: dict[str, Any], granted: bool | None) -> bool:
        """Return whether the process that the file names still trains, as far as the system's lock does not tell."""
        if not found or (granted and found.get("host") == self.owner["host"]):
            return False
        before = os.fstat(self.descriptor).st_mtime
        if time.time() - before > LONG_AGO_S:
            return False
        log.info(f"{self.path} is of {described(found)}: waiting {STALE_S:.0f} s to see whether it still trains")
        until = time.monotonic() + STALE_S
        while time.monotonic() < until and self.is_current():
            if os.fstat(self.descriptor).st_mtime != before:
                return True
            time.sleep(0.2)
        return False

    def content(self) -> dict[str, Any]:
        """Return what the file says of its owner; nothing where it is empty."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        return parsed(os.read(self.descriptor, LARGEST_BYTES))

    def write(self, text: str) -> None:
        """Make `text` the file's content."""
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        os.write(self.descriptor, text.encode())

    def is_current(self) -> bool:
        """Return whether the file that is open is the one in the directory."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.path))
        except OSError:
            return False

    def beat(self) -> None:
        """Renew the file's time until the lock is released."""
        while not self.over.wait(BEAT_S):
            with suppress(OSError):
                self.renew()

    def renew(self) -> None:
        """Renew the file's time; end the process where another one has taken it over."""
        if not self.is_current() and self.path.stat() and not self.over.is_set():
            sys.stderr.write(f"{self.path} was taken over while this process stood still: it ends here\n")
            sys.stderr.flush()
            os._exit(1)  # whatever it wrote now would mix with what the other one writes
        os.utime(self.descriptor if os.utime in os.supports_fd else self.path)

    def release(self) -> None:
        """Give the lock back and remove its file."""
        self.over.set()
        _held.discard(self.path.resolve())
        with suppress(OSError):
            self.write("")  # where an open file cannot be removed, an empty one is free
            if self.is_current():
                self.path.unlink()
        self.close()

    def close(self) -> None:
        """Close the file, which gives back the system's lock."""
        os.close(self.descriptor)


@contextmanager
def one_writer(directory: Path) -> Iterator[None]:
    """Within, no other process trains in `directory`, see `RunLock`.

    Raises:
        UserError: another process does, or the directory cannot be written.
    """
    lock = RunLock(directory)
    try:
        lock.acquire()
    except OSError as error:
        raise UserError(
            f"{directory} cannot be written ({error.strerror}): choose another directory with hydra.run.dir="
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_held(directory: Path) -> bool:
    """Return whether a process trains in `directory`, by the heartbeat of its lock; nothing is locked or written.

    A lock of this machine counts for `STALE_S` after the last heartbeat, and only as long as its process exists; one of
    another machine, whose clock may differ, for `LONG_AGO_S`.
    """
    path = directory / NAME
    try:
        if path.resolve() in _held:
            return True
        age = time.time() - path.stat().st_mtime
        owner = parsed(path.read_bytes()[:LARGEST_BYTES]) if path.is_file() else {}
    except OSError:
        return False
    if owner.get("host") != host():
        return bool(owner) and age < LONG_AGO_S
    return age < STALE_S and exists(owner.get("process"))


def exists(process: object) -> bool:
    """Return whether a process of this machine exists, as far as the system tells."""
    if type(process) is not int or process <= 0:
        return False
    if fcntl is None:
        return True  # Windows, where looking would end it
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # another user's
    except (OSError, OverflowError):
        return False
    return True


def host() -> str:
    """Return this machine's name and what tells it from another of that name: the id of its last start."""
    name = socket.gethostname()
    try:
        return f"{name} {Path('/proc/sys/kernel/random/boot_id').read_text(encoding='utf-8').strip()}"
    except OSError:
        return name


def parsed(text: bytes) -> dict[str, Any]:
    """Return what a lock file says of its owner; nothing where it is empty."""
    try:
        found = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"host": None}


def described(owner: dict[str, Any]) -> str:
    """Return the owner of a lock in words."""
    name = str(owner.get("host")).split(" ")[0]
    machine = name if re.fullmatch(r"[\w.-]{1,100}", name) else "an unknown machine"
    process = owner.get("process")
    return f"process {process} on {machine}" if type(process) is int else f"a process on {machine}"
