from __future__ import annotations

import hashlib
import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
import torchvision
from hydra.utils import instantiate

from gan_lightning.data.pixels import normalize


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below `folder`, with its time and size."""
    return {str(path): (os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("below", [".", "raw", "{name}/raw"])
@pytest.mark.parametrize(("data", "name"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files_are_read_as_they_lie(tmp_path, write_mnist, settings, data, name, below, suffix):
    written = write_mnist(tmp_path / below.format(name=name), suffix)
    before = listing(tmp_path)
    source = instantiate(settings(data, root=str(tmp_path), download=suffix == "", batch_size=40))
    source.prepare_data()
    source.setup("fit")
    real, labels = next(iter(source.train_dataloader()))
    pixels, classes = written["train-images-idx3-ubyte"], written["train-labels-idx1-ubyte"]
    rows = [
        np.flatnonzero((pixels == image).all(axis=(1, 2)))[0] for image in ((real[:, 0] + 1) * 127.5).round().numpy()
    ]
    assert sorted(rows) == list(range(40))
    assert labels.tolist() == classes[rows].tolist()
    reference = torch.cat(list(source.reference_batches("cpu", batch_size=3)))
    assert np.array_equal(((reference[:, 0] + 1) * 127.5).round().numpy(), written["t10k-images-idx3-ubyte"])
    assert listing(tmp_path) == before


def test_a_training_reference(tmp_path, write_mnist, settings):
    written = write_mnist(tmp_path)
    source = instantiate(settings("mnist", root=str(tmp_path), reference="train"))
    reference = torch.cat(list(source.reference_batches("cpu")))
    assert source.reference_size == 40
    assert np.array_equal(((reference[:, 0] + 1) * 127.5).round().numpy(), written["train-images-idx3-ubyte"])


@pytest.mark.parametrize("data", ["mnist", "fashion_mnist"])
def test_missing_files_are_named_with_the_way_out(tmp_path, settings, data):
    source = instantiate(settings(data, root=str(tmp_path), download=False))
    source.prepare_data()
    with pytest.raises(FileNotFoundError, match=f"data.root={tmp_path} does not hold .* data.download=true"):
        source.setup("fit")
    assert not list(tmp_path.iterdir())


def test_a_truncated_file_and_a_mixed_up_one_are_refused(tmp_path, write_mnist, settings):
    write_mnist(tmp_path, ".gz")
    images = tmp_path / "train-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    images.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is a truncated or damaged"):
        instantiate(settings("mnist", root=str(tmp_path))).setup("fit")
    images.write_bytes((tmp_path / "t10k-images-idx3-ubyte.gz").read_bytes())
    with pytest.raises(ValueError, match="do not belong together"):
        instantiate(settings("mnist", root=str(tmp_path))).setup("fit")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(tmp_path, write_mnist, monkeypatch):
    """A server of MNIST's four files, whose checksums torchvision is made to expect."""
    folder = tmp_path / "mirror"
    written = write_mnist(folder, ".gz")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    sums = [(f"{name}.gz", hashlib.md5((folder / f"{name}.gz").read_bytes()).hexdigest()) for name in written]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", sums)
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_missing_files_are_downloaded_once(tmp_path, mirror, settings):
    root = tmp_path / "cache" / "of" / "mine"
    source = instantiate(settings("mnist", root=str(root)))
    assert not root.exists()  # nothing happens before the data are read
    source.prepare_data()
    assert {path.name for path in root.iterdir()} == {"MNIST"}
    before = listing(root)
    for file in mirror.iterdir():
        file.unlink()
    again = instantiate(settings("mnist", root=str(root)))
    again.prepare_data()
    assert again.reference_size == 10
    assert listing(root) == before


def test_a_download_that_breaks_off_leaves_nothing(tmp_path, mirror, settings):
    last = mirror / "t10k-labels-idx1-ubyte.gz"
    last.write_bytes(last.read_bytes()[:10])
    source = instantiate(settings("mnist", root=str(tmp_path / "cache")))
    with pytest.raises(FileNotFoundError, match=r"MNIST could not be downloaded to data.root=.*data=mnist10k") as error:
        source.prepare_data()
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("data", ["mnist", "fashion_mnist"])
def test_no_network_is_one_sentence(tmp_path, monkeypatch, settings, data):
    for dataset in (torchvision.datasets.MNIST, torchvision.datasets.FashionMNIST):
        monkeypatch.setattr(dataset, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(FileNotFoundError, match="set data.root to a folder that holds it") as error:
        instantiate(settings(data, root=str(tmp_path))).prepare_data()
    assert "\n" not in str(error.value)


def test_the_embedded_digits(settings):
    source = instantiate(settings("mnist10k"))
    source.prepare_data()
    source.setup("fit")
    assert source.reference_size == 9000
    train, test = (source.read(train) for train in (True, False))
    assert train.pixels.shape == (9000, 1, 28, 28) and test.pixels.shape == (1000, 1, 28, 28)
    # The class counts of the first 10 000 training digits of MNIST.
    counts = torch.bincount(torch.cat([train.labels, test.labels]))
    assert counts.tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    both = torch.cat([train.pixels, test.pixels]).flatten(1)
    assert len({image.tobytes() for image in both.numpy()}) == 10_000
    assert (both.amax(dim=1) > 200).all()


def test_the_embedded_digits_train_in_another_order_with_another_seed(settings):
    first = [next(iter(instantiate(settings("mnist10k", seed=seed)).train_dataloader()))[0] for seed in (0, 0, 1)]
    assert torch.equal(first[0], first[1]) and not torch.equal(first[0], first[2])


def test_some_classes_only(settings):
    source = instantiate(settings("mnist10k", classes=[7, 2]))
    whole = source.read(train=True).labels
    assert source.reference_size == int(((whole == 2) | (whole == 7)).sum())
    labels = torch.cat([labels for _, labels in islice(source.train_dataloader(), 5)])
    assert set(labels.tolist()) == {2, 7}


def test_examples_of_wanted_classes_are_images_of_these_and_differ(settings):
    source = instantiate(settings("mnist10k", classes=[7, 2]))
    pixels, labels = source.split(train=True, device="cpu")
    wanted = torch.tensor([7, 7, 2, 7])
    rows = source.example_rows(len(pixels), 4, labels, wanted)
    assert labels[rows].tolist() == wanted.tolist()
    assert len(set(rows.tolist())) == 4
    assert torch.equal(source.examples(4, "cpu", wanted), normalize(pixels[rows]))


def test_a_wanted_class_without_samples_leaves_the_plain_draw(settings):
    source = instantiate(settings("mnist10k", classes=[7, 2]))
    assert torch.equal(source.examples(3, "cpu", torch.tensor([7, 3, 2])), source.examples(3, "cpu"))


def test_examples_of_clusters_are_images_of_these(settings):
    source = instantiate(settings("mnist10k", classes=[7, 2], clusters=4, num_classes=4, reference="test"))
    pixels, clusters = source.split(train=False, device="cpu")
    rows = source.example_rows(len(pixels), 3, clusters, torch.tensor([1, 3, 1]))
    assert clusters[rows].tolist() == [1, 3, 1]
    assert torch.equal(source.examples(3, "cpu", torch.tensor([1, 3, 1])), normalize(pixels[rows]))
