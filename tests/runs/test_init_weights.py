"""New runs that start from trained weights."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.compose import composed, job_part
from helpers.run_script import TINY, Command
from hydra.utils import instantiate
from PIL import Image
from torch import Tensor, nn

import gan_lightning as gl
from gan_lightning.game import discriminate
from gan_lightning.runs.init_networks import source_of
from gan_lightning.runs.init_weights import freeze_layers, take_weights
from gan_lightning.runs.overrides import expand_resume_overrides
from gan_lightning.utils.errors import UserError

SETTINGS = (*TINY, "callbacks.density=null", "logger=csv", "max_iterations=3", "checkpoint_every=1")
STILL = ("optimizer.lr=1e-30", "optimizer.generator.lr=1e-30", "optimizer.discriminator.lr=1e-30")
NETWORKS = ("generator.", "discriminator.", "averaged_generator.")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with wider networks than usual."""
    wide = ("model.generator.width=24", "model.discriminator.width=20", "prior.dim=3")
    return gl.train([*SETTINGS, *wide], tmp_path_factory.mktemp("runs") / "source").directory


def last(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def weights(run: Path) -> dict[str, Tensor]:
    return {name: weight for name, weight in last(run)["state_dict"].items() if name.startswith(NETWORKS)}


def still(*changes: str) -> tuple[str, ...]:
    """Settings of a new run in which no weight moves."""
    return (
        *SETTINGS,
        *STILL,
        "ema.half_life_images=1e9",
        "max_iterations=1",
        *changes,
    )


def test_a_new_run_starts_with_the_weights_of_both_players_and_of_the_average(source: Path, tmp_path: Path):
    run = gl.train([*still("data.batch_size=32", "loss=lsgan", "seed=5"), f"init_from={source}"], tmp_path / "new")
    assert run.config.model.generator.width == 24 and run.config.prior.dim == 3
    assert run.config.loss.objectives.adversarial._target_.endswith("LeastSquares")
    found, expected = weights(tmp_path / "new"), weights(source)
    assert list(found) == list(expected)
    moved = {name for name in found if not torch.equal(found[name], expected[name])}
    assert moved <= {name for name in found if name.startswith("averaged_generator.")}
    for name in found:  # after one step of the average towards the generator
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-6)
    assert any(not torch.equal(expected[name], expected[f"averaged_{name}"]) for name in expected if name[0] == "g")
    assert run.result["iterations"] == 1 and last(tmp_path / "new")["game"]["images"] == 32
    assert run.result["best"]["iteration"] == 1  # not that of the source


def test_a_run_of_trained_weights_is_resumed_bit_for_bit(source: Path, tmp_path: Path):
    typed = (*SETTINGS, f"init_from={source}", "freeze_discriminator=1", "optimizer.lr=0.01")
    gl.train([*typed, "max_iterations=2"], tmp_path / "pieces")
    gl.train([f"ckpt_path={tmp_path / 'pieces'}", "max_iterations=4"])
    gl.train([*typed, "max_iterations=4"], tmp_path / "whole")
    found, expected = weights(tmp_path / "pieces"), weights(tmp_path / "whole")
    for name, weight in expected.items():
        assert torch.equal(found[name], weight), name
    first = "discriminator.hidden.2."
    frozen = [name for name in expected if name.startswith(first)]
    assert frozen
    for name, weight in weights(source).items():
        assert torch.equal(found[name], weight) == (name in frozen), name


def test_a_checkpoint_file_with_other_settings_starts_a_new_run_from_its_weights(source: Path, tmp_path: Path):
    file = source / "checkpoints" / "last.ckpt"
    changed = (*STILL, "regularizer=[r1]", "max_iterations=1")
    run = gl.train([f"ckpt_path={file}", *changed], tmp_path / "new")
    assert (run.config.init_from, run.config.ckpt_path) == (str(file), None)
    assert (run.result["iterations"], run.config.metrics.num_fakes) == (1, 200)
    assert "r1" in run.config.loss.objectives
    found = weights(tmp_path / "new")
    for name, weight in weights(source).items():
        assert name.startswith("averaged_") or torch.equal(found[name], weight)
    same = gl.train([f"ckpt_path={file}", "max_iterations=4"], tmp_path / "same")  # nothing differs: the same game
    assert same.config.init_from is None and same.result["iterations"] == 4


def test_other_shapes_are_listed_in_one_message_and_may_begin_afresh(source: Path, tmp_path: Path):
    typed = [*still("model.discriminator.width=16"), f"init_from={source}"]
    with pytest.raises(UserError) as error:
        gl.train(typed, tmp_path / "new")
    (problem,) = error.value.problems
    assert "discriminator.score.weight was [1, 20] and is now [1, 16]" in problem and "generator" not in problem
    (fresh,) = re.findall(r"'(init_fresh=\[.*\])'", problem)
    run = gl.train([*typed, fresh], tmp_path / "new")
    found, expected = weights(run.directory), weights(source)
    assert found["discriminator.score.weight"].shape == (1, 16)
    for name in (name for name in found if name.startswith("generator.")):
        assert torch.equal(found[name], expected[name])


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("freeze_discriminator=1", "add init_from=<run>"),
        ("init_from=/none", "init_from=/none holds no checkpoint"),
        ("init_from=3", "init_from=3 holds no checkpoint"),
    ],
)
def test_what_cannot_start_is_refused(typed: str, words: str, tmp_path: Path):
    with pytest.raises(UserError, match=re.escape(words)):
        gl.train([*SETTINGS, typed], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_sweep_starts_from_each_of_its_runs(source: Path, tmp_path: Path, command: Command):
    narrow = gl.train([*SETTINGS, "model.generator.width=6"], tmp_path / "narrow, run").directory
    sweep = ("-m", f"init_from={source},'{narrow}'", *still(), "hydra.sweep.dir=sweep")
    done = command("train.py", *sweep)
    assert done.returncode == 0, done.stderr
    jobs = [path.parent for path in (tmp_path / "sweep").glob("*/checkpoints")]
    assert [job.name.startswith("init_from=") for job in jobs] == [True, True]
    for run in (source, narrow):
        expected = weights(run)["generator.hidden.1.0.weight"]
        assert sum(torch.equal(weights(job)["generator.hidden.1.0.weight"], expected) for job in jobs) == 1


def test_runs_of_other_networks_are_no_sweep(source: Path, tmp_path: Path):
    other = gl.train([*SETTINGS, "variant=pacgan"], tmp_path / "packed").directory
    with pytest.raises(UserError, match=r"packed and .*source have other networks \(variant=none, variant=pacgan\)"):
        expand_resume_overrides(["-m", f"init_from={source},{other}"])
    assert expand_resume_overrides(["-m", f"init_from={source},{other}", "variant=none", "model=mlp", "prior=gaussian"])


@pytest.mark.slow
def test_on_two_ranks_a_new_run_starts_with_the_same_weights(source: Path, tmp_path: Path, command: Command):
    for devices in (1, 2):
        typed = (*SETTINGS, f"init_from={source}", f"trainer.devices={devices}", f"hydra.run.dir=ranks{devices}")
        done = command("train.py", *typed)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("starts from the weights of") == 1
    one, two, before = (weights(run) for run in (tmp_path / "ranks1", tmp_path / "ranks2", source))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-5, msg=name)
        assert not torch.equal(weight, before[name]) or "num_batches" in name


def test_as_many_layers_as_there_are_cannot_be_frozen(source: Path, tmp_path: Path):
    with pytest.raises(UserError, match="and it has 3: choose 2 or fewer"):
        gl.train([*SETTINGS, f"init_from={source}", "freeze_discriminator=3"], tmp_path / "new")


def test_a_resumed_run_needs_its_source_no_more(tmp_path: Path):
    gl.train(SETTINGS, tmp_path / "source")
    gl.train([*SETTINGS, f"init_from={tmp_path / 'source'}"], tmp_path / "new")
    (tmp_path / "source").rename(tmp_path / "elsewhere")
    assert gl.train([f"ckpt_path={tmp_path / 'new'}", "max_iterations=4"]).result["iterations"] == 4


@pytest.fixture
def address(source: Path) -> Iterator[str]:
    """Of a server that has the source's checkpoints."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(source / "checkpoints"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_weights_are_downloaded_whole_and_once(
    address: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GAN_LIGHTNING_CACHE", str(tmp_path / "cache"))
    file = source_of(f"{address}/last.ckpt")
    assert file.read_bytes() == (source / "checkpoints" / "last.ckpt").read_bytes()
    assert file.is_relative_to(tmp_path / "cache") and source_of(f"{address}/last.ckpt") == file
    for content in (b"", file.read_bytes()[:-9], file.read_bytes()[:5000] + b"x" + file.read_bytes()[5001:]):
        file.write_bytes(content)  # damaged since
        whole = source_of(f"{address}/last.ckpt")
        assert whole.read_bytes() == (source / "checkpoints" / "last.ckpt").read_bytes()
    for wrong, words in (("nothing.ckpt", "404"), ("", "is not a checkpoint")):
        with pytest.raises(UserError, match=words):
            source_of(f"{address}/{wrong}")
    assert len([*(tmp_path / "cache").rglob("*")]) == 2  # a folder and the file


GAMES = [
    ("dcgan", (), 2),
    ("dcgan", ("model.discriminator.spectral_norm=true", "loss.discriminator_norm=none", "wrapper=[diffaugment]"), 2),
    ("resnet", ("variant=projection",), 3),  # a block, whose shortcut is computed first
    ("sagan", (), 3),
    ("r3gan", (), 2),
    ("biggan", (), 3),
    ("mlp", (), 2),
    ("cs231n", (), 2),
]


def discriminator_of(model: str, settings: tuple[str, ...]) -> nn.Module:
    narrow = ("model.generator.width=8", "model.discriminator.width=8") if model != "cs231n" else ()
    with composed(f"model={model}", "data=mnist10k", *narrow, *settings) as config:
        network: nn.Module = instantiate(job_part(config).gan.discriminator, _convert_="all")
    return network


@pytest.mark.parametrize(("model", "settings", "count"), GAMES)
def test_the_layers_that_see_the_image_first_get_no_gradient(model: str, settings: tuple[str, ...], count: int):
    discriminator = discriminator_of(model, settings)
    order: list[nn.Module] = []
    layers = [part for part in discriminator.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    for part in layers:
        part.register_forward_hook(lambda layer, *_: order.append(layer) if layer not in order else None)
    freeze_layers(discriminator, count)
    images = torch.randn(4, 1, 28, 28, requires_grad=True)
    discriminate(discriminator, images, torch.arange(4)).logits.square().sum().backward()
    assert len(order) == len(layers)
    for place, layer in enumerate(order):
        assert {weight.grad is not None for weight in layer.parameters()} == {place >= count}
    assert images.grad is not None and images.grad.abs().sum() > 0  # the generator's gradient passes through


def test_two_discriminators_have_no_first_layers():
    with composed("variant=cyclegan", "model.discriminator.width=4") as config:
        discriminator = instantiate(job_part(config).gan.discriminator, _convert_="all")
    with pytest.raises(UserError, match="model=cyclegan has two"):
        freeze_layers(discriminator, 1)


def test_wrappers_come_and_go_and_their_state_begins_anew():
    def gan(*settings: str) -> Any:
        with composed("model=dcgan", "model.generator.width=4", "model.discriminator.width=4", *settings) as config:
            return instantiate(job_part(config).gan, _convert_="all")

    plain, augmented = gan("seed=1"), gan("variant=ada", "wrappers.ada.p=0.5")
    score = "discriminator.network.score.1.weight"
    assert take_weights(augmented, plain.state_dict(), [], Path("a.ckpt")) == []
    assert torch.equal(augmented.state_dict()[score], plain.discriminator.score[1].weight)
    other = gan("variant=ada", "wrappers.ada.p=0.2")
    take_weights(other, augmented.state_dict(), [], Path("a.ckpt"))
    assert other.discriminator.p == pytest.approx(0.2) and torch.equal(
        other.discriminator.network.score[1].weight, plain.discriminator.score[1].weight
    )
    take_weights(gan(), augmented.state_dict(), [], Path("a.ckpt"))
    with pytest.raises(UserError, match=r"discriminator.embed.weight was not there and is now \[10, "):
        take_weights(gan("variant=projection"), plain.state_dict(), ["generator.*"], Path("a.ckpt"))


def test_a_folder_that_gained_images_is_told_on_resuming_and_may_start_a_new_run(tmp_path: Path):
    rng = np.random.default_rng(0)

    def add(*names: str) -> None:
        for name in names:
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"{name}.png")

    (tmp_path / "photos").mkdir()
    add("a", "b", "c", "d")
    narrow = ("model.generator.width=4", "model.discriminator.width=4", "data.num_workers=0", "data.batch_size=2")
    settings = (*narrow, "metrics=none", "logger=csv", "max_iterations=1", "trainer.accelerator=cpu", "variant=none")
    data = f"data={tmp_path / 'photos'}"
    gl.train([data, *settings], tmp_path / "run")
    add("e")
    with pytest.raises(UserError, match="had 4 images to train on .* and has 5 now.*init_from"):
        gl.train([f"ckpt_path={tmp_path / 'run'}", "max_iterations=2"])
    run = gl.train([data, *settings, f"init_from={tmp_path / 'run'}"], tmp_path / "new")
    assert run.config.data.train_size == 5 and run.result["iterations"] == 1
