"""Images of a user's own: a folder of files, and how one of them becomes pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lplr_index.embedding.items import Content, Item, Source
from lplr_index.embedding.texts import labelled_files
from lplr_index.errors import InputError, VectorFileError
from lplr_index.extras import require
from lplr_index.vectors.base import first_line, reading

FILES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
"""What counts as an image in a folder."""


def open_images(path: str | os.PathLike[str]) -> Source:
    """Find the images in a folder, at any depth.

    Parameters
    ----------
    path : str or os.PathLike
        The folder. Where every image lies in a subfolder, the first subfolder's name is its label.

    Returns
    -------
    Source
        Its items are in the order of their names, where ``photo_2`` comes before ``photo_10``. None has been opened.

    Raises
    ------
    VectorFileError
        If there is no such folder, or no image in it.
    """
    folder = Path(path)
    with reading(folder):
        if not folder.is_dir():
            raise VectorFileError(f"expected a folder of images, got {path}, which is none")
        files, labels, remarks = labelled_files(folder, FILES)

    def items() -> Iterator[Item]:
        for file, label in zip(files, labels, strict=True):
            yield Item(file.relative_to(folder).as_posix(), file, label)

    facts = {"kind": "images", "name": folder.resolve().name}
    return Source(facts, len(files), items, is_labelled=labels[0] is not None, remarks=remarks)


def load_image(content: Content) -> Any:
    """Return an image file, or pixels (height, width, 3) as uint8, as an RGB image of Pillow.

    A camera's note on which side is up is followed. Of an animation the first picture is taken; transparency goes.

    Raises
    ------
    InputError
        If it is no image, or one with more than 8 bits a channel, which a conversion to RGB would only clip.
    """
    images, operations = require("PIL.Image", "image"), require("PIL.ImageOps", "image")
    try:
        with images.open(content) if isinstance(content, Path) else images.fromarray(content) as image:
            mode = image.mode
            upright = operations.exif_transpose(image)
            # Through RGBA: Pillow warns of palettes with transparency that go to RGB directly.
            solid = upright.convert("RGBA") if "transparency" in upright.info else upright
            pixels = solid.convert("RGB")
    except Exception as err:  # Pillow's readers raise half a dozen classes on damaged files
        raise InputError(f"expected an image, got: {first_line(err)}") from err
    if mode[0] in "IF":
        raise InputError(f"expected 8 bits a channel, got mode {mode}")
    return pixels
