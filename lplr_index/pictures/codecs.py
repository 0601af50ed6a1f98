"""What pictures are compared with, JPEG and WebP as Pillow writes them, and by: PSNR and SSIM of scikit-image."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np

from lplr_index.arrays import ByteMatrix
from lplr_index.errors import InputError
from lplr_index.extras import require

FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"optimize": True},  # Huffman tables of its own
    "WebP": {"method": 6},  # the most thorough
}
"""The formats, and how to write a file as small as they can be."""

_QUALITIES = (0, 100)
LEAST_SIDE = 7
"""Of a picture in pixels: the window of SSIM."""


class Likeness(NamedTuple):
    """How like a picture is to its original.

    Attributes
    ----------
    psnr : float or None
        Peak signal-to-noise ratio in dB; None where there is no difference.
    ssim : float
        Mean structural similarity in windows of 7 x 7, 1 where there is no difference.
    """

    psnr: float | None
    ssim: float


class Encoded(NamedTuple):
    """A file: its size, the quality it was written with, and the pixels (height, width[, 3]) that it decodes to."""

    nbytes: int
    quality: int
    pixels: ByteMatrix


def likeness(original: ByteMatrix, pixels: ByteMatrix) -> Likeness:
    """Compare ``pixels`` (height, width) or (height, width, 3) with those of the original.

    Raises
    ------
    MissingDependencyError
        If scikit-image is not installed.
    InputError
        If a side has fewer than 7 pixels.
    """
    metrics = require("skimage.metrics", "compress")
    if min(original.shape[:2]) < LEAST_SIDE:
        raise InputError(f"expected a picture of at least {LEAST_SIDE} x {LEAST_SIDE} pixels, got {original.shape[:2]}")
    axis = None if original.ndim == 2 else 2
    ssim = metrics.structural_similarity(original, pixels, channel_axis=axis, data_range=255)
    if np.array_equal(original, pixels):
        return Likeness(None, float(ssim))
    return Likeness(float(metrics.peak_signal_noise_ratio(original, pixels, data_range=255)), float(ssim))


def encode_within(pixels: ByteMatrix, name: str, nbytes: int) -> Encoded:
    """Write ``pixels`` (height, width) or (height, width, 3) with the highest quality that fits, found by bisection.

    Parameters
    ----------
    pixels : ndarray of shape (height, width) or (height, width, 3), uint8
        The picture.
    name : str
        A key of ``FORMATS``.
    nbytes : int
        What the whole file may take, its headers included.

    Raises
    ------
    InputError
        If the lowest quality takes more.
    """
    images = require("PIL.Image", "compress")
    image = images.fromarray(pixels)
    low, high = _QUALITIES
    best: tuple[int, bytes] | None = None
    while low <= high:
        quality = (low + high) // 2
        file = io.BytesIO()
        image.save(file, name, quality=quality, **FORMATS[name])
        if file.tell() <= nbytes:
            best, low = (quality, file.getvalue()), quality + 1
        else:
            high, smallest = quality - 1, file.tell()
    if best is None:
        raise InputError(f"expected at least {smallest:,} bytes for {name}, its smallest file, got {nbytes:,}")
    quality, data = best
    decoded = images.open(io.BytesIO(data)).convert("L" if pixels.ndim == 2 else "RGB")
    return Encoded(len(data), quality, np.asarray(decoded))
