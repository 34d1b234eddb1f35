"""Images found in a folder or a zip: which files they are, in which order, of which split and class. Without torch."""

from __future__ import annotations

import os
import re
import stat
import threading
import zipfile
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from mimetypes import MimeTypes
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Protocol

from PIL import Image

JUNK_FOLDERS = {"__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information", "lost+found"}
"""Folders that systems make beside one's own, in lower case; names that begin with a dot are left out as well."""

UNREADABLE_FORMATS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
"""Formats that Pillow knows by name and cannot read by itself."""

OTHER_IMAGES = re.compile(
    r"\.(svgz?|hei[cf]|hif|jxl|jxr|raw|dng|cr[23w]|n[er]f|nrw|arw|srf|sr2|raf|orf|rw2|pef|srw|x3f|3fr|erf|mrw|kdc|xcf|"
    r"ai|eps|ps|wmf|emf|cdr|kra|exr|hdr|wdp|bpg)"
)
"""Endings of images that are not read, but counted."""

SIGNATURES = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|BM.{4}\0\0\0\0|II\*\0|MM\0\*|RIFF.{4}WEBP|.{4}ftypavi|"
    rb"\0\0\0\x0cjP  |P[1-6]\s",
    re.DOTALL,
)
"""How the content of an image begins, for files whose name does not tell."""

LARGEST_FILE_BYTES = 2**28
"""What is larger, unpacked, is not read into memory."""

MIME = MimeTypes(filenames=())


class ZipMember:
    """A file in a zip, read in place; it has the methods of `pathlib.Path` that readers of images need.

    Args:
        archive: the zip.
        member: the file's name in it.
    """

    _open = threading.local()

    def __init__(self, archive: Path, member: str) -> None:
        self.archive, self.member = archive, member
        self.name = PurePosixPath(member).name

    def __str__(self) -> str:
        return f"{self.archive}/{self.member}"

    def __repr__(self) -> str:
        return f"ZipMember({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZipMember) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash(str(self))

    def relative_to(self, root: Path) -> PurePosixPath:
        """Return its name in the zip."""
        return PurePosixPath(self.member)

    def read_bytes(self, count: int = -1) -> bytes:
        """Return its content, or its first `count` bytes; an OSError if it is larger than `LARGEST_FILE_BYTES`."""
        key = (os.getpid(), str(self.archive))  # a process that was forked must not share a position in the file
        if getattr(self._open, "key", None) != key:
            self._open.key, self._open.zip = key, zipfile.ZipFile(self.archive)
        archive: zipfile.ZipFile = self._open.zip
        if count < 0 and archive.getinfo(self.member).file_size > LARGEST_FILE_BYTES:
            raise OSError(f"it is larger than {LARGEST_FILE_BYTES >> 20} MiB, the most that are read")
        with archive.open(self.member) as file:
            return file.read(count)

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Return its content as a file."""
        return BytesIO(self.read_bytes())

    def state(self) -> str:
        """Return what changes when its content may have: size and times of the zip."""
        return file_state(self.archive)


class FileLike(Protocol):
    """An image that lies in something else than a file of its own."""

    name: str

    def relative_to(self, root: Path, /) -> PurePosixPath:
        """Return its name there."""
        ...

    def read_bytes(self) -> bytes:
        """Return its content."""
        ...

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Return its content as a file."""
        ...

    def state(self) -> str:
        """Return what changes when its content may have."""
        ...


ImagePath = Path | FileLike


def file_state(path: Path) -> str:
    """Return what changes when a file's content does: its size and times."""
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


class Listing(NamedTuple):
    """The images in a folder or zip, in natural order of their names, and how many files were left out, by reason."""

    root: Path
    paths: list[ImagePath]
    left_out: Counter[str]

    @property
    def names(self) -> list[str]:
        """Return the names below `root`, with slashes."""
        return [path.relative_to(self.root).as_posix() for path in self.paths]


def shown(name: object) -> str:
    """Return a name as it can be written anywhere: bytes that are no UTF-8 become backslash sequences."""
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def natural_key(name: str) -> list[tuple[list[str | int], str]]:
    """Return the key that sorts names folder by folder, and numbers in them by value: 2 before 10."""
    return [
        ([int(part) if odd % 2 else part for odd, part in enumerate(re.split("([0-9]+)", folder))], folder)
        for folder in name.split("/")
    ]


@lru_cache(maxsize=1)
def readable_endings() -> frozenset[str]:
    """Return the endings, in lower case, of the image formats that this Pillow reads."""
    endings = Image.registered_extensions()
    return frozenset(e for e, f in endings.items() if f in Image.OPEN and f not in UNREADABLE_FORMATS)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is left out for its name."""
    return name.startswith(".") or name.lower() in JUNK_FOLDERS


def list_images(key: str, root: Path) -> Listing:
    """Return the images in a folder and those below it, or in a zip. Links are followed, each folder is seen once.

    Args:
        key: name of the folder in messages, such as data.root.
        root: the folder or zip.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
    """
    if root.is_dir():
        listing = _list_folder(root)
    elif root.is_file() and zipfile.is_zipfile(root):
        listing = _list_zip(root)
    elif root.exists():
        raise FileNotFoundError(f"{key}={shown(root)} is no folder and no zip: give a folder with images in it")
    else:
        raise FileNotFoundError(f"{key}={shown(root)} is no folder: give a folder with images in it, or a zip")
    if not listing.paths:
        others = f"; left out: {left_out_words(listing.left_out)}" if listing.left_out else ""
        raise FileNotFoundError(
            f"{key}={shown(root)} has no images in it (png, jpg, webp, ...): give a folder that has{others}"
        )
    return listing


def find_images(key: str, root: Path) -> list[ImagePath]:
    """Return the paths of `list_images`."""
    return list_images(key, root).paths


def left_out_words(left_out: Counter[str]) -> str:
    """Return how many files were left out and why, as in ``248 svg, 2 hidden``."""
    return ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())


def _list_folder(root: Path) -> Listing:
    found: list[tuple[str, Path]] = []
    left_out: Counter[str] = Counter()
    status = root.stat()
    seen = {(status.st_dev, status.st_ino)}
    # Folders before links, so that what lies in the folder itself is found under its own name.
    folders, links = [(root, "")], list[tuple[Path, str]]()
    while folders or links:
        folder, prefix = folders.pop() if folders else links.pop(0)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: natural_key(entry.name))
        except OSError:
            left_out["folders that cannot be opened"] += 1
            continue
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:
                left_out["broken links"] += 1
                continue
            name, path = prefix + entry.name, Path(folder, entry.name)
            if stat.S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) in seen:
                    continue
                if is_hidden(entry.name):
                    left_out["in hidden folders"] += _count_images(path)
                elif entry.is_symlink():
                    links.append((path, name + "/"))
                else:
                    seen.add((status.st_dev, status.st_ino))
                    folders.append((path, name + "/"))
            elif stat.S_ISREG(status.st_mode):
                reason = _reason_to_leave_out(path)
                if reason is None:
                    found.append((name, path))
                elif reason:
                    left_out[reason] += 1
        if not folders:
            links = [link for link in links if _new(link[0], seen)]
    found.sort(key=lambda pair: natural_key(pair[0]))
    return Listing(root, [path for _, path in found], +left_out)


def _new(folder: Path, seen: set[tuple[int, int]]) -> bool:
    status = folder.stat()
    return (status.st_dev, status.st_ino) not in seen


def _count_images(folder: Path) -> int:
    count, folders = 0, [str(folder)]
    while folders:  # os.walk calls itself, once for each level
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    count += os.path.splitext(entry.name)[1].lower() in readable_endings()
    return count


def _reason_to_leave_out(path: ImagePath) -> str | None:
    """Return why a file is not read: None for an image, "" for what needs no word, as texts and sounds."""
    ending = os.path.splitext(path.name)[1].lower()
    if is_hidden(path.name):
        return "hidden" if ending in readable_endings() else ""
    if ending in readable_endings():
        return None
    if OTHER_IMAGES.fullmatch(ending):
        return ending[1:]
    kind = MIME.guess_type(f"x{ending}")[0]
    if kind is not None:
        return ending[1:] if kind.startswith("image/") else ""
    try:
        if isinstance(path, ZipMember):
            return None if SIGNATURES.match(path.read_bytes(16)) else ""
        with path.open("rb") as file:
            return None if SIGNATURES.match(file.read(16)) else ""
    except OSError:
        return "that cannot be opened"


def _list_zip(root: Path) -> Listing:
    left_out: Counter[str] = Counter()
    found: list[ImagePath] = []
    with zipfile.ZipFile(root) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
    for name in names:
        member = ZipMember(root, name)
        hidden = any(is_hidden(folder) for folder in PurePosixPath(name).parts[:-1])
        reason = _reason_to_leave_out(member)
        if hidden:
            left_out["in hidden folders"] += reason is None
        elif reason is None:
            found.append(member)
        elif reason:
            left_out[reason] += 1
    return Listing(root, sorted(found, key=lambda path: natural_key(str(path))), +left_out)
