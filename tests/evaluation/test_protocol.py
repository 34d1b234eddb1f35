from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gan_lightning.data.base import RealData
from gan_lightning.data.distributions import Gaussian, grid, ring
from gan_lightning.data.mnist import Mnist10k
from gan_lightning.evaluation.protocol import (
    MixedProtocolsError,
    describe,
    differences,
    protocol_of,
    require_same_protocol,
    same_protocol,
)
from gan_lightning.metrics.base import SampleMetric
from gan_lightning.metrics.digits import DigitQuality
from gan_lightning.metrics.label_accuracy import ClusterAccuracy, ConditionalAccuracy
from gan_lightning.metrics.mode_coverage import MixtureQuality
from gan_lightning.metrics.one_dimensional import OneDimensional
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lightning.metrics.translation import DigitTranslation


def protocol(projections: int = 4, reference: Any = "test", **changes: Any) -> dict[str, Any]:
    data = Mnist10k(shape=[1, 28, 28], num_classes=10, value_range=[-1, 1], batch_size=8, seed=0, reference=reference)
    metrics = {"digits": DigitQuality(), "swd": SlicedWasserstein(projections)}
    return protocol_of(metrics, data, **{"num_fakes": 100, "batch_size": 50, "seed": 0, "weights": "ema", **changes})


def test_it_says_everything_and_json_can_hold_it():
    said = protocol()
    assert json.loads(json.dumps(said)) == said
    assert said["reference"] | {"fingerprint": ""} == {
        **{"data": "Mnist10k", "split": "test", "size": 1000, "shape": [1, 28, 28], "fingerprint": ""}
    }
    fid = said["numbers"]["val/fid"]
    assert fid["extractor"].startswith("digits-") and fid["preprocessing"] == "8 bits, 28x28 (antialiased bilinear)"
    assert said["numbers"]["val/swd"]["config"] == {"projections": 4}
    text = "\n".join(describe(said))
    for words in ("100 fakes against 1000 real samples (Mnist10k, test)", fid["extractor"], "swd: projections 4"):
        assert words in text


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"num_fakes": 200}, "val/fid", "number of fakes 100 and 200"),
        ({"weights": "raw"}, "val/fid", "weights ema and raw"),
        ({"reference": "train"}, "val/fid", "reference split test and train; reference size 1000 and 9000"),
        ({"projections": 5}, "val/swd", "config projections 4 and 5"),
    ],
)
def test_other_protocols_do_not_mix(changes: dict[str, Any], key: str, words: str):
    assert not same_protocol(protocol(), protocol(**changes), key)
    with pytest.raises(MixedProtocolsError, match=f"{key} of a and of b cannot stand in one table.*{words}"):
        require_same_protocol({"a": protocol(), "c": protocol(), "b": protocol(**changes)}, key)


def test_another_extractor_is_another_protocol():
    other = json.loads(json.dumps(protocol()))
    other["numbers"]["val/fid"]["extractor"] = "inception-v3-6726825d"
    with pytest.raises(MixedProtocolsError, match="extractor digits-.* and inception-v3-6726825d"):
        require_same_protocol({"a": protocol(), "b": other}, "val/fid")
    require_same_protocol({"a": protocol(), "b": other}, "val/swd")


def test_seeds_batches_and_other_numbers_may_differ():
    require_same_protocol({"a": protocol(), "b": protocol(seed=1, batch_size=3)}, "val/fid")
    assert same_protocol(protocol(), protocol(projections=5), "val/fid")
    require_same_protocol({}, "val/fid")


def of(metric: SampleMetric, data: RealData | None = None, **more: Any) -> dict[str, Any]:
    """The protocol of one metric."""
    source = data or Mnist10k(
        shape=[1, 28, 28], num_classes=10, value_range=[-1, 1], batch_size=8, seed=0, reference="test"
    )
    said = protocol_of({"metric": metric}, source, **{"num_fakes": 100, "batch_size": 50, "seed": 0, **more})
    assert json.loads(json.dumps(said)) == said
    return said


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        (MixtureQuality(ring(std=0.01)), MixtureQuality(ring(std=0.3)), "val/jsd"),
        (MixtureQuality(ring(radius=1.0)), MixtureQuality(ring(radius=2.0)), "val/jsd"),
        (MixtureQuality(ring(modes=25, std=0.05)), MixtureQuality(grid(std=0.05)), "val/modes"),
        (OneDimensional(Gaussian(0, 1)), OneDimensional(Gaussian(0, 2)), "val/wasserstein1"),
        (OneDimensional(Gaussian(0, 1)), OneDimensional(Gaussian(1, 1)), "val/jsd"),
    ],
)
def test_another_truth_is_another_protocol(first: SampleMetric, second: SampleMetric, key: str):
    assert same_protocol(of(first), of(first), key)
    assert not same_protocol(of(first), of(second), key)


def test_equal_rings_are_one_truth_whatever_the_last_bits():
    other = ring()
    other.centers += 1e-7
    assert same_protocol(of(MixtureQuality(ring())), of(MixtureQuality(other)), "val/jsd")


@pytest.mark.parametrize(
    ("make", "name", "key"),
    [
        (DigitTranslation, "gan_lightning.metrics.translation.fingerprint", "val/kept"),
        (ConditionalAccuracy, "gan_lightning.extractors.digits.fingerprint", "val/label_accuracy"),
        (ClusterAccuracy, "gan_lightning.extractors.digits.fingerprint", "val/code_accuracy"),
    ],
)
def test_other_weights_of_a_classifier_are_another_protocol(
    make: Callable[[], SampleMetric], name: str, key: str, monkeypatch: pytest.MonkeyPatch
):
    before = of(make())
    monkeypatch.setattr(name, lambda path: "000000000000")
    assert not same_protocol(before, of(make()), key)


def test_other_data_and_another_precision_are_another_protocol():
    swd = SlicedWasserstein(4)
    assert not same_protocol(of(swd, precision="float32"), of(swd, precision="bfloat16"), "val/swd")

    class Another(Mnist10k):
        """The same images by another way."""

    data = Another(shape=[1, 28, 28], num_classes=10, value_range=[-1, 1], batch_size=8, seed=0, reference="test")
    assert differences(of(swd), of(swd, data), "val/swd") == ["reference data Mnist10k and " + Another.__qualname__]


def test_numbers_without_a_protocol_are_refused():
    with pytest.raises(MixedProtocolsError, match="val/fid of b cannot stand in a table: its protocol is not known"):
        require_same_protocol({"a": protocol(), "b": None}, "val/fid")
