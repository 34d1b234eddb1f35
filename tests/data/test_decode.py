"""One rule for every file of images."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_lightning.data import decode as decoding
from gan_lightning.data.decode import Decoding, UnreadableImageError, colour, decode, read_header, several


def read(path: Path, channels: int = 3, size: tuple[int, int] | None = None, **more):
    return decode("data.root", path, Decoding(channels, size, **more))[0]


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright_by_exif(tmp_path: Path, ending: str, orientation: int) -> None:
    # Seen upright: red in the left upper quarter, green right of it, blue below the red. Stored as a camera would.
    seen = np.zeros((32, 48, 3), np.uint8)
    seen[:16, :24, 0] = seen[:16, 24:, 1] = seen[16:, :24, 2] = 255
    flip, turns = {1: (0, 0), 2: (1, 0), 3: (0, 2), 4: (1, 2), 5: (1, 3), 6: (0, 1), 7: (1, 1), 8: (0, 3)}[orientation]
    stored = np.rot90(seen, turns)  # counter-clockwise: 6 is "turn by 90 degrees clockwise to see it upright"
    stored = np.fliplr(stored) if flip else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    lossless = {"lossless": True} if ending == "webp" else {"quality": 95} if ending == "jpg" else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **lossless)
    assert np.abs(read(path).astype(int)[4:12, 4:20] - seen[4:12, 4:20]).max() < 10
    assert np.abs(read(path).astype(int)[20:, 4:20] - seen[20:, 4:20]).max() < 10
    assert read(path).shape == seen.shape
    assert read_header("data.root", path).size == (32, 48)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_16_bits_are_divided_by_257(tmp_path: Path, ending: str, channels: int) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(levels).save(tmp_path / f"a.{ending}")
    pixels = read(tmp_path / f"a.{ending}", channels)
    assert pixels.shape == (256, 256, channels)
    assert np.array_equal(pixels[..., 0].ravel(), np.rint(np.arange(65536) / 257))
    assert read_header("data.root", tmp_path / f"a.{ending}").channels == 1


def test_16_bit_colour_is_read_in_full_range(tmp_path: Path) -> None:
    # Written by hand, as Pillow writes no such file: a row of two pixels, black and white, of 3 x 16 bits.
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" + b"\0" * 6 + b"\xff" * 6)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    assert read(tmp_path / "a.png").tolist() == [[[0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("high", [1.0, 255.0])
def test_floats_count_to_1_or_to_255(tmp_path: Path, high: float) -> None:
    levels = (np.linspace(0, 1, 256, dtype=np.float32) * np.float32(high)).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif", 1)[..., 0].ravel().tolist() == list(range(256))


@pytest.mark.parametrize(
    "levels",
    [np.array([row], np.float32) for row in ([0, 256], [-0.1, 1], [0, np.nan], [0, np.inf])]
    + [np.array([row], np.int32) for row in ([0, 65536], [-1, 9])],
)
def test_other_levels_are_refused_by_name(tmp_path: Path, levels: np.ndarray) -> None:
    Image.fromarray(levels).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match=r"data.root: .*/a.tif cannot be read \(.*levels from .* to "):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), (10, 20, 30)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P with a level", "P with levels", "RGB", "L", "I;16"])
def test_hidden_colours_are_blended_on_the_background(tmp_path: Path, mode: str, background: tuple) -> None:
    path = tmp_path / "a.png"
    if mode in ("RGBA", "LA"):
        image = Image.new(mode, (3, 2), (0, 255, 0, 0) if mode == "RGBA" else (77, 0))
        image.putpixel((0, 0), (200, 100, 50, 255) if mode == "RGBA" else (200, 255))
        image.save(path)
    elif mode.startswith("P"):
        image = Image.new("P", (3, 2), 1)
        image.putpalette([200, 100, 50, 0, 255, 0])
        image.putpixel((0, 0), 0)
        image.save(path, transparency=1 if mode.endswith("level") else b"\xff\x00")
    elif mode == "I;16":
        levels = np.full((2, 3), 500, np.uint16)
        levels[0, 0] = 257 * 200
        Image.fromarray(levels).save(path, transparency=500)
    else:
        image = Image.new(mode, (3, 2), (0, 255, 0) if mode == "RGB" else 77)
        image.putpixel((0, 0), (200, 100, 50) if mode == "RGB" else 200)
        image.save(path, transparency=(0, 255, 0) if mode == "RGB" else 77)
    pixels = read(path, background=background)
    grey = mode in ("LA", "L", "I;16")
    assert pixels[0, 0].tolist() == ([200] * 3 if grey else [200, 100, 50])
    assert (pixels.reshape(-1, 3)[1:] == background).all()


def test_half_transparency_is_the_mean_with_the_background(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (100, 0, 255, 51)).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0, 0].tolist() == [224, 204, 255]  # 255 + (x - 255) / 5
    assert read(tmp_path / "a.png", 1)[0, 0].tolist() == [round(0.299 * 224 + 0.587 * 204 + 0.114 * 255)]


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read(tmp_path / "a.gif") == (255, 0, 0)).all()


def test_fit(tmp_path: Path) -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, :20] = (255, 0, 0)
    wide[:, 20:] = (0, 0, 255)
    Image.fromarray(wide).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    cropped = read(path, size=(10, 20))
    assert np.array_equal(cropped, wide[:, 10:30])
    stretched = read(path, size=(40, 20), fit="stretch")
    assert stretched.shape == (40, 20, 3)
    assert (stretched[:, :9] == (255, 0, 0)).all() and (stretched[:, 11:] == (0, 0, 255)).all()
    padded = read(path, size=(40, 40), fit="pad", background=(1, 2, 3))
    assert np.array_equal(padded[15:25], wide)
    assert (padded[:15] == (1, 2, 3)).all() and (padded[25:] == (1, 2, 3)).all()
    assert read(path, size=(7, 5)).shape == (7, 5, 3)


@pytest.mark.parametrize("size", [(1, 40000), (40000, 1), (3, 9000)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_long_pictures_take_little_memory(tmp_path: Path, size: tuple[int, int], fit, monkeypatch) -> None:
    Image.new("RGB", size, (9, 8, 7)).save(tmp_path / "a.png")
    made = []
    resize = Image.Image.resize

    def watched(image, to, *more):
        made.append(to)
        return resize(image, to, *more)

    monkeypatch.setattr(Image.Image, "resize", watched)
    assert read(tmp_path / "a.png", size=(64, 64), fit=fit).shape == (64, 64, 3)
    assert all(width * height <= 8 * 64 * 64 for width, height in made)


def test_a_huge_image_is_named_and_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)  # Pillow warns above it, and refuses above twice as many
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    Image.new("L", (20, 10)).save(tmp_path / "scan.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
        assert read(tmp_path / "a.png", 1).shape == (9, 9, 1)
    with pytest.raises(UnreadableImageError, match=r"scan.png cannot be read \(it has more than .* pixels.*scale it"):
        read(tmp_path / "scan.png")


def test_large_jpegs_are_scaled_down_while_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient = np.linspace(0, 255, 1024).astype(np.uint8)[None].repeat(1024, 0)
    Image.fromarray(gradient).save(tmp_path / "a.jpg", quality=95)
    usual = read(tmp_path / "a.jpg", 1, (64, 64))
    monkeypatch.setattr(decoding, "DRAFT_PIXELS", 1000)
    sizes = []
    upright = decoding.upright

    def watched(image):
        sizes.append(image.size)
        return upright(image)

    monkeypatch.setattr(decoding, "upright", watched)
    drafted = read(tmp_path / "a.jpg", 1, (64, 64))
    assert sizes == [(128, 128)]
    assert np.abs(drafted.astype(int) - usual).max() <= 3


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\nbroken"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page.png").write_bytes(content)
    for function in (lambda: read(tmp_path / "page.png"), lambda: read_header("data.root", tmp_path / "page.png")):
        with pytest.raises(UnreadableImageError, match=r"data.root: .*page\.png cannot be read \(.*\): repair it"):
            function()


def test_several_broken_files_are_one_sentence() -> None:
    one, two = (f"data.root: {name} cannot be read (why): repair it or take it away" for name in "ab")
    assert several([one]) == one
    assert several([one, two, two]).startswith("data.root: a cannot be read (why), and 2 more files cannot either: ")


def test_colours_have_names_and_levels() -> None:
    assert colour("white") == (255, 255, 255)
    assert colour("#102030") == (16, 32, 48)
    assert colour([1, 2, 3]) == (1, 2, 3)
    for wrong in ("nocolour", [1, 2], [1, 2, 256], 7, None):
        with pytest.raises(ValueError, match=r"data.background must be a colour"):
            colour(wrong)
