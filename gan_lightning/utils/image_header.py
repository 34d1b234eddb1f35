"""The head of an image file: size, channels, format and mode, read without decoding pixels. Without torch."""

from __future__ import annotations

import warnings
from typing import NamedTuple

from PIL import Image

from gan_lightning.utils.find_images import ImagePath

# Pillow warns of transparency in bytes, of broken EXIF and of large images: data/decode.py deals with the first two,
# and large images have a limit.
warnings.filterwarnings("ignore", module=r"PIL\..*")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's names for grey pixels."""


class Header(NamedTuple):
    """Height and width of an image as seen, its channels, and its format and mode."""

    size: tuple[int, int]
    channels: int
    kind: str


def open_header(path: ImagePath) -> Header:
    """Return what the head of an image file says.

    Raises:
        Exception: of any kind; every kind of file is broken in its own way.
    """
    with path.open("rb") as file, Image.open(file) as image:
        size = (image.height, image.width)
        # Of a TIFF Pillow gives the size as seen; of a PNG without these, getexif would decode the pixels.
        about = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"} & image.info.keys()
        if about and image.format != "TIFF" and _turned(image):
            size = size[::-1]
        return Header(size, 1 if image.mode in GREY else 3, kind_of(image))


def kind_of(image: Image.Image) -> str:
    """Return format, mode and transparency of an image, as in ``PNG P with transparency``."""
    return f"{image.format} {image.mode}" + (" with transparency" if image.has_transparency_data else "")


def _turned(image: Image.Image) -> bool:
    """Return whether EXIF swaps height and width."""
    try:
        return image.getexif().get(0x0112) in (5, 6, 7, 8)
    except Exception:  # of EXIF, whose errors are of many kinds
        return False
