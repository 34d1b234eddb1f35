"""How a number was measured, beside the number: two stand in one table only where that is the same."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from gan_lightning.data.base import RealData
from gan_lightning.metrics.base import FeatureMetric, SampleMetric

Protocol = Mapping[str, Any]
UNKNOWN = "its protocol is not known"


class MixedProtocolsError(ValueError):
    """Numbers that were measured in different ways were about to be compared."""


def protocol_of(
    metrics: Mapping[str, SampleMetric], data: RealData, *, num_fakes: int, batch_size: int, **more: Any
) -> dict[str, Any]:
    """How the numbers of `metrics` come about, as JSON holds it.

    Args:
        metrics: that judge, prepared.
        data: the source of the real samples.
        num_fakes: how many fakes are judged.
        batch_size: how many samples at a time.
        more: what else there is to say, such as `seed` and `weights`.

    Returns:
        That of all numbers; the reference; and by the name of each number what measures it.
    """
    reference = {
        "data": type(data).__qualname__,
        "split": data.reference_split,
        "size": data.reference_size,
        "shape": list(data.shape),
        "fingerprint": data.fingerprint(),
    }
    numbers = {f"val/{key}": metric_spec(metric) for metric in metrics.values() for key in metric.keys}
    return {"num_fakes": num_fakes, **more, "batch_size": batch_size, "reference": reference, "numbers": numbers}


def metric_spec(metric: SampleMetric) -> dict[str, Any]:
    """The metric, its settings and what it looks through."""
    through = metric.extractor if isinstance(metric, FeatureMetric) else None
    return {
        "metric": type(metric).__qualname__,
        "settings": dict(getattr(metric, "config", {})),
        "extractor": through.fingerprint if through else None,
        "preprocessing": through.preprocessing if through else None,
    }


def comparable_fields(protocol: Protocol, key: str) -> dict[str, Any]:
    """What has to be equal for two numbers named `key`; seeds and iterations may differ, and batches."""
    number, reference = protocol["numbers"].get(key, {}), protocol["reference"]
    settings = number.get("settings", {})
    return {
        "number of fakes": protocol["num_fakes"],
        "weights": protocol.get("weights"),
        "precision": protocol.get("precision"),
        **{f"reference {name}": reference[name] for name in ("data", "split", "size", "shape", "fingerprint")},
        **{name: number.get(name) for name in ("metric", "extractor", "preprocessing")},
        **{f"setting {name}": value for name, value in settings.items()},
    }


def differences(first: Protocol, second: Protocol, key: str) -> list[str]:
    """What differs in how the number `key` was measured, in words; nothing where the two may be compared."""
    a, b = comparable_fields(first, key), comparable_fields(second, key)
    names = dict.fromkeys(chain(a, b))
    return [f"{name} {a.get(name)} and {b.get(name)}" for name in names if a.get(name) != b.get(name)]


def same_protocol(first: Protocol, second: Protocol, key: str) -> bool:
    """Whether two numbers named `key` may be compared."""
    return not differences(first, second, key)


def require_same_protocol(protocols: Mapping[str, Protocol | None], key: str) -> None:
    """See that the numbers `key` of all who have one may stand in one table.

    Args:
        protocols: how each was measured, by a name for it; None where nobody knows.
        key: the number, such as ``val/fid``.

    Raises:
        MixedProtocolsError: they may not; it says what differs.
    """
    unknown = [name for name, protocol in protocols.items() if protocol is None]
    if unknown:
        raise MixedProtocolsError(f"{key} of {' and '.join(unknown)} cannot stand in a table: {UNKNOWN}")
    measured = {name: known for name, known in protocols.items() if known is not None and key in known["numbers"]}
    first = next(iter(measured), None)
    for name, protocol in measured.items():
        if first is not None and (found := differences(measured[first], protocol, key)):
            raise MixedProtocolsError(
                f"{key} of {first} and of {name} cannot stand in one table, as they were measured in different ways: "
                f"{'; '.join(found)}"
            )


def describe(protocol: Protocol) -> list[str]:
    """Lines that say how the numbers below them were measured."""
    reference = protocol["reference"]
    where = reference["data"] if reference["split"] == "all" else f"{reference['data']}, {reference['split']}"
    lines = [f"{protocol['num_fakes']} fakes against {reference['size']} real samples ({where})"]
    looks: dict[str, list[str]] = {}
    for key, number in protocol["numbers"].items():
        through = f"through {number['extractor']} ({number['preprocessing']})" if number["extractor"] else ""
        chosen = ", ".join(f"{name} {value}" for name, value in number["settings"].items())
        looks.setdefault("; ".join(part for part in (through, chosen) if part), []).append(key.removeprefix("val/"))
    return lines + [f"{', '.join(keys)}: {words}" for words, keys in looks.items() if words]
