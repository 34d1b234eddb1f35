"""Statistics of real samples that are kept: the same numbers to the bit, and another file for another question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.evaluated_images import RandomImages, Sums, images_seen, make_evaluator, values

from gan_lightning.data.toys import ring
from gan_lightning.evaluation import reference_cache
from gan_lightning.evaluation.evaluator import Evaluator
from gan_lightning.metrics.base import concatenated
from gan_lightning.metrics.fid import FrechetDistance
from gan_lightning.metrics.kid import KernelDistance
from gan_lightning.metrics.precision_recall import DensityCoverage, PrecisionRecall
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lightning.utils.files import load_cached, save_cached


def test_what_is_kept_gives_the_same_numbers_to_the_bit_without_a_look_at_the_data(tmp_path: Path):
    plain = values(make_evaluator(None), RandomImages())
    assert not list(tmp_path.iterdir())
    assert images_seen(make_evaluator(tmp_path), RandomImages()) == 60
    assert len(list(tmp_path.glob("statistics/*.pt"))) == 2
    assert values(make_evaluator(tmp_path), RandomImages()) == plain
    warm = make_evaluator(tmp_path)
    assert images_seen(warm, RandomImages()) == 0
    assert all(values(warm, RandomImages()) == plain for _ in range(2)), "and a second evaluation knows them still"


@pytest.mark.parametrize(
    ("data", "identity", "batch_size"),
    [
        (RandomImages(seed=1), "sums", 7),
        (RandomImages(reference="test"), "sums", 7),
        (RandomImages(classes=[0, 1]), "sums", 7),
        (RandomImages(image_size=5, shape=[1, 5, 5]), "sums", 7),
        (RandomImages(), "other", 7),
        (RandomImages(), "sums", 8),
    ],
)
def test_another_question_has_another_file(tmp_path: Path, data: RandomImages, identity: str, batch_size: int):
    make_evaluator(tmp_path).prepare_reference(RandomImages(), "cpu")
    assert images_seen(make_evaluator(tmp_path, identity, batch_size), data) == data.reference_size


def test_other_settings_or_preprocessing_are_another_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keeper = reference_cache.ReferenceCache(tmp_path, "data", 7, "cpu")
    assert keeper.path(SlicedWasserstein(16)) != keeper.path(SlicedWasserstein(17))
    before = keeper.path(FrechetDistance(Sums()))
    assert before == keeper.path(FrechetDistance(Sums()))
    monkeypatch.setattr(Sums, "preprocessing", "blurred")
    assert keeper.path(FrechetDistance(Sums())) != before


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "text", "other"])
def test_a_damaged_file_is_computed_anew_and_mended(tmp_path: Path, damage: str):
    plain = values(make_evaluator(tmp_path), RandomImages())
    for path in tmp_path.glob("statistics/*.pt"):
        content = bytearray(path.read_bytes())
        content[-200] ^= 1
        path.write_bytes(
            {
                "empty": b"",
                "short": path.read_bytes()[:-100],
                "flipped": bytes(content),
                "text": b"not found" * 9,
                "other": torch.tensor(1).numpy().tobytes(),
            }[damage]
        )
    assert values(make_evaluator(tmp_path), RandomImages()) == plain
    assert images_seen(make_evaluator(tmp_path), RandomImages()) == 0


@pytest.mark.parametrize("content", [3, {}, [torch.ones(2)], "values", "shapes"])
def test_states_of_something_else_are_computed_anew(tmp_path: Path, content: Any):
    plain = values(make_evaluator(tmp_path), RandomImages())
    for path in tmp_path.glob("statistics/*.pt"):
        states = load_cached(path)
        others = {
            "values": {name: 3 for name in states},
            "shapes": {name: state[None] for name, state in states.items()},
        }
        save_cached(others.get(content) if isinstance(content, str) else content, path)
    assert values(make_evaluator(tmp_path), RandomImages()) == plain


def test_a_folder_that_cannot_be_written_to_changes_no_number(tmp_path: Path):
    (tmp_path / "statistics").write_text("in the way")
    assert values(make_evaluator(tmp_path), RandomImages()) == values(make_evaluator(None), RandomImages())


def test_files_have_the_mode_that_others_written_here_have(tmp_path: Path):
    make_evaluator(tmp_path).prepare_reference(RandomImages(), "cpu")
    (tmp_path / "plain").write_text("")
    modes = {path.stat().st_mode for path in (tmp_path / "plain", *tmp_path.glob("statistics/*.pt"))}
    assert len(modes) == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_another_version_or_device_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str):
    keeper, metric = reference_cache.ReferenceCache(tmp_path, "data", 7, device), FrechetDistance(Sums())
    first = keeper.path(metric)
    assert first == keeper.path(FrechetDistance(Sums()))
    assert first != reference_cache.ReferenceCache(tmp_path, "data", 7, "meta").path(metric)
    monkeypatch.setattr(reference_cache, "__version__", "another")
    assert first != keeper.path(metric)


def test_a_file_of_other_shapes_is_computed_anew(tmp_path: Path):
    """As of a metric whose config does not say how many features it has."""
    make_evaluator(tmp_path).prepare_reference(RandomImages(), "cpu")
    evaluator = make_evaluator(tmp_path)
    evaluator.metrics["fid"].real_sum = torch.zeros(9, dtype=torch.float64)
    assert reference_cache.ReferenceCache(tmp_path, RandomImages().fingerprint(), 7, "cpu").load(
        evaluator.metrics, 0, 1
    ) == {"swd"}


def test_metrics_with_one_extractor_keep_its_features_once():
    metrics = {"kid": KernelDistance(Sums()), "pr": PrecisionRecall(Sums()), "dc": DensityCoverage(Sums())}
    evaluator = Evaluator(metrics, 7)
    evaluator.prepare_reference(RandomImages(), "cpu")
    states: list[Any] = [metric.real_features for metric in evaluator.metrics.values()]
    kept = [[each.data_ptr() for each in state if len(each)] for state in states]
    assert kept[0] == kept[1] == kept[2]
    assert all(concatenated(state).numel() == 60 * 8 for state in states)


def test_large_states_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reference_cache, "LARGEST_BYTES", 1000)
    make_evaluator(tmp_path).prepare_reference(RandomImages(), "cpu")
    assert len(list(tmp_path.glob("statistics/*.pt"))) == 1, "the moments, and not 60 x 16 projections"


def test_toys_are_drawn_anew(tmp_path: Path):
    data = ring(modes=8, radius=1.0, std=0.01, shape=[2], batch_size=8, seed=0, reference_size=50)
    Evaluator({"swd": SlicedWasserstein(4)}, 10, tmp_path).prepare_reference(data, "cpu")
    assert not list(tmp_path.iterdir())
