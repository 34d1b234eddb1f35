from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from gan_lightning import judging, statistics
from gan_lightning.collective import by_rank_zero, rank_zero_first
from gan_lightning.data.base import ImageData, Images
from gan_lightning.data.toys import ring
from gan_lightning.extractors.base import Extractor, Features
from gan_lightning.extractors.digits import Digits
from gan_lightning.judging import Judges
from gan_lightning.metrics.base import concatenated
from gan_lightning.metrics.frechet import FrechetDistance
from gan_lightning.metrics.kernel import KernelDistance
from gan_lightning.metrics.labels import DigitOfLabel
from gan_lightning.metrics.manifold import DensityCoverage, PrecisionRecall
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


def test_files_have_the_mode_that_others_written_here_have(tmp_path: Path):
    judges(tmp_path).count_real(Pictures(), "cpu")
    (tmp_path / "plain").write_text("")
    modes = {path.stat().st_mode for path in (tmp_path / "plain", *tmp_path.glob("statistics/*.pt"))}
    assert len(modes) == 1


def test_what_the_features_are_made_with_is_a_part_of_the_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keeper = statistics.Statistics(tmp_path, "data", 7, "cpu")
    metric = FrechetDistance(Sums())
    first = keeper.path(metric)
    with monkeypatch.context() as patch:
        patch.setattr(statistics, "version", lambda name: "0" if name in ("torchvision", "torch-fidelity") else "1")
        other = keeper.path(metric)
    with monkeypatch.context() as patch:
        patch.setattr(statistics, "fingerprint", lambda path: path.name)
        assert {"features.py", "classifier_training.py"} <= set(keeper.origin(metric)["code"])
    assert first == keeper.path(metric) != other


def test_metrics_share_the_features_that_were_kept(tmp_path: Path):
    def made() -> Judges:
        metrics = {"kid": KernelDistance(Sums()), "pr": PrecisionRecall(Sums()), "dc": DensityCoverage(Sums())}
        counted = Judges(metrics, 7, tmp_path)
        counted.count_real(Pictures(), "cpu")
        return counted

    for counted in (made(), made()):
        states: list[Any] = [metric.real_features for metric in counted.metrics.values()]
        kept = [[each.data_ptr() for each in state if len(each)] for state in states]
        assert kept[0] == kept[1] == kept[2]
        assert all(concatenated(state).numel() == 60 * 8 for state in states)


def test_features_are_made_anew_of_images_that_were_written_to():
    extractor, images = Sums(), torch.rand(3, 1, 4, 4)
    first = extractor(images)
    assert extractor(images) is first
    images.mul_(2.0)
    torch.testing.assert_close(extractor(images).features, 2 * first.features)
    with torch.inference_mode():
        images = torch.rand(3, 1, 4, 4)
        first = extractor(images)
        images.mul_(2.0)
        torch.testing.assert_close(extractor(images).features, 2 * first.features)


@pytest.mark.parametrize("what", [float("nan"), float("inf"), -float("inf")])
def test_an_image_that_is_not_finite_has_no_features(what: float):
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images[1, 0, 2, 3] = what
    for features in Digits()(images):
        assert features is not None
        assert features.isnan().all(dim=1).tolist() == [False, True, False]
        assert features[[0, 2]].isfinite().all()


def test_only_rank_0_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch):
    shown: list[str] = []

    def watched(batches: Any, what: str, *_: Any) -> Any:
        shown.append(what)
        return batches

    monkeypatch.setattr(judging, "watched", watched)
    for rank in (0, 1):
        judges(None).count_real(Pictures(), "cpu", rank, 2)
    assert shown == ["reading real samples"]


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


@pytest.mark.slow
def test_two_ranks_go_on_where_nothing_can_be_kept(tmp_path: Path):
    """With two metrics, for each of which both ranks are needed."""
    (tmp_path / "cache").write_text("in the way")
    first, second = processes(tmp_path, 2, "ranks")
    assert first == second == pytest.approx(values(judges(None), Pictures()), rel=1e-6)


@pytest.mark.slow
def test_rank_0_may_take_longer_than_a_message(tmp_path: Path):
    assert processes(tmp_path, 2, "patient") == [[0, 0], [1, 0]]


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
        elif kind == "patient":

            def work() -> int:
                time.sleep(6 if rank == 0 else 0)
                return rank

            torch.distributed.barrier()  # and from here on, nobody waits for long
            torch.distributed.distributed_c10d._set_pg_timeout(timedelta(seconds=3))
            found = [rank_zero_first(work), by_rank_zero(work)]
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
