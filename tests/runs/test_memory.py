from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from helpers.compose import composed
from helpers.run_script import run_script
from hydra.utils import instantiate

from gan_lightning.runs import memory
from gan_lightning.runs.memory import available_bytes, refuse_large_networks, samples_and_memory
from gan_lightning.utils.errors import UserError


def free(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: count)


def test_free_memory_is_some_of_what_the_machine_has():
    assert 0 < available_bytes() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_networks_need_weights_gradients_and_the_average(monkeypatch: pytest.MonkeyPatch):
    with composed("experiment=ring") as config:
        generator, discriminator = (instantiate(config.gan[name]) for name in ("generator", "discriminator"))
        count = [sum(weight.numel() for weight in network.parameters()) for network in (generator, discriminator)]
        need = 4 * (3 * count[0] + 2 * count[1])  # float32
        free(monkeypatch, need)
        refuse_large_networks(config)
        free(monkeypatch, need - 1)
        with pytest.raises(UserError, match="the networks with their gradients and average need at least"):
            refuse_large_networks(config)


@pytest.mark.parametrize("width", [10**7, 4 * 10**9])  # the second has more elements than an int64 counts bytes
def test_networks_beyond_any_machine_are_refused(width: int, monkeypatch: pytest.MonkeyPatch):
    free(monkeypatch, 2.0**40)
    with (
        composed("experiment=ring", f"model.generator.width={width}") as config,
        pytest.raises(UserError, match="choose a smaller model"),
    ):
        refuse_large_networks(config)


def test_samples_need_their_numbers_and_their_latents(monkeypatch: pytest.MonkeyPatch):
    """Points of the plane from latents of 2: four float32 a sample."""
    with composed("experiment=ring", "data.batch_size=100", "callbacks.density.count=99") as config:
        free(monkeypatch, 100 * 4 * 4)
        assert not list(samples_and_memory(config))
        free(monkeypatch, 100 * 4 * 4 - 1)
        assert [problem.split(" ")[0] for problem in samples_and_memory(config)] == ["data.batch_size=100"]


def test_where_the_system_does_not_tell_nothing_is_refused(monkeypatch: pytest.MonkeyPatch):
    free(monkeypatch, math.inf)
    with composed("experiment=ring", "data.batch_size=1000000000000") as config:
        assert not list(samples_and_memory(config))


def test_it_is_said_before_a_directory_is_made(tmp_path: Path):
    arguments = ("experiment=ring", "model.generator.width=1000000000", "hydra.run.dir=run")
    done = run_script(tmp_path, "train.py", *arguments)
    assert done.returncode == 2 and "GiB are free here" in done.stderr and len(done.stderr.splitlines()) == 2
    assert not (tmp_path / "run").exists()
