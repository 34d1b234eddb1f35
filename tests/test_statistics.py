from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from gan_lightning import statistics
from gan_lightning.data.base import ImageData, Images
from gan_lightning.data.toys import ring
from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.judging import Judges
from gan_lightning.metrics.frechet import FrechetDistance
from gan_lightning.metrics.labels import DigitOfLabel
from gan_lightning.metrics.sliced_wasserstein import SlicedWasserstein


class Sums(Extractor):
    """Eight random projections of the pixels; counts the images that it looks at."""

    preprocessing = "none"
    seen: ClassVar[int] = 0

    def __init__(self, identity: str = "sums") -> None:
        super().__init__(8, None, identity)

    def extract(self, images: Tensor) -> Features:
        Sums.seen += len(images)
        flat = images.flatten(1)
        return Features(flat @ torch.randn(flat.shape[1], 8, generator=torch.Generator().manual_seed(0)), None)


class Pictures(ImageData):
    """Random grey images with classes."""

    def __init__(self, seed: int = 0, count: int = 60, **changes: Any) -> None:
        facts: dict[str, Any] = {"shape": [1, 4, 4], "num_classes": 3, "value_range": [-1, 1], "batch_size": 8}
        super().__init__(**{**facts, "seed": 0, **changes})
        self.source, self.count = seed, count

    def read(self, train: bool) -> Images:
        rng = torch.Generator().manual_seed(self.source + 100 * (not train))
        pixels = torch.randint(256, (self.count, 1, 4, 4), generator=rng, dtype=torch.uint8)
        return Images(pixels, torch.arange(self.count) % 3)


def judges(folder: Path | None, identity: str = "sums", batch_size: int = 7) -> Judges:
    metrics = {"fid": FrechetDistance(Sums(identity)), "swd": SlicedWasserstein(16)}
    return Judges(metrics, batch_size, folder)


def values(made: Judges, data: ImageData) -> dict[str, float]:
    made.count_real(data, "cpu")
    fakes = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(5)) * 2 - 1
    return made.judge(((part, None) for part in fakes.split(7)), 40)


def looked_at(made: Judges, data: ImageData) -> int:
    """Real images that the extractor looks at."""
    Sums.seen = 0
    made.count_real(data, "cpu")
    return Sums.seen


def test_what_is_kept_gives_the_same_numbers_to_the_bit_without_a_look_at_the_data(tmp_path: Path):
    plain = values(judges(None), Pictures())
    assert not list(tmp_path.iterdir())
    assert looked_at(judges(tmp_path), Pictures()) == 60
    assert len(list(tmp_path.glob("statistics/*.pt"))) == 2
    assert values(judges(tmp_path), Pictures()) == plain
    warm = judges(tmp_path)
    assert looked_at(warm, Pictures()) == 0
    assert all(values(warm, Pictures()) == plain for _ in range(2)), "and a second evaluation knows them still"


@pytest.mark.parametrize(
    ("data", "identity", "batch_size"),
    [
        (Pictures(seed=1), "sums", 7),
        (Pictures(reference="test"), "sums", 7),
        (Pictures(classes=[0, 1]), "sums", 7),
        (Pictures(image_size=5, shape=[1, 5, 5]), "sums", 7),
        (Pictures(), "other", 7),
        (Pictures(), "sums", 8),
    ],
)
def test_another_question_has_another_file(tmp_path: Path, data: Pictures, identity: str, batch_size: int):
    judges(tmp_path).count_real(Pictures(), "cpu")
    assert looked_at(judges(tmp_path, identity, batch_size), data) == data.reference_size


def test_other_settings_or_preprocessing_are_another_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keeper = statistics.Statistics(tmp_path, "data", 7, "cpu")
    assert keeper.path(SlicedWasserstein(16)) != keeper.path(SlicedWasserstein(17))
    before = keeper.path(FrechetDistance(Sums()))
    assert before == keeper.path(FrechetDistance(Sums()))
    monkeypatch.setattr(Sums, "preprocessing", "blurred")
    assert keeper.path(FrechetDistance(Sums())) != before


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "text", "other"])
def test_a_damaged_file_is_computed_anew_and_mended(tmp_path: Path, damage: str):
    plain = values(judges(tmp_path), Pictures())
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
    assert values(judges(tmp_path), Pictures()) == plain
    assert looked_at(judges(tmp_path), Pictures()) == 0


def test_a_folder_that_cannot_be_written_to_stops_nobody(tmp_path: Path):
    (tmp_path / "statistics").write_text("in the way")
    assert values(judges(tmp_path), Pictures()) == values(judges(None), Pictures())


def test_large_states_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(statistics, "LARGEST_BYTES", 1000)
    judges(tmp_path).count_real(Pictures(), "cpu")
    assert len(list(tmp_path.glob("statistics/*.pt"))) == 1, "the moments, and not 60 x 16 projections"


def test_toys_are_drawn_anew(tmp_path: Path):
    data = ring(modes=8, radius=1.0, std=0.01, shape=[2], batch_size=8, seed=0, reference_size=50)
    Judges({"swd": SlicedWasserstein(4)}, 10, tmp_path).count_real(data, "cpu")
    assert not list(tmp_path.iterdir())


def test_what_keeps_nothing_of_real_samples_is_shown_one_batch(monkeypatch: pytest.MonkeyPatch):
    shown: list[int] = []
    metric = DigitOfLabel()
    monkeypatch.setattr(metric, "accumulate", lambda samples, real: shown.append(len(samples)))
    Judges({"labels": metric}, 7).count_real(Pictures(), "cpu")
    assert shown == [7]


def test_metrics_get_the_classes_of_real_samples():
    given: list[Tensor] = []

    class Classes(SlicedWasserstein):
        def accumulate_labelled(self, samples: Tensor, labels: Tensor, real: bool) -> None:
            given.append(labels)

    Judges({"swd": Classes(4)}, 7).count_real(Pictures(), "cpu")
    assert torch.equal(torch.cat(given), torch.arange(60) % 3)


def test_equal_extractors_become_one_that_looks_once():
    made = Judges({"a": FrechetDistance(Sums()), "b": Kinder(Sums()), "c": Third(Sums("other"))}, 7)
    a, b, c = (metric.extractor for metric in made.metrics.values())
    assert a is b and a is not c
    assert looked_at(made, Pictures()) == 2 * 60
    assert all(extractor._last is None for extractor in made.extractors), "and keeps no images"


class Kinder(FrechetDistance):
    keys = ("kinder",)


class Third(FrechetDistance):
    keys = ("third",)


@pytest.mark.slow
def test_processes_that_start_at_once_agree(tmp_path: Path):
    expected = values(judges(None), Pictures())
    found = processes(tmp_path, 6, "alone")
    assert all(one == expected for one in found)
    assert looked_at(judges(tmp_path / "cache"), Pictures()) == 0
    assert not list(tmp_path.glob("cache/statistics/.*")), "nothing is left behind"


@pytest.mark.slow
def test_two_ranks_are_one_with_and_without_what_is_kept(tmp_path: Path):
    """Which have unequal shares, of batches that do not divide them."""
    expected = values(judges(None), Pictures())
    cold, warm = processes(tmp_path, 2, "ranks"), processes(tmp_path, 2, "ranks")
    for run in (cold, warm):
        assert run[0] == run[1]
        assert run[0] == pytest.approx(expected, rel=1e-6)
    assert warm == cold
    assert looked_at(judges(tmp_path / "cache"), Pictures()) == 0
    assert values(judges(tmp_path / "cache"), Pictures()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_what_fails_on_one_rank_is_told_on_both(tmp_path: Path):
    started = time.monotonic()
    for kind in ("first", "second"):
        assert processes(tmp_path, 2, kind) == [f"{kind} has no weights"] * 2
    assert time.monotonic() - started < 120


def processes(folder: Path, count: int, kind: str) -> list[Any]:
    """What `main` finds in each of `count` processes."""
    (folder / "meeting").unlink(missing_ok=True)
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(folder), str(rank), kind], env=environment)
        for rank in range(count)
    ]
    assert [process.wait(timeout=300) for process in ranks] == [0] * count
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


class Failing(Sums):
    """Cannot be had on one of two ranks."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.failing = rank

    def prepare(self, data: object) -> None:
        if torch.distributed.get_rank() == self.failing:
            raise ValueError(f"{('first', 'second')[self.failing]} has no weights")


def main(folder: Path, rank: int, kind: str) -> None:
    found: Any
    if kind == "alone":
        found = values(judges(folder / "cache"), Pictures())
    else:
        torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
        if kind == "ranks":
            made = judges(folder / "cache")
            made.count_real(Pictures(), "cpu", rank, 2)
            fakes = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(5)) * 2 - 1
            own = fakes[:13] if rank == 0 else fakes[13:]
            found = made.judge(((part, None) for part in own.split(7)), len(own), rank)
        else:
            try:
                metric = FrechetDistance(Failing(("first", "second").index(kind)))
                Judges({"fid": metric}, 7).count_real(Pictures(), "cpu", rank, 2)
                found = "nothing"
            except ValueError as error:
                found = str(error)
        torch.distributed.destroy_process_group()
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
