"""Classes by number or by name. Without torch."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 20
"""Most classes that a message names."""


def class_numbers(key: str, classes: object, names: Sequence[str] | None) -> list[int]:
    """Return the numbers of classes that are given by number or, where they have names, by name.

    Args:
        key: in messages.
        classes: a list of whole numbers from 0 on and of texts.
        names: of all classes, by number; None where they have none.

    Raises:
        ValueError: it is no such list, or a name is none of `names`.
    """
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
        raise ValueError(f"{key} must be a list of classes, such as {key}=[0], not {classes!r}")
    return [_number(key, value, names) for value in classes]


def _number(key: str, value: object, names: Sequence[str] | None) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if names is None or not isinstance(value, str):
        raise ValueError(f"each class in {key} must be a whole number of at least 0, not {value!r}")
    if value not in names:
        raise ValueError(f"there is no class {value}: choose {key} from {numbered(names)}")
    return list(names).index(value)


def numbered(names: Sequence[str]) -> str:
    """Return names with their numbers, as in ``cat (0), dog (1)``; of many the first ones."""
    named = [f"{name} ({label})" for label, name in enumerate(names[:NAMED])]
    return ", ".join(named) + (", ..." if len(names) > NAMED else "")


def class_words(labels: Sequence[int], names: Sequence[str] | None) -> list[str]:
    """Return the names of classes; their numbers where they have none."""
    return [str(label) if names is None else names[label] for label in labels]
