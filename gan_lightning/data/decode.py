"""Files of images decoded: one rule for training, evaluation and translation. Without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from gan_lightning.utils.find_images import ImagePath, shown
from gan_lightning.utils.image_header import Header, kind_of, open_header

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")
LARGEST_PIXELS = 178_956_970
"""Images of more pixels than this are refused; it is Pillow's own limit."""

DRAFT_PIXELS = 2**26
"""JPEGs of more pixels than this are scaled down while they are decoded, to at least twice the wanted size."""

LONGEST = 8
"""What a picture's longer side has beyond so many times the shorter one is cut off before it is scaled."""

Fit = Literal["crop", "pad", "stretch"]
Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)


class UnreadableImageError(ValueError):
    """A file that is no image, is broken, or holds numbers that are no levels of brightness."""


class Decoding(NamedTuple):
    """What images are brought to.

    Attributes:
        channels: 3 or 1: colour, or grey (ITU-R 601).
        size: height and width; None keeps each as it is.
        fit: crop scales an image until it covers the size and cuts out the centre; pad scales it until it lies within
            and fills up with the background; stretch changes its proportions.
        background: what transparent pixels are blended on, and what pad fills with.
    """

    channels: int
    size: tuple[int, int] | None = None
    fit: Fit = "crop"
    background: Colour = WHITE


def colour(value: object) -> Colour:
    """Return the colour of a name such as white, #rrggbb, or a list of three levels; else a ValueError."""
    if isinstance(value, Sequence) and len(value) == 3 and all(type(v) is int and 0 <= v < 256 for v in value):
        return value[0], value[1], value[2]
    try:
        return ImageColor.getrgb(str(value))[:3]
    except ValueError:
        raise ValueError(
            f"data.background must be a colour such as white, '#808080' or [128,128,128], not {value!r}"
        ) from None


def decode(key: str, path: ImagePath, to: Decoding) -> tuple[NDArray[np.uint8], str]:
    """Return the image in a file as it is seen, (height, width, channels), and its format and mode, as ``PNG RGBA``.

    It is turned upright by its EXIF orientation. Transparent pixels are blended on the background. 16-bit levels are
    divided by 257; floating-point ones count from 0 to 1 where none is above 1, else from 0 to 255. Of several frames
    the first is taken.

    Raises:
        UnreadableImageError: it cannot be read, is too large, or has levels out of these ranges.
    """
    try:
        with path.open("rb") as file, Image.open(file) as image:
            kind = kind_of(image)
            if to.size is not None and image.format == "JPEG" and image.width * image.height > DRAFT_PIXELS:
                image.draft(None, (2 * max(to.size), 2 * max(to.size)))
            image.load()
            picture = fit(flatten(upright(image), to), to)
    except Exception as error:  # every kind of file is broken in its own way
        raise unreadable(key, path, error) from error
    pixels = np.array(picture)
    return pixels.reshape(picture.height, picture.width, to.channels), kind


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned by its EXIF orientation; EXIF that cannot be read turns nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # of EXIF, whose errors are of many kinds; the pixels are there
        return image


def flatten(image: Image.Image, to: Decoding) -> Image.Image:
    """Return an image in grey or colour, 8 bits a channel, no transparency; a ValueError for levels out of range."""
    mode = "L" if to.channels == 1 else "RGB"
    if image.mode in SIXTEEN_BITS or image.mode == "F":
        levels = np.asarray(image)
        clear = levels == image.info["transparency"] if isinstance(image.info.get("transparency"), int) else None
        grey = Image.fromarray(to_8_bits(levels, exact=image.mode != "F"))
        if clear is None:
            return grey.convert(mode)
        grey.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
        image = grey
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (*to.background, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image.convert(mode)


def to_8_bits(levels: NDArray[Any], exact: bool) -> NDArray[np.uint8]:
    """Return levels of brightness as 8 bits: whole numbers of 0..65535 divided by 257, others of 0..1 or 0..255.

    Args:
        levels: (height, width).
        exact: they are whole numbers.

    Raises:
        ValueError: they are out of range.
    """
    low, high = float(levels.min()), float(levels.max())
    if exact:
        if low < 0 or high > 65535:
            raise ValueError(f"levels from {low:g} to {high:g}, and 16 bits are from 0 to 65535")
        return np.rint(levels / np.float32(257)).astype(np.uint8)
    if not (low >= 0 and high <= 255):
        raise ValueError(f"floating-point levels from {low:g} to {high:g}, and they must be from 0 to 1 or 0 to 255")
    return np.rint(levels * (255 if high <= 1 else 1)).astype(np.uint8)


def fit(image: Image.Image, to: Decoding) -> Image.Image:
    """Return an image of the wanted size, antialiased."""
    if to.size is None or (image.height, image.width) == to.size:
        return image
    height, width = to.size
    if to.fit == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    if to.fit == "pad":
        scale = min(height / image.height, width / image.width)
        inside = (min(width, max(1, round(image.width * scale))), min(height, max(1, round(image.height * scale))))
        ground = Image.new("RGB", (width, height), to.background).convert(image.mode)
        ground.paste(
            image.resize(inside, Image.Resampling.BILINEAR), ((width - inside[0]) // 2, (height - inside[1]) // 2)
        )
        return ground
    image = shorten(image, LONGEST * max(1, height // width, width // height))
    if image.height * width <= image.width * height:
        covering = (max(width, int(height * image.width / image.height)), height)
    else:
        covering = (width, max(height, int(width * image.height / image.width)))
    return centre(image.resize(covering, Image.Resampling.BILINEAR), width, height)


def shorten(image: Image.Image, times: int) -> Image.Image:
    """Return the middle of an image longer than `times` its shorter side, so that memory is bounded."""
    return centre(image, min(image.width, times * image.height), min(image.height, times * image.width))


def centre(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return the centre of an image."""
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def read_header(key: str, path: ImagePath) -> Header:
    """Return the header of an image file; an `UnreadableImageError` if it cannot be read, or is too large."""
    try:
        return open_header(path)
    except Exception as error:  # every kind of file is broken in its own way
        raise unreadable(key, path, error) from error


def unreadable(key: str, path: ImagePath, error: Exception) -> UnreadableImageError:
    """Return the error that names a file that cannot be read."""
    if isinstance(error, Image.DecompressionBombError):
        reason = f"it has more than {LARGEST_PIXELS} pixels, the most that are read"
        return UnreadableImageError(f"{key}: {shown(path)} cannot be read ({reason}): scale it down or take it away")
    reason = str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        reason = "it is no image that can be read"
    return UnreadableImageError(f"{key}: {shown(path)} cannot be read ({shown(reason)}): repair it or take it away")


def several(errors: Sequence[str]) -> str:
    """Return one sentence for the errors of several files: the first, and how many more there are."""
    first, *more = errors
    if not more:
        return first
    named, _, way_out = first.rpartition(": ")
    return f"{named}, and {len(more)} more files cannot either: {way_out}"
