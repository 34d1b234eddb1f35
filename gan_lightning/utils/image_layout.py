"""Which images of a folder or zip are of which split and class, by the folders that they lie in. Without torch."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gan_lightning.utils.find_images import LARGEST_FILE_BYTES, Listing, ZipMember, shown

TRAIN, HELD_OUT = ("train", "training"), ("val", "valid", "validation", "test", "testing")
"""Names of folders that are splits of the data and no classes; of several that are held out, the first one counts."""

SHARDED = re.compile(r"\d{5}/img\d{8}\.\w+")
"""How StyleGAN's dataset_tool names images: its folders are no classes."""


MOST_CLASSES = 10_000
"""More, and more than there are images, are a mistake in ``dataset.json``: each class has a name and weights."""


class Layout(NamedTuple):
    """Which images of a listing are of which split and class.

    Attributes:
        train: rows of the training images; all rows where there are no splits.
        held_out: rows of those that are held out.
        splits: names of the folders of both; None where there are no splits.
        labels: the class of each row of the listing; None where there are no classes.
        class_names: in natural order.
    """

    train: list[int]
    held_out: list[int]
    splits: tuple[str, str | None] | None
    labels: list[int] | None
    class_names: tuple[str, ...] | None


def layout_of(listing: Listing) -> Layout:
    """Return the splits and classes of images.

    Folders named as `TRAIN` and `HELD_OUT` say are splits, where nothing else lies beside them. Labels stand in
    ``dataset.json`` as StyleGAN's dataset_tool writes it; without it each folder beside others is a class, below a
    folder that holds all. Images beside folders have no classes.

    Raises:
        ValueError: ``dataset.json`` is broken, or has other labels than numbers from 0, or far larger ones than there
            are images.
    """
    names = listing.names
    rows = list(range(len(names)))
    labels = _labels_of_dataset_json(listing)
    if labels is not None or all(SHARDED.fullmatch(name) for name in names):
        if not labels:
            return Layout(rows, [], None, None, None)
        return Layout(rows, [], None, labels, tuple(map(str, range(max(labels) + 1))))
    parts = [name.split("/") for name in names]
    depth = _common_depth(parts, rows)
    splits = _splits_of(list(dict.fromkeys(part[depth] for part in parts if len(part) > depth + 1)), parts, depth)
    train, held_out = rows, list[int]()
    if splits is not None:
        train = [row for row in rows if parts[row][depth] == splits[0]]
        held_out = [row for row in rows if parts[row][depth] == splits[1]]
        depth = _common_depth(parts, train, depth + 1)
    folders = dict.fromkeys(parts[row][depth] for row in train if len(parts[row]) > depth + 1)
    if len(folders) < 2 or any(len(parts[row]) == depth + 1 for row in train):
        return Layout(train, held_out, splits, None, None)
    number = {name: label for label, name in enumerate(folders)}
    held_out = [row for row in held_out if len(parts[row]) > depth + 1 and parts[row][depth] in number]
    labels = [number.get(part[depth], -1) if len(part) > depth + 1 else -1 for part in parts]
    return Layout(train, held_out, splits, labels, tuple(map(shown, folders)))


def _common_depth(parts: Sequence[Sequence[str]], rows: Sequence[int], depth: int = 0) -> int:
    """Return how many folders lead to where images or several folders lie; a folder of a split's name does not."""
    while True:
        heads = {parts[row][depth] if len(parts[row]) > depth + 1 else None for row in rows}
        if len(heads) != 1 or None in heads or str(next(iter(heads))).lower() in TRAIN:
            return depth
        depth += 1


def _splits_of(folders: Sequence[str], parts: Sequence[Sequence[str]], depth: int) -> tuple[str, str | None] | None:
    known = {folder.lower(): folder for folder in folders}
    train = next((known[name] for name in TRAIN if name in known), None)
    if train is None or set(known) - {*TRAIN, *HELD_OUT} or any(len(part) == depth + 1 for part in parts):
        return None
    return train, next((known[name] for name in HELD_OUT if name in known), None)


def _labels_of_dataset_json(listing: Listing) -> list[int] | None:
    """Return the labels in ``dataset.json``, [] where it has none; None where there is no such file."""
    root = listing.root
    try:
        text = small_file(root / "dataset.json") if root.is_dir() else ZipMember(root, "dataset.json").read_bytes()
    except (OSError, KeyError):
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{shown(root)}: dataset.json, the labels, is no JSON: repair it or take it away") from error
    try:
        labels = {str(name).replace("\\", "/"): label for name, label in content["labels"] or ()}
    except (ValueError, KeyError, TypeError):
        return None  # not the one that dataset_tool writes
    if not labels:
        return []
    wrong = [name for name in listing.names if type(labels.get(name)) is not int or labels[name] < 0]
    if wrong:
        raise ValueError(
            f"{shown(root)}: dataset.json has no whole number as the label of {shown(wrong[0])}: "
            "give each image one, or none to all (labels: null)"
        )
    largest = max(labels[name] for name in listing.names)
    if largest >= max(MOST_CLASSES, len(listing.names)):
        raise ValueError(
            f"{shown(root)}: dataset.json has the label {largest} for {len(listing.names)} images: "
            "number classes from 0"
        )
    return [labels[name] for name in listing.names]


def small_file(path: Path) -> bytes:
    """Return the content of a file; an OSError if it is no file, as a named pipe, or a large one."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode) or state.st_size > LARGEST_FILE_BYTES:
        raise OSError(f"{path} is no file of at most {LARGEST_FILE_BYTES >> 20} MiB")
    return path.read_bytes()
