from __future__ import annotations

import gzip
import os

import numpy as np
import pytest

from gan_lightning.data.idx import read_idx


@pytest.mark.parametrize("name", ["a-ubyte", "a-ubyte.gz"])
@pytest.mark.parametrize("shape", [(5,), (3, 4, 2)])
def test_reads_what_was_written(tmp_path, write_idx, name, shape):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    read = read_idx(write_idx(tmp_path / name, array))
    assert str(read.dtype) == "torch.uint8"
    assert np.array_equal(read.numpy(), array)


def test_a_file_given_by_hand(tmp_path):
    (tmp_path / "hand").write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 9, 8, 7, 6, 5, 255]))
    assert read_idx(tmp_path / "hand").tolist() == [[9, 8, 7], [6, 5, 255]]


def test_gzip_is_known_by_content(tmp_path, write_idx):
    packed = write_idx(tmp_path / "x.gz", np.arange(4))
    assert read_idx(packed.rename(tmp_path / "x")).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("kept", [-1, 10, 3])
@pytest.mark.parametrize("name", ["t-ubyte", "t-ubyte.gz"])
def test_a_truncated_file_is_refused_by_name(tmp_path, write_idx, name, kept):
    path = write_idx(tmp_path / name, np.arange(200))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=name):
        read_idx(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, this is text",
        bytes([0, 0, 8, 0]),  # no axes
        bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 128, 63]),  # floats
        gzip.compress(b"hello, this is text", mtime=0),
    ],
)
def test_what_is_not_idx_is_refused_in_one_sentence(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ValueError, match="not an idx file of unsigned bytes") as error:
        read_idx(tmp_path / "other")
    assert "\n" not in str(error.value)


def test_too_long_a_file_is_refused(tmp_path, write_idx):
    path = write_idx(tmp_path / "long", np.arange(4))
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(ValueError, match="promises 4 bytes of data and more follow"):
        read_idx(path)


def test_no_more_is_unpacked_than_the_header_promises(tmp_path, monkeypatch):
    bomb = bytes([0, 0, 8, 1, 0, 0, 0, 4]) + bytes(50 * 2**20)
    (tmp_path / "bomb").write_bytes(gzip.compress(bomb, mtime=0))
    unpacked = []
    original = gzip.GzipFile.read

    def counting(file, size=-1):
        unpacked.append(size)
        return original(file, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counting)
    with pytest.raises(ValueError, match="promises 4 bytes of data and more follow"):
        read_idx(tmp_path / "bomb")
    assert unpacked == [4, 4, 4, 1]


def test_a_promise_beyond_any_memory_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "vast").write_bytes(bytes([0, 0, 8, 3]) + b"\x7f\xff\xff\xff" * 3 + bytes(10))
    with pytest.raises(ValueError, match="more than the 4294967296 that are read"):
        read_idx(tmp_path / "vast")


def test_a_named_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is no file"):
        read_idx(tmp_path / "pipe")
