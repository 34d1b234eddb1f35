from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra.utils import instantiate
from lightning import LightningModule, Trainer
from torch import nn
from torchvision.transforms.v2.functional import resize

from gan_lightning.data.base import rank_slice

CONF = Path(__file__).parents[2] / "conf" / "data"
SOURCES = ["mnist10k", "mnist", "fashion_mnist", "cifar10", "image_folder", "gaussian", "ring", "grid"]
SOURCES.append("stacked_mnist")


@pytest.fixture
def make(tmp_path, settings, write_mnist, write_cifar10, write_images):
    """The source of `conf/data/<name>.yaml` over small files in its format."""

    def made(name, **changes):
        root = tmp_path / name
        if not root.exists():
            if name in ("mnist", "fashion_mnist"):
                write_mnist(root)
            elif name == "cifar10":
                write_cifar10(root)
            elif name == "image_folder":
                write_images(root, "a")
        if settings(name).get("root") is not None or name == "image_folder":
            changes["root"] = str(root)
        if name == "image_folder":
            changes |= {"num_workers": 0, "image_size": 64}
        if name == "stacked_mnist":
            changes = {"train_size": 90, "test_size": 30} | changes
        return instantiate(settings(name, **changes))

    return made


def attach(source, steps=0, rank=0, world_size=1):
    """Stand in for a trainer."""
    source.trainer = SimpleNamespace(
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        global_rank=rank,
        world_size=world_size,
        lightning_module=SimpleNamespace(discriminator_updates=steps),
    )
    return source


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_keeps_its_word(make, settings, name):
    facts, source = settings(name), make(name)
    source.prepare_data()
    source.setup("fit")
    assert list(source.shape) == facts["shape"]
    for real, labels in islice(source.train_dataloader(), 3):
        assert real.shape == (facts["batch_size"], *facts["shape"])
        assert real.dtype == torch.float32 and real.isfinite().all()
        if facts["value_range"] is not None:
            assert facts["value_range"][0] <= real.min() < real.max() <= facts["value_range"][1]
        if facts["num_classes"] is None:
            assert labels is None
        else:
            assert labels.dtype == torch.int64 and labels.shape == (facts["batch_size"],)
            assert labels.min() >= 0 and labels.max() < facts["num_classes"]
    reference = list(source.reference_batches("cpu"))
    assert all(batch.shape[1:] == source.shape and batch.dtype == torch.float32 for batch in reference)


@pytest.mark.parametrize("name", SOURCES)
def test_the_reference_is_whole_and_in_order_over_any_number_of_ranks(make, name):
    source = make(name)
    alone = torch.cat(list(source.reference_batches("cpu")))
    assert len(alone) == source.reference_size
    for world_size in (2, 3):
        ranks = [source.reference_batches("cpu", rank, world_size, batch_size=7) for rank in range(world_size)]
        assert torch.equal(torch.cat([batch for rank in ranks for batch in rank]), alone)


@pytest.mark.parametrize("name", SOURCES)
def test_ranks_together_train_on_the_batches_of_one_device_from_the_step_reached(make, name):
    whole = [real for real, _ in islice(attach(make(name, batch_size=12)).train_dataloader(), 8)]
    ranks = [
        attach(make(name, batch_size=12), steps=5, rank=rank, world_size=3).train_dataloader() for rank in range(3)
    ]
    for expected, *parts in zip(whole[5:], *ranks, strict=False):
        assert torch.equal(torch.cat([real for real, _ in parts]), expected)


@pytest.mark.parametrize("name", SOURCES)
def test_a_batch_that_cannot_be_shared_is_refused(make, name):
    with pytest.raises(ValueError, match="such as data.batch_size=12"):
        attach(make(name, batch_size=13), world_size=4).train_dataloader()


@pytest.mark.parametrize("name", SOURCES)
def test_the_file_opens_with_what_it_is_and_brings_its_metrics(name):
    text = (CONF / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    assert "override /metrics@_global_.metrics: " in text


class Watcher(LightningModule):
    """Keeps the batches that it is given, and counts steps as a GAN does."""

    def __init__(self, steps):
        super().__init__()
        self.automatic_optimization = False
        self.weight = nn.Parameter(torch.zeros(()))
        self.discriminator_updates, self.batches = steps, []

    def training_step(self, batch, batch_idx):
        self.batches.append(batch)
        self.discriminator_updates += 1

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("name", ["mnist10k", "gaussian", "image_folder"])
@pytest.mark.parametrize("epochs", [1, 2])
def test_through_a_trainer_each_step_gets_its_batch(make, tmp_path, name, epochs):
    source, module = make(name, batch_size=5), Watcher(steps=3)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        limit_train_batches=4,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, datamodule=source)
    expected = islice(make(name, batch_size=5).train_dataloader(), 3, 3 + 4 * epochs)
    assert len(module.batches) == 4 * epochs
    for (real, labels), (wanted, wanted_labels) in zip(module.batches, expected, strict=True):
        assert torch.equal(real, wanted)
        assert labels is None if wanted_labels is None else torch.equal(labels, wanted_labels)


def test_images_are_resized_and_the_shape_follows(make):
    plain, large = make("mnist"), make("mnist", image_size=32)
    assert large.shape == (1, 32, 32)
    images = large.split(train=True, device="cpu").pixels
    assert images.dtype == torch.uint8
    assert torch.equal(images, resize(plain.read(train=True).pixels, [32, 32], antialias=True))
    # Antialiased: a fourfold reduction of noise averages it, where picking pixels would keep its spread.
    small = make("mnist", image_size=7).split(train=True, device="cpu").pixels.float()
    noise = plain.read(train=True).pixels.float()
    assert small.mean().item() == pytest.approx(noise.mean().item(), abs=1)
    assert small.std() < noise.std() / 3


def test_reading_happens_once(make, monkeypatch):
    source = make("mnist", reference="train")
    source.setup("fit")
    monkeypatch.setattr(type(source), "read", lambda self, train: pytest.fail("read again"))
    source.train_dataloader()
    assert source.reference_size == 40


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "data.batch_size must be a whole number of at least 1, not 0"),
        ({"batch_size": "abc"}, "data.batch_size"),
        ({"batch_size": 6.5}, "data.batch_size"),
        ({"seed": -1}, "seed must be"),
        ({"image_size": -28}, "data.shape"),
        ({"image_size": 28.0}, "data.shape"),
        ({"shape": 28}, "data.shape must be a list"),
        ({"num_classes": 0}, "data.num_classes"),
        ({"value_range": [0, 1]}, r"data.value_range must be \[-1, 1\]"),
        ({"classes": 2}, r"data.classes must be a list .* such as data.classes=\[0\]"),
        ({"classes": []}, "data.classes must be a list"),
        ({"classes": ["two"]}, "each class in data.classes"),
        ({"reference": "validation"}, "data.reference must be train or test"),
        ({"download": "maybe"}, "data.download must be true or false"),
    ],
)
def test_impossible_settings_are_refused(make, changes, message):
    with pytest.raises(Exception, match=message) as error:
        make("mnist", **changes)
    assert isinstance(error.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": [2, 12]}, r"data.classes=\[2, 12\] asks for \[12\].*choose from \[0, 1, 2, 3, 4, 5, 6, 7, 8, 9\]"),
        ({"num_classes": 4}, "data.num_classes=4 .* set data.num_classes=10"),
        ({"shape": [3, 28, 28]}, r"data.shape=\[3, 28, 28\] but the images are \[1, 28, 28\]"),
        ({"image_size": None, "shape": [1, 32, 32]}, r"data.shape=\[1, 32, 32\] but the images are \[1, 28, 28\]"),
    ],
)
def test_facts_are_held_against_the_images(make, changes, message):
    with pytest.raises(ValueError, match=message):
        make("mnist", **changes).setup("fit")


def test_shares_cover_everything_once():
    for size in (0, 1, 7, 100):
        for world_size in (1, 2, 3, 8):
            shares = [rank_slice(size, rank, world_size) for rank in range(world_size)]
            assert [row for rows in shares for row in rows] == list(range(size))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
