"""Samples by class and from truncated noise, as arrays and pictures, of a generator whose images tell their class."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.sampled_runs import SMALL, run, sampled, written
from omegaconf import OmegaConf
from PIL import Image

from gan_lightning.data.pixels import to_uint8
from gan_lightning.figures.images import row_labels
from gan_lightning.priors import ClassConditional, Gaussian
from gan_lightning.randomness import generator_for
from gan_lightning.runs.checkpoints import load
from gan_lightning.sampling import output
from gan_lightning.sampling.generate import sample_latents
from gan_lightning.sampling.writers import name_suffix
from gan_lightning.utils.errors import UserError, WorkError


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a class-conditional generator of ten classes, behind noise of 2."""
    return run(tmp_path_factory.mktemp("labelled"), *SMALL, "prior=labelled_onehot", "prior.noise.dim=2")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of shapes, whose classes have names."""
    return run(tmp_path_factory.mktemp("named"), *SMALL, "data=shapes", "data.train_size=64", "prior=labelled_onehot")


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of shapes whose labels are clusters."""
    shapes = ("data=shapes", "data.train_size=64", "data.clusters=5", "prior=labelled_onehot")
    return run(tmp_path_factory.mktemp("clustered"), *SMALL, *shapes)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("unlabelled"), *SMALL, "prior=uniform")


def prior(dim: int = 12) -> ClassConditional:
    return ClassConditional(dim, Gaussian(2), num_classes=10)


def rng() -> torch.Generator:
    return generator_for(0, "samples")


@pytest.mark.parametrize(
    ("count", "classes", "expected"),
    [
        (6, [3, 5], [3, 3, 3, 5, 5, 5]),
        (7, [5, 0, 3], [5, 5, 5, 0, 0, 3, 3]),
        (2, [9, 1], [9, 1]),
        (3, [7], [7, 7, 7]),
    ],
)
def test_classes_come_in_order_and_as_evenly_as_can_be(count: int, classes: list[int], expected: list[int]) -> None:
    latent, columns = sample_latents(prior(), count, rng(), classes)
    assert columns is None
    assert latent.labels is not None and latent.labels.tolist() == expected
    assert latent.z[:, 2:].argmax(1).tolist() == expected  # what the generator is fed says so too
    assert len(latent.z[:, :2].unique(dim=0)) == count, "every sample has noise of its own"


def test_a_picture_has_a_class_in_each_row_and_one_noise_down_each_column() -> None:
    latent, columns = sample_latents(prior(), 7, rng(), [8, 2], grid=True)
    assert columns == 3
    assert latent.labels is not None and latent.labels.tolist() == [8, 8, 8, 2, 2, 2]
    assert torch.equal(latent.z[:3, :2], latent.z[3:, :2])
    assert len(latent.z[:3, :2].unique(dim=0)) == 3
    whole, columns = sample_latents(prior(), 64, rng(), grid=True)
    assert columns == 6
    assert whole.labels is not None and whole.labels.tolist() == torch.arange(10).repeat_interleave(6).tolist()


def test_an_array_of_classes_has_their_labels(labelled: Path, tmp_path: Path) -> None:
    path = written(labelled, "format=npz", "classes=[3,5]", "count=6", f"output={tmp_path}")
    assert path == tmp_path / "last_iteration1_seed0_6_classes_3-5.npz"
    arrays = np.load(path)
    assert arrays["samples"].shape == (6, 28, 28, 1)
    assert arrays["labels"].dtype == np.int64 and arrays["labels"].tolist() == [3, 3, 3, 5, 5, 5]
    plain = np.load(written(labelled, "format=npz", "count=300", f"output={tmp_path}"))
    assert set(plain["labels"].tolist()) == set(range(10)), "drawn by the prior"


def test_a_grid_has_whole_rows_of_each_class(labelled: Path, tmp_path: Path) -> None:
    path = written(labelled, "classes=[3,5,7]", "count=13", f"output={tmp_path}")
    assert path.name == "last_iteration1_seed0_12_classes_3-5-7.png"
    width, height = Image.open(path).size
    width -= row_labels(["3", "5", "7"], height).shape[1]
    assert width * (3 * 30 + 2) == height * (4 * 30 + 2)  # tiles of 28 with 2 between and around
    width, height = Image.open(written(labelled, "count=40", f"output={tmp_path}")).size
    width -= row_labels([str(digit) for digit in range(10)], height).shape[1]
    assert width * (10 * 30 + 2) == height * (4 * 30 + 2)


@pytest.mark.parametrize(
    "overrides", ["count=7", "count=7 seed=3", "count=5 classes=[3,5]", "count=501 truncation=0.7"]
)
def test_gan_sample_returns_what_the_command_line_writes(overrides: str, labelled: Path, tmp_path: Path) -> None:
    path = written(labelled, "format=npz", f"output={tmp_path}", *overrides.split())
    gan = load(labelled / "checkpoints" / "last.ckpt", "cpu").gan
    settings = OmegaConf.from_dotlist(overrides.split())
    images = gan.sample(settings.count, settings.get("classes"), settings.get("seed", 0), settings.get("truncation"))
    assert images.shape == (settings.count, 1, 28, 28) and -1 <= images.min() < images.max() <= 1
    assert (np.load(path)["samples"] == to_uint8(images).permute(0, 2, 3, 1).numpy()).all()


def test_gan_sample_refuses_what_the_model_cannot_do_and_changes_nothing(unlabelled: Path) -> None:
    gan = load(unlabelled / "checkpoints" / "last.ckpt", "cpu").gan
    before = gan.sample(3)
    with pytest.raises(ValueError, match="not class-conditional"):
        gan.sample(3, labels=[3])
    with pytest.raises(ValueError, match="Gaussian noise"):
        gan.sample(3, truncation=0.5)
    gan.sample(3, seed=1)
    assert torch.equal(gan.sample(3), before) and not torch.equal(gan.sample(3, seed=1), before)


def test_without_classes_there_are_no_labels(unlabelled: Path, tmp_path: Path) -> None:
    path = written(unlabelled, "format=npz", "count=4", f"output={tmp_path}")
    assert set(np.load(path)) == {"samples"}
    width, height = Image.open(written(unlabelled, "count=9", f"output={tmp_path}")).size
    assert width == height


@pytest.mark.parametrize(
    ("model", "overrides", "words"),
    [
        ("unlabelled", "classes=[3]", "classes cannot be chosen for this model, whose prior is not class-conditional"),
        ("unlabelled", "truncation=0.5", "truncation=0.5 is for Gaussian noise, which this model is not fed"),
        ("labelled", "classes=[3,12]", r"does not have the classes \[12\]: choose from 0 to 9"),
        ("labelled", "classes=3", r"classes must be a list of classes, such as classes=\[0\], not 3"),
        ("labelled", "classes=[-1]", "at least 0, not -1"),
        ("labelled", "classes=[1,2,3] count=2", "count=2 is fewer than the 3 classes"),
        ("labelled", "truncation=0", "truncation must be above 0"),
        ("labelled", "truncation=little", "truncation must be a finite number, not 'little'"),
        ("labelled", "seed=-1", "seed must be a whole number of at least 0, not -1"),
        ("labelled", "interpolate=1", "interpolate must be a whole number of at least 2, not 1"),
        ("labelled", "interpolate=3 count=1", "choose count=2 or more"),
        ("labelled", "interpolate=3 format=files", "format=files is not for interpolate=: choose grid or npz"),
        ("labelled", "interpolate=3 traverse=true", "interpolate= and traverse= are different things"),
        ("labelled", "traverse=true", "traverse=true is for a model with learned codes"),
        ("labelled", "traverse=true classes=[1]", "classes= cannot go with traverse=true: leave it out"),
        ("labelled", "source=. direction=a_to_b", "source= is for a model that translates images"),
        ("labelled", "direction=a_to_b", "direction= is for a model that translates images"),
        ("labelled", "format=gif", "format must be one of grid, files, npz, not gif"),
        ("labelled", "which=first", "which must be one of last, best, not first"),
        ("labelled", "trust=os", "trust must be a list of names"),
    ],
)
def test_what_a_model_cannot_do_is_one_sentence(
    model: str, overrides: str, words: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(UserError, match=words) as error:
        written(request.getfixturevalue(model), *overrides.split())
    assert len(error.value.problems) == 1


def test_a_truncated_grid_is_named_so(labelled: Path, tmp_path: Path) -> None:
    path = written(labelled, "truncation=0.5", "count=10", f"output={tmp_path}")
    assert path.name == "last_iteration1_seed0_10_truncation0.5.png" and path.is_file()


def test_as_many_files_as_count_says_and_nothing_beside_them(unlabelled: Path, tmp_path: Path) -> None:
    path = written(unlabelled, "format=files", "count=11", f"output={tmp_path}/new")
    assert [file.name for file in sorted(path.iterdir())] == [f"{number:02}.png" for number in range(11)]
    assert list((tmp_path / "new").iterdir()) == [path]


@pytest.mark.parametrize("form", ["grid", "files", "npz"])
def test_what_is_there_stays_and_the_new_gets_a_number(form: str, unlabelled: Path, tmp_path: Path) -> None:
    chosen = (f"format={form}", "count=3", f"output={tmp_path}/out")
    path = written(unlabelled, *chosen)
    before = path.stat().st_mtime_ns
    others = [written(unlabelled, *chosen) for _ in range(2)]
    assert [other.name for other in others] == [path.name.replace("_3", f"_3_{number}") for number in (2, 3)]
    assert path.stat().st_mtime_ns == before
    assert sorted((tmp_path / "out").iterdir()) == sorted([path, *others])


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond 100 bytes within, as on a disk that has no more room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("overrides", ["format=grid", "format=files", "format=npz", "interpolate=2"])
def test_on_a_full_disk_nothing_is_written(overrides: str, unlabelled: Path, tmp_path: Path) -> None:
    with full_disk(), pytest.raises(WorkError, match=f"{tmp_path}/a/b cannot be written to: .*File too large"):
        sampled(unlabelled, overrides, "count=5", f"output={tmp_path}/a/b")
    assert list(tmp_path.iterdir()) == []


def test_what_was_interrupted_leaves_nothing(unlabelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = output.save_image, iter(range(3))

    def interrupted(*arguments: Any) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        save(*arguments)

    monkeypatch.setattr(output, "save_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(unlabelled, "format=files", "count=5", f"output={tmp_path}/a/b")
    assert list(tmp_path.iterdir()) == []


def test_no_seed_is_seed_0(unlabelled: Path, tmp_path: Path) -> None:
    seeds = ((), ("seed=0",), ("seed=3",))
    paths = [written(unlabelled, *seed, "count=3", f"output={tmp_path}") for seed in seeds]
    assert [path.name for path in paths] == [f"last_iteration1_seed{seed}.png" for seed in ("0_3", "0_3_2", "3_3")]
    assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()


def test_where_nothing_can_be_written_is_named(unlabelled: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match=f"{tmp_path}/file cannot be written to"):
        written(unlabelled, "count=2", f"output={tmp_path}/file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_classes_are_named_as_those_of_the_data(named: Path, tmp_path: Path) -> None:
    by_name = written(named, "classes=[cross,0]", "count=4", "format=npz", f"output='{tmp_path}'")
    assert by_name.name == "last_iteration1_seed0_4_classes_cross-circle.npz"
    assert np.load(by_name)["labels"].tolist() == [3, 3, 0, 0]
    by_number = written(named, "classes=[3,0]", "count=4", "format=npz", f"output='{tmp_path}'")
    assert (np.load(by_number)["samples"] == np.load(by_name)["samples"]).all()
    folder = written(named, "classes=[square,triangle]", "count=3", "format=files", f"output='{tmp_path}'")
    assert sorted(path.name for path in folder.iterdir()) == ["0_square.png", "1_square.png", "2_triangle.png"]


def test_rows_of_a_grid_have_the_names_beside_them(named: Path, tmp_path: Path) -> None:
    picture = np.asarray(Image.open(written(named, "classes=[cross,0]", "count=6", f"output='{tmp_path}'")))
    labels = row_labels(["cross", "circle"], len(picture))
    assert (picture[:, : labels.shape[1]] == labels).all()


def test_clusters_are_asked_for_by_number(clustered: Path, named: Path, tmp_path: Path) -> None:
    path = written(clustered, "clusters=[4,1]", "count=2", "format=npz", f"output='{tmp_path}'")
    assert np.load(path)["labels"].tolist() == [4, 1]
    with pytest.raises(UserError, match=r"classes= is not for this run, .* clusters .*: choose clusters="):
        sampled(clustered, "classes=[1]")
    with pytest.raises(UserError, match=r"clusters= is not for this run, which has no clusters: choose classes="):
        sampled(named, "clusters=[1]")
    with pytest.raises(UserError, match="must be a whole number of at least 0, not 'circle'"):
        sampled(clustered, "clusters=[circle]")


def test_the_name_of_a_file_has_room_for_some_of_many_classes() -> None:
    assert name_suffix([3, 1], None) == "_classes_3-1"
    assert name_suffix([0], 0.5, ["red / fox"]) == "_classes_red_fox_truncation0.5"
    many = name_suffix(range(200), None)
    assert many.endswith("-more") and len(many) < 130
    assert many.startswith("_classes_0-1-2-") and f"-and-{200 - 37}-more" in many  # 10 + 27 * 2 + 36 dashes are 100
