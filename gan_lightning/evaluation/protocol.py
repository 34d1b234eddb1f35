"""The protocol of a number: how it was measured. Numbers of different protocols never stand in one table."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from gan_lightning.data.base import RealData
from gan_lightning.metrics.base import FeatureMetric, SampleMetric

Protocol = Mapping[str, Any]
UNKNOWN = "its protocol is not known"


class MixedProtocolsError(ValueError):
    """Raised where numbers that were measured in different ways were about to be compared."""


def protocol_of(
    metrics: Mapping[str, SampleMetric], data: RealData, *, num_fakes: int, batch_size: int, **more: Any
) -> dict[str, Any]:
    """Return how the numbers of `metrics` are measured, as JSON can hold it.

    Args:
        metrics: by any names, prepared.
        data: the source of the reference samples.
        num_fakes: how many fakes are evaluated.
        batch_size: how many samples at a time.
        more: further facts, such as `seed` and `weights`.

    Returns:
        What all numbers share; the reference samples; and the `metric_spec` of each number by its name.
    """
    reference = {
        "data": type(data).__qualname__,
        "split": data.reference_split,
        "size": data.reference_size,
        "shape": list(data.shape),
        "fingerprint": data.source_fingerprint(),
    }
    counts = num_fakes, data.reference_size
    numbers = {f"val/{key}": metric_spec(metric, *counts) for metric in metrics.values() for key in metric.keys}
    if getattr(data, "mirror", False):
        reference["training"] = "mirrored"
    return {"num_fakes": num_fakes, **more, "batch_size": batch_size, "reference": reference, "numbers": numbers}


def metric_spec(metric: SampleMetric, num_fakes: int, num_real: int) -> dict[str, Any]:
    """Return the metric's class, its config for so many samples, its extractor and its caveat."""
    extractor = metric.extractor if isinstance(metric, FeatureMetric) else None
    return {
        "metric": type(metric).__qualname__,
        "config": metric.config_for(num_fakes, num_real),
        "caveat": metric.caveat(num_fakes, num_real),
        "extractor": None if extractor is None else extractor.fingerprint,
        "preprocessing": None if extractor is None else extractor.preprocessing,
    }


def comparable_fields(protocol: Protocol, key: str) -> dict[str, Any]:
    """Return what has to be equal for two numbers named `key`; seeds, iterations and batch sizes may differ."""
    number, reference = protocol["numbers"].get(key, {}), protocol["reference"]
    return {
        "number of fakes": protocol["num_fakes"],
        "weights": protocol.get("weights"),
        "precision": protocol.get("precision"),
        **{f"reference {name}": reference[name] for name in ("data", "split", "size", "shape", "fingerprint")},
        **{name: number.get(name) for name in ("metric", "extractor", "preprocessing")},
        **{f"config {name}": value for name, value in number.get("config", {}).items()},
    }


def differences(first: Protocol, second: Protocol, key: str) -> list[str]:
    """Return what differs in how the number `key` was measured, in words; nothing where the two may be compared."""
    a, b = comparable_fields(first, key), comparable_fields(second, key)
    names = dict.fromkeys(chain(a, b))
    return [f"{name} {a.get(name)} and {b.get(name)}" for name in names if a.get(name) != b.get(name)]


def same_protocol(first: Protocol, second: Protocol, key: str) -> bool:
    """Return whether two numbers named `key` may be compared."""
    return not differences(first, second, key)


def require_same_protocol(protocols: Mapping[str, Protocol | None], key: str) -> None:
    """See that all numbers named `key` may stand in one table.

    Args:
        protocols: how each was measured, by a name for it; None where that is not known.
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
    """Return lines that say how the numbers below them were measured."""
    reference = protocol["reference"]
    where = reference["data"] if reference["split"] == "all" else f"{reference['data']}, {reference['split']}"
    lines = [f"{protocol['num_fakes']} fakes against {reference['size']} real samples ({where})"]
    ways: dict[str, list[str]] = {}
    for key, number in protocol["numbers"].items():
        through = f"through {number['extractor']} ({number['preprocessing']})" if number["extractor"] else ""
        chosen = ", ".join(f"{name} {value}" for name, value in number["config"].items())
        ways.setdefault("; ".join(part for part in (through, chosen) if part), []).append(key.removeprefix("val/"))
    return lines + [f"{', '.join(keys)}: {words}" for words, keys in ways.items() if words]
