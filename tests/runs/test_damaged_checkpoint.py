"""Checkpoints with flipped bits, numbers that are not finite and malformed insides: one sentence by every command."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoints import save_changed
from helpers.sampled_runs import sampled
from helpers.strangers_run import Content, last, refused, resume

import gan_lightning as gl
from gan_lightning.data.image_data import of_as_many
from gan_lightning.runs.checkpoints import read_checkpoint


def test_one_flipped_bit_anywhere_in_the_weights_is_noticed(theirs: Path) -> None:
    whole = last(theirs).read_bytes()
    with zipfile.ZipFile(last(theirs)) as archive:
        parts = [part for part in archive.infolist() if "/data/" in part.filename or part.filename.endswith(".pkl")]
    assert len(parts) > 20
    for number, part in enumerate(parts):
        damaged = bytearray(whole)
        start = whole.index(part.filename.encode(), part.header_offset) + len(part.filename)
        at = start + (whole[start:].index(b"\x80\x02") if part.filename.endswith(".pkl") else 64 + part.file_size // 2)
        damaged[min(at, len(whole) - 1)] ^= 1 << number % 8
        last(theirs).write_bytes(damaged)
        if zipfile.ZipFile(last(theirs)).testzip() is None:
            continue  # of the space between two parts
        assert "is damaged, its checksums do not hold" in refused(lambda: read_checkpoint(last(theirs)))
    for action in (lambda: resume(theirs), lambda: sampled(last(theirs), "format=npz"), lambda: gl.evaluate(theirs)):
        last(theirs).write_bytes(flipped(whole, parts[len(parts) // 2]))
        assert "is damaged, its checksums do not hold" in refused(action)


def flipped(whole: bytes, part: zipfile.ZipInfo) -> bytes:
    """Return a zip with a bit of the last byte of `part` flipped."""
    damaged = bytearray(whole)
    name, extra = (
        int.from_bytes(whole[part.header_offset + at : part.header_offset + at + 2], "little") for at in (26, 28)
    )
    damaged[part.header_offset + 30 + name + extra + part.file_size - 1] ^= 0x10
    return bytes(damaged)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(number: float, theirs: Path) -> None:
    content = torch.load(last(theirs), weights_only=True)
    name = next(name for name in content["state_dict"] if name.startswith("averaged_generator"))
    content["state_dict"][name].view(-1)[0] = number
    torch.save(content, last(theirs))
    for action in (lambda: resume(theirs), lambda: sampled(last(theirs), "format=npz"), lambda: gl.evaluate(theirs)):
        assert f"holds a number in {name} that is not finite" in refused(action)


CHANGES: dict[str, Callable[[Content], object]] = {
    "no optimizers": lambda content: content.pop("optimizer_states"),
    "one optimizer": lambda content: content["optimizer_states"].pop(),
    "no moments": lambda content: content["optimizer_states"][0]["state"].clear(),
    "half the moments": lambda content: content["optimizer_states"][0]["state"].pop(0),
    "garbage in loops": lambda content: content["loops"].update(fit_loop="x"),
    "garbage in callbacks": lambda content: content["callbacks"].update({k: 3 for k in content["callbacks"]}),
    "no callbacks": lambda content: content.pop("callbacks"),
    "another version": lambda content: content.update({"pytorch-lightning_version": "what"}),
    "no version": lambda content: content.pop("pytorch-lightning_version"),
    "no epoch": lambda content: content.pop("epoch"),
    "negative counters": lambda content: content["game"].update(iterations=-1),
    "more counters": lambda content: content["game"].update(player="x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_malformed_insides_are_one_sentence(change: str, theirs: Path) -> None:
    content = torch.load(last(theirs), weights_only=True)
    CHANGES[change](content)
    torch.save(content, last(theirs))
    before = (theirs / "metrics.csv").read_bytes()
    assert last(theirs).name in refused(lambda: resume(theirs))
    assert (theirs / "metrics.csv").read_bytes() == before


def state_of(content: Content, callback: str) -> Content:
    """Return what a checkpoint knows of a callback."""
    state: Content = content["callbacks"][callback]
    return state


def first_moments(content: Content) -> Content:
    moments: Content = content["optimizer_states"][0]["state"][0]
    return moments


HARMLESS = ("no moments", "half the moments", "no epoch")
"""Of weights without gradients there are no moments, and the epoch is not used."""

WITH_A_CHECKSUM: dict[str, Callable[[Content], object]] = {
    **{name: change for name, change in CHANGES.items() if name not in HARMLESS},
    "moments of another shape": lambda content: first_moments(content).update(exp_avg=torch.zeros(1, 7)),
    "moments that are text": lambda content: first_moments(content).update(exp_avg="x"),
    "moments that are not finite": lambda content: first_moments(content)["exp_avg"].fill_(float("nan")),
    "a rate that is text": lambda content: content["optimizer_states"][0]["param_groups"][0].update(lr="x"),
    "betas that are text": lambda content: content["optimizer_states"][1]["param_groups"][0].update(betas="xy"),
    "a best metric that is text": lambda content: state_of(content, "Evaluation").update(best="x"),
    "an iteration that is text": lambda content: state_of(content, "Evaluation").update(best_iteration="x"),
    "a protocol that is text": lambda content: state_of(content, "Evaluation").update(protocol="x"),
    "records that are a number": lambda content: state_of(content, "Health").update(records=3),
    "records of numbers": lambda content: state_of(content, "Health").update(records=[3]),
    "streaks that are text": lambda content: state_of(content, "Health").update(streaks="x"),
    "hours that are text": lambda content: state_of(content, "Stop").update(seconds="x"),
    "progress that is text": lambda content: content["loops"]["fit_loop"]["epoch_progress"].update(total="x"),
}


@pytest.mark.parametrize("change", WITH_A_CHECKSUM)
def test_malformed_insides_with_a_checksum_are_one_sentence(change: str, theirs: Path) -> None:
    content = torch.load(last(theirs), weights_only=True)
    WITH_A_CHECKSUM[change](content)
    save_changed(content, last(theirs))
    before = (theirs / "metrics.csv").read_bytes()
    assert str(last(theirs)) in refused(lambda: resume(theirs))
    assert (theirs / "metrics.csv").read_bytes() == before


@pytest.mark.parametrize(
    "clusters", ["x", 3, torch.zeros(7, dtype=torch.int64), torch.full((5,), 9), torch.full((5,), -1), torch.zeros(5)]
)
def test_clusters_that_are_damaged_are_one_sentence(clusters: Any) -> None:
    with pytest.raises(ValueError, match="^the checkpoint's clusters are .*"):
        of_as_many(clusters, 5, 4)
