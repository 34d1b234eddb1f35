from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gan_lightning.data.pixels import to_uint8
from gan_lightning.figures.images import (
    LAST_FRAME_MS,
    AnimationFrames,
    Pixels,
    corner_of_grid,
    log_picture,
    make_image_grid,
    row_labels,
    save_animation,
    save_picture,
)


@pytest.mark.parametrize(
    ("value", "level"),
    [(-1.0, 0), (1.0, 255), (0.0, 128), (-3.0, 0), (1.01, 255), (-1 + 0.4 / 127.5, 0), (-1 + 0.6 / 127.5, 1)],
)
def test_pixels_are_rounded_and_clamped(value: float, level: int):
    picture = make_image_grid(torch.full((1, 1, 3, 3), value), least_width_px=1)
    assert picture.dtype == np.uint8 and picture.shape == (3, 3, 3)
    assert (picture == level).all()
    assert to_uint8(torch.tensor(value)).item() == level


@pytest.mark.parametrize("count", [2, 5, 9, 60, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_has_its_place(count: int, channels: int):
    """Image i stands in row i // columns, framed by 2 pixels; the grid is as near to a square as whole rows allow."""
    levels = torch.arange(count * channels).reshape(count, channels, 1, 1) % 256
    picture = make_image_grid((levels / 127.5 - 1).expand(-1, -1, 4, 5), least_width_px=1)
    columns = next(side for side in range(1, 99) if side**2 >= count)
    assert picture.shape == (6 * -(-count // columns) + 2, 7 * columns + 2, 3)
    for index in range(count):
        row, column = divmod(index, columns)
        cell = picture[6 * row + 2 : 6 * row + 6, 7 * column + 2 : 7 * column + 7]
        assert (cell == levels[index].flatten().expand(3).numpy()).all()


def test_small_images_are_enlarged_by_a_whole_factor():
    images = torch.rand(64, 1, 28, 28) * 2 - 1
    small, large = make_image_grid(images, least_width_px=1), make_image_grid(images)
    assert large.shape[1] >= 560
    assert (large[::3, ::3] == small).all() and (large[2::3, 2::3] == small).all()


def test_a_name_stands_beside_each_row():
    images = torch.zeros(6, 1, 28, 28)
    alone, named = make_image_grid(images, columns=2), make_image_grid(images, columns=2, row_names=["a", "", "x" * 99])
    margin = named.shape[1] - alone.shape[1]
    assert (named[:, margin:] == alone).all()
    rows = np.array_split(255 - named[:, :margin], 3)
    assert [bool(row.any()) for row in rows] == [True, False, True]
    assert (named[:, :margin] == row_labels(["a", "", "x" * 23 + "…"], len(named))).all()


@pytest.mark.parametrize("shape", [(64, 2), (4, 2, 8, 8)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="callbacks.samples=null"):
        make_image_grid(torch.zeros(shape))


def test_a_picture_is_written_as_it_is(tmp_path: Path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    save_picture(picture, tmp_path / "a.png")
    assert (np.asarray(Image.open(tmp_path / "a.png")) == picture).all()
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def flat(level: int) -> Pixels:
    return np.full((6, 8, 3), level, dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_an_animation_has_every_frame_and_rests_on_the_last(count: int, tmp_path: Path):
    levels = [30 * index for index in range(count)]
    save_animation((flat(level) for level in levels), count, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as animation:
        assert getattr(animation, "n_frames", 1) == count
        for index, level in enumerate(levels):
            animation.seek(index)
            assert np.abs(np.asarray(animation.convert("RGB")).astype(int) - level).max() <= 2
        assert animation.info["duration"] == LAST_FRAME_MS


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_what_cannot_be_finished_leaves_what_was_there(name: str, tmp_path: Path):
    """A disk without room: no file can grow beyond 100 bytes."""

    def save(seed: int) -> None:
        frames = np.random.default_rng(seed).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
        if name == "a.png":
            save_picture(frames[0], tmp_path / name)
        else:
            save_animation(frames, 2, tmp_path / name)

    save(0)
    content = (tmp_path / name).read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save(1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == content


def test_a_reel_spaces_its_frames_and_always_has_the_newest():
    reel: AnimationFrames[int] = AnimationFrames(spacing=10)
    for iteration in (0, 1, 5, 9):
        reel.add(iteration, iteration)
        assert reel.frames == ([0, iteration] if iteration else [0])
    for iteration in range(10, 41):
        reel.add(iteration, iteration)
    assert reel.frames[-1] == 40
    assert all(later - earlier >= 10 for earlier, later in zip(reel.frames[:-2], reel.frames[1:-1], strict=True))
    assert len(reel.frames) == 5


def test_a_reel_keeps_all_frames_that_are_apart():
    reel: AnimationFrames[int] = AnimationFrames(spacing=10)
    for iteration in range(0, 500, 25):
        reel.add(iteration, iteration)
    assert reel.frames == list(range(0, 500, 25))


def test_only_loggers_that_take_images_are_given_one():
    class TakesImages:
        def log_image(self, **given: Any) -> None:
            self.given = given

    takes: Any = TakesImages()
    takes_numbers: Any = object()
    log_picture([takes_numbers, takes], "samples", flat(7), 40)
    assert takes.given.keys() == {"key", "images", "step", "caption"}
    assert (takes.given["key"], takes.given["step"]) == ("samples", 40)
    assert takes.given["images"][0].dtype == np.uint8


@pytest.mark.parametrize(("count", "columns", "across"), [(9, 3, 2), (30, 10, 4), (5, 4, 4), (3, 8, 2), (1, 1, 4)])
@pytest.mark.parametrize("names", [None, ["a", "longer"]])
def test_the_corner_of_a_grid_is_a_grid_of_its_upper_right_images(
    count: int, columns: int, across: int, names: list[str] | None
):
    images = torch.rand(count, 3, 6, 9, generator=torch.Generator().manual_seed(0)) * 2 - 1
    rows = -(-count // columns)
    grid = make_image_grid(images, columns=columns, row_names=names and (names * rows)[:rows])
    if count == 1:
        assert corner_of_grid(grid, images.shape, columns, across) is grid
        return
    wide = min(columns, count)
    kept = [n for n in range(rows * wide) if n // wide < across and n % wide >= wide - across]
    padded = torch.cat([images, torch.full((rows * wide - count, 3, 6, 9), 128 / 127.5 - 1)])
    plain = make_image_grid(padded[kept], least_width_px=1, columns=min(wide, across))
    factor = grid.shape[0] // (rows * 8 + 2)
    corner = corner_of_grid(grid, images.shape, columns, across)
    assert np.abs(corner[::factor, ::factor].astype(int) - plain).max() <= 1
    assert corner.shape[:2] == (factor * plain.shape[0], factor * plain.shape[1])
