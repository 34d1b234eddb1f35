from __future__ import annotations

import json
from typing import Any

import pytest

from gan_lightning.data.mnist import Mnist10k
from gan_lightning.metrics.digits import DigitQuality
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lightning.protocol import MixedProtocolsError, caption, protocol_of, refuse_mixed, same_protocol


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
    assert said["numbers"]["val/swd"]["settings"] == {"projections": 4}
    text = "\n".join(caption(said))
    for words in ("100 fakes against 1000 real samples (Mnist10k, test)", fid["extractor"], "swd: projections 4"):
        assert words in text


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"num_fakes": 200}, "val/fid", "number of fakes 100 and 200"),
        ({"weights": "raw"}, "val/fid", "weights ema and raw"),
        ({"reference": "train"}, "val/fid", "reference split test and train; reference size 1000 and 9000"),
        ({"projections": 5}, "val/swd", "setting projections 4 and 5"),
    ],
)
def test_other_protocols_do_not_mix(changes: dict[str, Any], key: str, words: str):
    assert not same_protocol(protocol(), protocol(**changes), key)
    with pytest.raises(MixedProtocolsError, match=f"{key} of a and of b cannot stand in one table.*{words}"):
        refuse_mixed({"a": protocol(), "c": protocol(), "b": protocol(**changes)}, key)


def test_another_extractor_is_another_protocol():
    other = json.loads(json.dumps(protocol()))
    other["numbers"]["val/fid"]["extractor"] = "inception-v3-6726825d"
    with pytest.raises(MixedProtocolsError, match="extractor digits-.* and inception-v3-6726825d"):
        refuse_mixed({"a": protocol(), "b": other}, "val/fid")
    refuse_mixed({"a": protocol(), "b": other}, "val/swd")


def test_seeds_batches_and_other_numbers_may_differ():
    refuse_mixed({"a": protocol(), "b": protocol(seed=1, batch_size=3)}, "val/fid")
    assert same_protocol(protocol(), protocol(projections=5), "val/fid")
    refuse_mixed({}, "val/fid")


def test_what_nobody_knows_is_refused():
    with pytest.raises(MixedProtocolsError, match="val/fid of b cannot stand in a table: its protocol is not known"):
        refuse_mixed({"a": protocol(), "b": None}, "val/fid")
