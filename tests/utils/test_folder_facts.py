"""What a folder of images tells of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gan_lightning.utils.folder_facts import file_name_of, folder_facts, nearest_side


def put(path: Path, size: tuple[int, int], mode: str = "RGB", orientation: int | None = None) -> None:
    """Write an image of `size` (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new(mode, size).save(path, exif=exif)


def test_side_is_that_of_the_typical_image_and_sizes_are_those_seen(tmp_path: Path):
    for number, size in enumerate([(40, 10), (50, 30), (35, 99), (64, 64), (500, 700)]):
        put(tmp_path / f"{number}.png", size)
    put(tmp_path / "turned.jpg", (4, 6), orientation=6)
    facts = folder_facts(tmp_path)
    assert facts is not None
    assert facts.images == 6
    assert facts.side == 30  # of 4, 10, 30, 35, 64, 500 the lower middle
    assert (facts.smallest, facts.largest) == ((4, 6), (700, 500))


@pytest.mark.parametrize(("modes", "channels"), [(["L", "LA", "I;16", "1"], 1), (["L", "P"], 3), (["RGBA"], 3)])
def test_images_are_grey_where_all_are(modes: list[str], channels: int, tmp_path: Path):
    for number, mode in enumerate(modes):
        put(tmp_path / f"{number}.png", (8, 8), mode)
    facts = folder_facts(tmp_path)
    assert facts is not None and facts.channels == channels


def test_files_that_cannot_be_read_say_nothing_of_the_size(tmp_path: Path):
    (tmp_path / "a.png").write_text("<html>")
    facts = folder_facts(tmp_path)
    assert facts is not None and (facts.images, facts.side) == (1, 64)
    put(tmp_path / "b.png", (20, 20))
    facts = folder_facts(tmp_path)
    assert facts is not None and (facts.images, facts.side) == (2, 20)


@pytest.mark.parametrize(
    ("side", "accepts", "nearest"),
    [
        (96, {"image_sizes": [28, 32, 64, 128]}, 64),
        (97, {"image_sizes": [28, 32, 64, 128]}, 128),
        (4000, {"image_sizes": [32, 128, 256]}, 128),
        (100, {"smallest_maps": [4, 25]}, 100),
        (90, {"smallest_maps": [4, 25]}, 88),
        (5, {"smallest_maps": [4, 25]}, 16),
        (4000, None, 128),
        (50, None, 50),
    ],
)
def test_the_nearest_side_is_one_that_the_model_takes(side: int, accepts: dict[str, list[int]] | None, nearest: int):
    assert nearest_side(side, accepts) == nearest


def test_names_of_files_have_no_signs_that_mean_something():
    assert file_name_of("My  cats & 'dogs', {2024}/x=${a}") == "My_cats_dogs_2024_x_a"
    assert file_name_of("été_日本.v2") == "été_日本.v2"
    assert file_name_of("...") == "images"
    assert len(file_name_of("x" * 999)) == 60
