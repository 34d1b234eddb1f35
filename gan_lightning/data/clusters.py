"""Classes without labels: k-means clusters of images.

Conditioning a GAN on clusters of its data trains as well as conditioning on labels, or better (Liu et al. 2020,
"Diverse Image Generation via Self-Conditioned GANs"; Sage et al. 2018, "Logo Synthesis and Manipulation with Clustered
GANs").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from gan_lightning.utils.checks import check_int

COMPONENTS = 50
"""Principal components of the pixels in which images are clustered."""

MOST_VALUES = 1024
"""Images of more values are averaged to fewer pixels first: principal components of fine detail say little of kinds."""

ITERATIONS = 50

MOST_FITTED = 20_000
"""Images that clusters are found among, where there are more; or `FITTED_EACH` for each cluster, if that is more."""

FITTED_EACH = 20

Batches = Callable[[Tensor], Iterable[Tensor]]
"""Yields the images of rows (count,) in their order, uint8 (up to some, channels, height, width)."""

Describe = Callable[[Tensor], Tensor]
"""Returns vectors (count, values) of float32 that images, uint8 (count, channels, height, width), are clustered by."""


def cluster_images(
    images: Batches, count: int, clusters: int, seed: int = 0, describe: Describe | None = None
) -> Tensor:
    """Return the k-means cluster of each image, (count,) of int64, in the principal components of what describes it.

    Of many images, clusters are found among those of `fitted_rows`, and each other one takes the cluster whose mean is
    nearest. Clusters are numbered from the largest to the smallest. The same images, number and seed give the same
    clusters.

    Args:
        images: yields them.
        count: how many there are.
        clusters: how many, from 1 to the number of images.
        seed: of the first centres, and of the images that clusters are found among.
        describe: gives the vectors; None for the pixels, see `coarse`.

    Raises:
        ValueError: there are fewer images than clusters.
    """
    check_int("data.clusters", clusters)
    if clusters > count:
        raise ValueError(
            f"data.clusters={clusters} is more than the number of images, {count}: choose fewer, about one for a "
            "hundred images, or variant=none"
        )
    describe = describe or coarse
    rows = fitted_rows(count, clusters, seed)
    axes, points = fitted_points(images, rows, describe)
    labels = torch.empty(count, dtype=torch.int64)
    labels[rows] = k_means(points, clusters, seed)
    others = torch.ones(count, dtype=torch.bool).index_fill(0, rows, False).nonzero().squeeze(1)
    if len(others):
        labels[others] = nearest_of(images(others), axes, means_of(points, labels[rows]), describe)
    return labels


def nearest_clusters(
    others: Iterable[Tensor], images: Batches, labels: Tensor, seed: int = 0, describe: Describe | None = None
) -> Tensor:
    """Return the cluster of other images, (count,) of int64: that whose mean is nearest in the principal components.

    Where images are described by features, the means are of `FITTED_EACH` images of each cluster.

    Args:
        others: uint8 images (up to some, channels, height, width).
        images: those that `cluster_images` was given.
        labels: their clusters.
        seed: that of `cluster_images`.
        describe: likewise.
    """
    clusters = int(labels.max()) + 1
    if describe is None:
        rows, describe = fitted_rows(len(labels), clusters, seed), coarse
    else:  # features cost more than pixels, and a few images say where a cluster lies
        rows = torch.cat([(labels == cluster).nonzero().squeeze(1)[:FITTED_EACH] for cluster in range(clusters)])
    axes, points = fitted_points(images, rows, describe)
    return nearest_of(others, axes, means_of(points, labels[rows]), describe)


def fitted_rows(count: int, clusters: int, seed: int) -> Tensor:
    """Return the rows that clusters are found among, in order: all, or a draw of them where there are many."""
    most = max(MOST_FITTED, FITTED_EACH * clusters)
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:most].sort().values


def fitted_points(images: Batches, rows: Tensor, describe: Describe) -> tuple[PrincipalComponents, Tensor]:
    """Return the principal components of the images of `rows`, and these images' coordinates (rows, components)."""
    values = torch.cat([describe(part) for part in images(rows)])
    axes = PrincipalComponents(values, COMPONENTS)
    return axes, axes(values)


def nearest_of(images: Iterable[Tensor], axes: PrincipalComponents, centres: Tensor, describe: Describe) -> Tensor:
    """Return the number of the centre (clusters, components) that is nearest to each image, (count,) of int64."""
    return torch.cat([nearest_centres(axes(describe(part)), centres)[1] for part in images])


def means_of(points: Tensor, labels: Tensor) -> Tensor:
    """Return the mean (clusters, dim) of the points (count, dim) of each label (count,)."""
    counts = torch.bincount(labels)
    return torch.zeros(len(counts), points.shape[1]).index_add_(0, labels, points) / counts[:, None]


def coarse(pixels: Tensor) -> Tensor:
    """Return images as vectors (count, values) of float32, averaged to at most `MOST_VALUES` values."""
    channels, height, width = pixels.shape[1:]
    shrink = (MOST_VALUES / (channels * height * width)) ** 0.5
    size = (height, width) if shrink >= 1 else (max(int(height * shrink), 1), max(int(width * shrink), 1))
    return adaptive_avg_pool2d(pixels.cpu().float(), size).flatten(1)


class PrincipalComponents:
    """The directions in which vectors vary most.

    Args:
        values: the vectors, (count, dim) of float32.
        components: how many directions; no more than dimensions.
    """

    def __init__(self, values: Tensor, components: int) -> None:
        self.mean = values.double().mean(0)
        centred = values.double() - self.mean
        _, directions = torch.linalg.eigh(centred.T @ centred)  # by rising variance
        self.directions = directions[:, -components:].flip(1)

    def __call__(self, values: Tensor) -> Tensor:
        """Return the coordinates of vectors (count, dim) along the directions, (count, components) of float32."""
        return ((values.double() - self.mean) @ self.directions).float()


def k_means(points: Tensor, clusters: int, seed: int = 0, iterations: int = ITERATIONS) -> Tensor:
    """Return the cluster of each of `points` (count, dim), (count,) of int64, by Lloyd's algorithm from k-means++.

    The first centres are drawn as Arthur and Vassilvitskii 2007, "k-means++", do. A cluster that loses all its points
    is moved to the point farthest from its centre. Ends when no point changes its cluster, or after `iterations`.
    """
    centres = first_centres(points, clusters, torch.Generator().manual_seed(seed))
    assigned = torch.full((len(points),), -1)
    for _ in range(iterations):
        distances, nearest = nearest_centres(points, centres)
        counts = torch.bincount(nearest, minlength=clusters)
        for empty in (counts == 0).nonzero().flatten().tolist():
            farthest = int(distances.argmax())
            nearest[farthest], distances[farthest] = empty, -1  # not to be moved again
        if torch.equal(nearest, assigned):
            break
        assigned = nearest
        sums = torch.zeros_like(centres).index_add_(0, assigned, points)
        centres = sums / torch.bincount(assigned, minlength=clusters).clamp(min=1)[:, None]
    order = torch.bincount(assigned, minlength=clusters).argsort(descending=True, stable=True)
    return order.argsort()[assigned]


def first_centres(points: Tensor, clusters: int, rng: torch.Generator) -> Tensor:
    """Return `clusters` of the points, each drawn in proportion to its squared distance from those before it."""
    centres = points[torch.randint(len(points), (1,), generator=rng)]
    distances = (points - centres).square().sum(1)
    for _ in range(clusters - 1):
        total = distances.double().cumsum(0)
        chosen = int(torch.searchsorted(total, torch.rand((), generator=rng, dtype=torch.float64) * total[-1]))
        centre = points[min(chosen, len(points) - 1)][None]
        centres = torch.cat([centres, centre])
        distances = torch.minimum(distances, (points - centre).square().sum(1))
    return centres


def nearest_centres(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared distance (count,) of each point from its nearest centre, and which that is, (count,)."""
    found = [squared_distances(part, centres).min(1) for part in points.split(4096)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def squared_distances(points: Tensor, centres: Tensor) -> Tensor:
    """Return the squared distances (count, clusters), by |p|² - 2 p·c + |c|²."""
    inner = points @ centres.T
    return (points.square().sum(1)[:, None] - 2 * inner + centres.square().sum(1)[None]).clamp(min=0)
