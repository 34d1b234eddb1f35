from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from hydra.utils import instantiate


def test_planes_come_out_as_channels(tmp_path, write_cifar10, settings):
    rows = write_cifar10(tmp_path)
    source = instantiate(settings("cifar10", root=str(tmp_path), download=False))
    reference = torch.cat(list(source.reference_batches("cpu", batch_size=7)))
    # A row of the file is 1024 red values, then green, then blue.
    assert np.array_equal(((reference + 1) * 127.5).round().numpy(), rows.reshape(40, 3, 32, 32))
    assert source.read(train=True).labels.tolist() == [row % 10 for row in range(40)]
    assert instantiate(settings("cifar10", root=str(tmp_path), reference="test")).reference_size == 8


def test_missing_files_are_named_with_the_way_out(tmp_path, settings):
    source = instantiate(settings("cifar10", root=str(tmp_path), download=False))
    source.prepare_data()
    with pytest.raises(FileNotFoundError, match=f"data.root={tmp_path} does not hold .* data.download=true"):
        source.setup("fit")


def test_a_damaged_file_is_not_taken_for_good(tmp_path, write_cifar10, settings):
    write_cifar10(tmp_path)
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(FileNotFoundError, match="a whole CIFAR-10"):
        instantiate(settings("cifar10", root=str(tmp_path), download=False)).setup("fit")


def test_no_network_is_one_sentence(tmp_path, monkeypatch, settings):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(
        FileNotFoundError, match="CIFAR-10 could not be downloaded to data.root=.*data=mnist10k"
    ) as error:
        instantiate(settings("cifar10", root=str(tmp_path))).prepare_data()
    assert "\n" not in str(error.value)
