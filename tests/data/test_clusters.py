from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

from gan_lightning.data import clusters as module
from gan_lightning.data.clusters import (
    PrincipalComponents,
    cluster_images,
    coarse,
    first_centres,
    fitted_rows,
    k_means,
    nearest_clusters,
)
from gan_lightning.data.image_data import batches_of


def blobs(count: int = 50) -> tuple[Tensor, Tensor]:
    """Points about four corners far apart, and which corner each belongs to."""
    corners = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    kinds = torch.arange(4).repeat_interleave(count)
    return corners[kinds] + torch.randn(len(kinds), 2, generator=torch.Generator().manual_seed(0)), kinds


def test_groups_far_apart_are_found():
    points, kinds = blobs()
    for seed in range(5):
        found = k_means(points, 4, seed)
        assert len({(int(a), int(b)) for a, b in zip(found, kinds, strict=True)}) == 4


def test_clusters_are_scipys_from_the_same_centres():
    points = torch.randn(300, 5, generator=torch.Generator().manual_seed(1))
    centres = first_centres(points, 7, torch.Generator().manual_seed(3))
    _, expected = kmeans2(points.double().numpy(), centres.double().numpy(), iter=200, minit="matrix")
    found = k_means(points, 7, seed=3, iterations=200).numpy()
    pairs = {(int(a), int(b)) for a, b in zip(found, expected, strict=True)}
    assert len(pairs) == 7


def test_clusters_are_numbered_by_size_and_none_is_empty():
    points, _ = blobs()
    sizes = torch.bincount(k_means(torch.cat([points, points[:30]]), 9, seed=2), minlength=9)
    assert (sizes > 0).all()
    assert (sizes.diff() <= 0).all()


def test_equal_points_leave_no_cluster_empty_where_there_are_enough():
    points = torch.cat([torch.zeros(10, 2), torch.ones(10, 2)])
    assert len(k_means(points, 4, seed=0).unique()) == 4


def test_principal_components_are_those_of_the_singular_value_decomposition():
    values = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([5.0, 4, 3, 2, 1, 0.5])
    u, s, _ = np.linalg.svd((values - values.mean(0)).double().numpy(), full_matrices=False)
    found = PrincipalComponents(values, 3)(values)
    torch.testing.assert_close(found.abs().double(), torch.from_numpy(np.abs(u[:, :3] * s[:3])), rtol=1e-4, atol=1e-4)


def test_large_images_are_averaged_and_small_ones_kept():
    small = torch.randint(256, (3, 1, 28, 28), dtype=torch.uint8)
    assert torch.equal(coarse(small), small.float().flatten(1))
    assert coarse(torch.full((2, 3, 64, 64), 7, dtype=torch.uint8)).eq(7).all()
    assert coarse(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape[1] <= 1024


def test_images_of_two_kinds_are_separated_and_the_same_every_time():
    dark = torch.randint(60, (20, 3, 8, 8), dtype=torch.uint8)
    light = torch.randint(190, 250, (30, 3, 8, 8), dtype=torch.uint8)
    images = batches_of(torch.cat([dark, light]))
    found = cluster_images(images, 50, 2)
    assert found.tolist() == [1] * 20 + [0] * 30
    assert torch.equal(cluster_images(images, 50, 2), found)


def test_other_images_take_the_cluster_whose_mean_is_nearest():
    dark = torch.randint(60, (20, 3, 8, 8), dtype=torch.uint8)
    light = torch.randint(190, 250, (30, 3, 8, 8), dtype=torch.uint8)
    images, labels = torch.cat([dark, light]), torch.tensor([0] * 20 + [1] * 30)
    others = torch.stack([torch.full((3, 8, 8), value, dtype=torch.uint8) for value in (10, 100, 160, 255)])
    clustered = batches_of(images)
    assert nearest_clusters([others], clustered, labels).tolist() == [0, 0, 1, 1]
    assert torch.equal(nearest_clusters(images.split(7), clustered, labels), labels)
    assert nearest_clusters(others.split(1), clustered, 1 - labels).tolist() == [1, 1, 0, 0]


def test_clusters_of_many_images_are_found_among_a_draw_and_the_others_join_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(module, "MOST_FITTED", 40)
    monkeypatch.setattr(module, "FITTED_EACH", 1)
    levels = torch.randint(4, (300,), generator=torch.Generator().manual_seed(0)) * 60 + 20
    images = (levels[:, None, None, None] + torch.randint(20, (300, 3, 8, 8))).to(torch.uint8)
    read: list[int] = []

    def batches(rows: Tensor):
        read.extend(rows.tolist())
        return images[rows].split(16)

    found = cluster_images(batches, 300, 4)
    assert read[:40] == fitted_rows(300, 4, seed=0).tolist() == sorted(set(read[:40]))
    assert sorted(read) == list(range(300))  # each image is read once
    assert len(set(zip(levels.tolist(), found.tolist(), strict=True))) == len(set(found.tolist())) == 4


def test_the_draw_is_large_enough_for_the_clusters():
    assert fitted_rows(20_000, 100, seed=0).tolist() == list(range(20_000))
    assert len(fitted_rows(30_000, 100, seed=0)) == 20_000
    assert len(fitted_rows(30_000, 1400, seed=0)) == 28_000
    assert not torch.equal(fitted_rows(30_000, 100, seed=0), fitted_rows(30_000, 100, seed=1))


def test_more_clusters_than_images_are_refused():
    with pytest.raises(ValueError, match="data.clusters=9 is more than the number of images, 8"):
        cluster_images(batches_of(torch.zeros(8, 1, 4, 4, dtype=torch.uint8)), 8, 9)


def test_clusters_are_found_in_what_describes_the_images():
    """Bright and dark images, described by whether they change from left to right, which pixels do not tell apart."""
    light = torch.randint(0, 256, (40, 1, 1, 1), dtype=torch.uint8).expand(-1, 3, 8, 8)
    changing = light.clone()
    changing[:20, :, :, 4:] ^= 8

    def describe(pixels: Tensor) -> Tensor:
        return pixels.float().std(dim=3).mean((1, 2))[:, None]

    images = batches_of(changing)
    found = cluster_images(images, 40, 2, describe=describe)
    assert found[:20].unique().numel() == found[20:].unique().numel() == 1 and found[0] != found[20]
    assert cluster_images(images, 40, 2)[:20].unique().numel() == 2
    others = changing.flip(0)[:30]
    assert torch.equal(nearest_clusters([others], images, found, describe=describe), found.flip(0)[:30])
