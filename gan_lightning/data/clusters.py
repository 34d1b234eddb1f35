"""Classes without labels: k-means clusters of images.

Conditioning a GAN on clusters of its data trains as well as conditioning on labels, or better (Liu et al. 2020,
"Diverse Image Generation via Self-Conditioned GANs"; Sage et al. 2018, "Logo Synthesis and Manipulation with Clustered
GANs").
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from gan_lightning.utils.checks import check_int

COMPONENTS = 50
"""Principal components of the pixels in which images are clustered."""

MOST_VALUES = 1024
"""Images of more values are averaged to fewer pixels first: principal components of fine detail say little of kinds."""

ITERATIONS = 50


def cluster_images(pixels: Tensor, clusters: int, seed: int = 0) -> Tensor:
    """Return the k-means cluster of each image, (count,) of int64, in the principal components of its pixels.

    Clusters are numbered from the largest to the smallest. The same images, number and seed give the same clusters.

    Args:
        pixels: uint8 (count, channels, height, width).
        clusters: how many, from 1 to the number of images.
        seed: of the first centres.

    Raises:
        ValueError: there are fewer images than clusters.
    """
    check_int("data.clusters", clusters)
    if clusters > len(pixels):
        raise ValueError(
            f"data.clusters={clusters} is more than the {len(pixels)} images: choose at most {len(pixels)}, or about "
            f"{max(len(pixels) // 100, 1)}, which is 100 images each"
        )
    values = coarse(pixels)
    return k_means(principal_components(values, values, COMPONENTS), clusters, seed)


def nearest_clusters(pixels: Tensor, clustered: Tensor, labels: Tensor) -> Tensor:
    """Return the cluster of other images, (count,) of int64: that whose mean is nearest in the principal components.

    Args:
        pixels: uint8 (count, channels, height, width).
        clustered: the images that `cluster_images` was given.
        labels: their clusters.
    """
    values = coarse(clustered)
    points = principal_components(values, values, COMPONENTS)
    counts = torch.bincount(labels.cpu())
    centres = torch.zeros(len(counts), points.shape[1]).index_add_(0, labels.cpu(), points) / counts[:, None]
    return nearest_centres(principal_components(coarse(pixels), values, COMPONENTS), centres)[1]


def coarse(pixels: Tensor) -> Tensor:
    """Return images as vectors (count, values) of float32, averaged to at most `MOST_VALUES` values."""
    channels, height, width = pixels.shape[1:]
    shrink = (MOST_VALUES / (channels * height * width)) ** 0.5
    size = (height, width) if shrink >= 1 else (max(int(height * shrink), 1), max(int(width * shrink), 1))
    parts = [adaptive_avg_pool2d(part.float(), size).flatten(1) for part in pixels.cpu().split(1000)]
    return torch.cat(parts)


def principal_components(values: Tensor, fitted: Tensor, components: int) -> Tensor:
    """Return the coordinates of vectors (count, dim) along the directions in which `fitted` (others, dim) vary most.

    Returns:
        (count, components) of float32; no more components than dimensions.
    """
    mean = fitted.double().mean(0)
    centred = fitted.double() - mean
    _, directions = torch.linalg.eigh(centred.T @ centred)  # by rising variance
    return ((values.double() - mean) @ directions[:, -components:].flip(1)).float()


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
