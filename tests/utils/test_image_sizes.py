"""Which sizes halve and double, found by trial."""

from __future__ import annotations

import pytest

from gan_lightning.utils.image_sizes import choose_size, count_halvings, nearest_sizes


def halved(side: int) -> list[int]:
    """The side after each halving without remainder."""
    sides = [side]
    while sides[-1] % 2 == 0 and sides[-1] > 0:
        sides.append(sides[-1] // 2)
    return sides


@pytest.mark.parametrize(
    ("size", "halvings"), [(28, 2), (32, 3), (48, 3), (64, 4), (96, 4), (100, 2), (128, 5), (256, 6), (512, 7)]
)
def test_sizes_are_halved_as_often_as_leaves_4_pixels(size: int, halvings: int) -> None:
    assert count_halvings(size, size) == halvings
    assert halved(size)[halvings] >= 4
    assert len(halved(size)) == halvings + 1 or halved(size)[halvings + 1] < 4


def test_a_size_is_taken_where_some_number_of_halvings_leaves_few_enough_pixels() -> None:
    for size in range(1, 600):
        found = [pixels for pixels in halved(size)[2:] if 4 <= pixels <= 25]
        assert (count_halvings(size, size) is not None) == bool(found), size


@pytest.mark.parametrize(
    ("size", "halvings"), [((48, 96), 3), ((96, 48), 3), ((64, 128), 4), ((100, 64), 2), ((16, 128), None)]
)
def test_both_sides_are_halved_alike(size: tuple[int, int], halvings: int | None) -> None:
    assert count_halvings(*size) == halvings


def test_the_nearest_sizes_are_those_between_which_none_is_taken() -> None:
    taken = [size for size in range(1, 1200) if count_halvings(size, size)]
    for size in range(1, 1000):
        if size not in taken:
            below, above = [s for s in taken if s < size][-1:], [s for s in taken if s > size][:1]
            assert nearest_sizes(size, size) == [(s, s) for s in below + above], size


@pytest.mark.parametrize("size", [(48, 50), (224, 225), (16, 1000), (1, 3), (90, 200)])
def test_nearest_sizes_are_taken(size: tuple[int, int]) -> None:
    assert all(count_halvings(*near) for near in nearest_sizes(*size))


def test_sides_without_limit_are_multiples_of_4() -> None:
    assert nearest_sizes(301, 301, (4, None)) == [(300, 300), (304, 304)]
    assert count_halvings(300, 332, (4, None)) == 2


def test_sizes_are_named_as_they_are_typed() -> None:
    assert choose_size([(48, 48), (48, 96)]) == "data.image_size=48 or data.image_size=[48,96]"
