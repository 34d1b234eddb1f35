from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from gan_lightning.data import loader
from gan_lightning.data.distributions import Gaussian
from gan_lightning.data.file_loaders import DiskLoader
from gan_lightning.data.loader import (
    DeterministicSampler,
    InMemoryLoader,
    StreamLoader,
    per_device_batch_size,
)
from gan_lightning.data.pixels import normalize


def test_pixels_map_onto_minus_one_to_one():
    pixels = torch.arange(256, dtype=torch.uint8)
    values = normalize(pixels)
    assert values.dtype == torch.float32
    assert values[0] == -1 and values[255] == 1
    assert np.allclose(values.numpy(), np.linspace(-1, 1, 256), rtol=0, atol=2e-7)
    assert torch.equal(((values + 1) * 127.5).round().to(torch.uint8), pixels)


@pytest.mark.parametrize(("size", "batch_size"), [(10, 5), (10, 4), (7, 3), (3, 8), (1, 4)])
def test_each_epoch_is_a_permutation_whatever_the_batch(size, batch_size):
    order = DeterministicSampler(size, batch_size, seed=0)
    stream = torch.cat([order.indices(step) for step in range(5 * size)])
    epochs = stream[: len(stream) // size * size].view(-1, size)
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(size).expand_as(epochs))
    if size > 3:
        assert len(epochs.unique(dim=0)) > 1


@pytest.mark.parametrize("world_size", [2, 4, 8])
@pytest.mark.parametrize("size", [100, 11, 3])
def test_ranks_together_take_the_batch_of_one_device(size, world_size):
    alone = DeterministicSampler(size, 8, seed=3)
    ranks = [DeterministicSampler(size, 8, seed=3, rank=rank, world_size=world_size) for rank in range(world_size)]
    for step in range(20):
        assert torch.equal(torch.cat([rank.indices(step) for rank in ranks]), alone.indices(step))


def test_the_order_is_a_function_of_seed_and_step():
    forward = [rows.clone() for rows in map(DeterministicSampler(50, 8, seed=1).indices, range(30))]
    again = DeterministicSampler(50, 8, seed=1)
    for step in (29, 0, 17, 6, 7, 5):  # 6 straddles two epochs
        assert torch.equal(again.indices(step), forward[step])
    assert not torch.equal(DeterministicSampler(50, 8, seed=2).indices(0), forward[0])


@pytest.mark.parametrize("world_size", [3, 5, 100])
def test_a_batch_that_cannot_be_shared_names_one_that_can(world_size):
    with pytest.raises(ValueError, match=r"data.batch_size=64 .* such as data.batch_size=(\d+)") as error:
        DeterministicSampler(100, 64, seed=0, world_size=world_size)
    suggested = int(str(error.value).rsplit("=", 1)[1])
    assert per_device_batch_size(suggested, world_size) * world_size == suggested > 0


def test_data_without_samples_is_refused():
    with pytest.raises(ValueError, match="number of samples"):
        DeterministicSampler(0, 4, seed=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_in_memory_are_the_rows_of_the_order(channels):
    images = torch.randint(0, 256, (20, channels, 6, 5), dtype=torch.uint8)
    labels = torch.arange(20)
    order = DeterministicSampler(20, 8, seed=0)
    for step, (real, classes) in enumerate(islice(InMemoryLoader(images, labels, order, "cpu"), 7)):
        assert classes is not None and torch.equal(classes, order.indices(step))
        expected = images[classes].double() / 127.5 - 1
        assert real.dtype == torch.float32 and real.shape == (8, channels, 6, 5)
        assert torch.allclose(real.double(), expected, rtol=0, atol=2e-7)
        assert real.is_contiguous(memory_format=torch.channels_last)


def test_rows_of_float_stay_as_they_are():
    rows = torch.randn(9, 2) * 5
    order = DeterministicSampler(9, 3, seed=0)
    real, labels = next(iter(InMemoryLoader(rows, None, order, "cpu")))
    assert labels is None
    assert torch.equal(real, rows[order.indices(0)])


def test_writing_to_a_batch_does_not_change_the_data():
    images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    batches = iter(InMemoryLoader(images, None, DeterministicSampler(4, 4, seed=0), "cpu"))
    next(batches)[0].fill_(9)
    assert (next(batches)[0] == -1).all()


def loaders(kind, first_step=lambda: 0, rank=0, world_size=1):
    if kind == "stream":
        return StreamLoader(Gaussian(0, 1), 6, 0, "cpu", rank, world_size, first_step)
    order = DeterministicSampler(20, 6, 0, rank, world_size)
    images, labels = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(20, 3, 2, 2), torch.arange(20)
    if kind == "memory":
        return InMemoryLoader(images, labels, order, "cpu", first_step)
    return DiskLoader(TensorDataset(images, labels), True, order, "cpu", num_workers=0, first_step=first_step)


@pytest.mark.parametrize("kind", ["memory", "stream", "disk"])
def test_every_loader_resumes_where_a_run_was_stopped(kind, monkeypatch):
    monkeypatch.setattr(loader, "BATCHES_PER_BLOCK", 4)
    whole = [real for real, _ in islice(loaders(kind), 14)]
    step = 0
    resumed = loaders(kind, lambda: step)
    for step in (5, 4, 11):  # noqa: B007 - read by the loader, anew at each iteration
        for (real, _), expected in zip(islice(resumed, 3), whole[step:], strict=False):
            assert torch.equal(real, expected)


@pytest.mark.parametrize("kind", ["memory", "stream", "disk"])
@pytest.mark.parametrize("world_size", [2, 3])
def test_every_loader_shares_the_batch_among_ranks(kind, world_size):
    ranks = [loaders(kind, rank=rank, world_size=world_size) for rank in range(world_size)]
    for alone, *parts in islice(zip(loaders(kind), *ranks, strict=True), 5):
        assert torch.equal(torch.cat([real for real, _ in parts]), alone[0])


def test_the_disk_gives_what_memory_gives_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    for (a, x), (b, y) in islice(zip(loaders("disk"), loaders("memory"), strict=True), 8):
        assert torch.equal(a, b) and torch.equal(x, y)
        assert a.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_read_ahead_in_the_same_order():
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1)
    data = TensorDataset(images, torch.arange(20))
    order = DeterministicSampler(20, 6, seed=0)
    read = [labels for _, labels in islice(DiskLoader(data, True, order, "cpu", num_workers=2), 9)]
    assert [labels.tolist() for labels in read if labels is not None] == [order.indices(t).tolist() for t in range(9)]


def test_unlabelled_data_on_disk_has_no_labels():
    data = TensorDataset(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4))
    assert next(iter(DiskLoader(data, False, DeterministicSampler(4, 2, 0), "cpu", num_workers=0)))[1] is None


def test_a_stream_is_fresh_each_step_and_may_require_gradient():
    steps = [real for real, _ in islice(StreamLoader(Gaussian(0, 1), 5, 0, "cpu"), 600)]
    assert len(torch.cat(steps).unique()) == 3000
    assert steps[0].requires_grad_().is_leaf
