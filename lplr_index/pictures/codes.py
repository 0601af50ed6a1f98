"""A picture as factorized matrices, one a channel.

A grey picture is one matrix: its pixels as they lie, as in the LPLR paper, or its square patches as rows. A colour
picture is three: luma in full, and the two colour differences at half the width and height, as in JPEG; four fifths of
the bits go to luma (docs/images.md has the measurements).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lplr_index.arrays import ByteMatrix, FloatMatrix, as_array, as_integer
from lplr_index.attempts import SLACK, factorize_within
from lplr_index.errors import InputError
from lplr_index.extras import require
from lplr_index.factorization import PUBLISHED

LUMA_SHARE = 0.8
"""Of the bits of a colour picture."""

HEADER_BYTES = 16
"""What a decoder must know of a picture: height and width, 4 bytes each, patch, channels, and room for a name."""

MATRIX_BYTES = 8
"""And of each matrix in it: method, rank, and the bits of both factors."""

_MOST_PATCH = 64


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in packed codes.

    Attributes
    ----------
    shape : tuple of int
        (height, width) in pixels.
    patch : int
        Side of the patches that are the rows of the matrices; 0 where the matrices are the channels themselves.
    channels : tuple of Factorization
        One of a grey picture; of a colour picture luma and the two halved colour differences.
    """

    shape: tuple[int, int]
    patch: int
    channels: tuple[Any, ...]

    @property
    def nbytes(self) -> int:
        """Bytes that ``reconstruct`` needs: those of the factorizations and of the headers above."""
        return HEADER_BYTES + sum(MATRIX_BYTES + int(each.nbytes) for each in self.channels)

    @property
    def bits_per_pixel(self) -> float:
        """Bits of ``nbytes`` per pixel."""
        return 8.0 * self.nbytes / (self.shape[0] * self.shape[1])

    def reconstruct(self) -> ByteMatrix:
        """Return the pixels (height, width), or (height, width, 3) as RGB, uint8."""
        shapes = _channel_shapes(self.shape, len(self.channels))
        planes = [
            np.clip(np.rint(_from_matrix(each.reconstruct(), shape, self.patch)), 0, 255).astype(np.uint8)
            for each, shape in zip(self.channels, shapes, strict=True)
        ]
        return planes[0] if len(planes) == 1 else _to_rgb(planes)


def as_pixels(pixels: Any) -> ByteMatrix:
    """Return ``pixels`` as uint8 of shape (height, width), or (height, width, 3) where it has colours.

    A picture in RGB whose three channels are the same is grey.

    Parameters
    ----------
    pixels : array_like of shape (height, width) or (height, width, 3), uint8

    Raises
    ------
    InputError
        If it is none of these.
    """
    a = as_array(pixels, name="pixels")
    if a.dtype != np.uint8 or a.ndim not in {2, 3} or a.shape[2:] not in {(), (3,)} or a.size == 0:
        raise InputError(
            "expected pixels of shape (height, width) or (height, width, 3) and dtype uint8, "
            f"got {a.dtype} of shape {a.shape}"
        )
    if a.ndim == 3 and (a == a[:, :, :1]).all():
        a = a[:, :, 0]
    return np.ascontiguousarray(a)


def as_patch(patch: Any) -> int:
    """Return ``patch`` if it is 0 or an integer from 2 to 64, else raise InputError."""
    if as_integer(patch, "patch", most=_MOST_PATCH) == 1:
        raise InputError(f"expected patch to be 0, or an integer from 2 to {_MOST_PATCH}, got 1")
    return int(patch)


def compress_picture(
    pixels: Any, bits_per_pixel: float, method: str = "lplr", *, patch: int = 0, seed: int = 0, **options: Any
) -> Picture:
    """Factorize a picture within a budget.

    The published methods are normalised and shifted, as the LPLR paper does with pictures. Where headers, ranges and
    padding take a channel more than 5 % beyond its budget, it is made again with fewer bits, if the method has a
    smaller size.

    Parameters
    ----------
    pixels : array_like of shape (height, width) or (height, width, 3), uint8
        Grey or RGB.
    bits_per_pixel : float
        For all channels together.
    method : str
        One of ``factorize``.
    patch : int
        Side of square patches to take as the rows of matrices, 2 to 64; 0 takes the channels themselves.
    seed : int
        Of ``factorize``.
    options
        Further arguments of ``factorize``: widths, ranges, sketch.

    Returns
    -------
    Picture

    Raises
    ------
    InputError
        If an argument is none of the above, or the method cannot do that size.
    """
    pixels = as_pixels(pixels)
    patch = as_patch(patch)
    if not 0 < bits_per_pixel <= 64:
        raise InputError(f"expected bits per pixel above 0, at most 64, got {bits_per_pixel:g}")
    if method in PUBLISHED:
        options = options | {"normalize_and_shift": True}
    planes = [pixels] if pixels.ndim == 2 else _to_planes(pixels)
    height, width = pixels.shape[:2]
    total = bits_per_pixel * height * width / 8
    shares = [1.0] if len(planes) == 1 else [LUMA_SHARE, *2 * [(1 - LUMA_SHARE) / 2]]
    channels: list[Any] = []
    for plane, share in zip(planes, shares, strict=True):
        A = _to_matrix(plane, patch)
        channels.append(factorize_within(A, share * total, method, header_bytes=MATRIX_BYTES, seed=seed, **options))
    out = Picture((height, width), patch, tuple(channels))
    if out.nbytes > SLACK * total:
        raise InputError(f"expected a picture of {total:,.0f} bytes, got {out.nbytes:,}: {method} has none as small")
    return out


def _to_planes(pixels: ByteMatrix) -> list[ByteMatrix]:
    """Take RGB (height, width, 3) apart: luma (height, width), and both colour differences at half the size."""
    images = require("PIL.Image", "compress")
    luma, *chroma = images.fromarray(pixels).convert("YCbCr").split()
    _, (height, width), _ = _channel_shapes(pixels.shape[:2], 3)
    halves = [each.resize((width, height), images.Resampling.BOX) for each in chroma]
    return [np.asarray(each) for each in (luma, *halves)]


def _to_rgb(planes: list[ByteMatrix]) -> ByteMatrix:
    """Return the pixels (height, width, 3) of what ``_to_planes`` took apart."""
    images = require("PIL.Image", "compress")
    luma, *halves = (images.fromarray(each) for each in planes)
    chroma = [each.resize(luma.size, images.Resampling.BILINEAR) for each in halves]
    rgb: ByteMatrix = np.asarray(images.merge("YCbCr", [luma, *chroma]).convert("RGB"))
    return rgb


def _channel_shapes(shape: tuple[int, ...], channels: int) -> list[tuple[int, int]]:
    height, width = shape
    halved = (-(-height // 2), -(-width // 2))
    return [(height, width), halved, halved][:channels]


def _to_matrix(plane: ByteMatrix, patch: int) -> FloatMatrix:
    """Return a channel (height, width) as it is, or its patches as rows (patches, patch ** 2), the edges repeated."""
    if not patch:
        return plane.astype(np.float32)
    padded = np.pad(plane, [(0, -size % patch) for size in plane.shape], mode="edge")
    down, across = (size // patch for size in padded.shape)
    rows = padded.reshape(down, patch, across, patch).swapaxes(1, 2)
    return rows.reshape(down * across, patch * patch).astype(np.float32)


def _from_matrix(A: FloatMatrix, shape: tuple[int, int], patch: int) -> FloatMatrix:
    """Undo ``_to_matrix`` for a matrix (n, d)."""
    if not patch:
        return A
    down, across = (-(-size // patch) for size in shape)
    whole = A.reshape(down, across, patch, patch).swapaxes(1, 2).reshape(down * patch, across * patch)
    return whole[: shape[0], : shape[1]]
