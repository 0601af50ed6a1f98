"""Every method at some budgets, beside JPEG and WebP at the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lplr_index.arrays import ByteMatrix
from lplr_index.attempts import Attempt, attempt
from lplr_index.extras import require
from lplr_index.pictures.codecs import FORMATS, encode_within, likeness
from lplr_index.pictures.codes import Picture, as_pixels, compress_picture

Progress = Callable[[int, int, str], object]


@dataclass(frozen=True, eq=False)
class Entry:
    """A picture compressed one way.

    Attributes
    ----------
    method : str
        A name given to ``compare``, or a format.
    bits_per_pixel : float
        The budget.
    nbytes : int
        Bytes taken, headers included; 0 where there is no picture.
    psnr, ssim : float or None
        As ``Likeness``.
    seconds : float
        To compress.
    pixels : ndarray of shape (height, width) or (height, width, 3), uint8, or None
        What it decodes to; None where there is no picture.
    code : Picture or None
        None for a format.
    reason : str
        Why there is no picture.
    """

    method: str
    bits_per_pixel: float
    nbytes: int = 0
    psnr: float | None = None
    ssim: float | None = None
    seconds: float = 0.0
    pixels: ByteMatrix | None = None
    code: Picture | None = None
    reason: str = ""


def compare(
    pixels: Any,
    budgets: Sequence[float],
    methods: Mapping[str, tuple[str, dict[str, Any]]],
    *,
    patch: int = 0,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> list[Entry]:
    """Compress a picture by every method and format at every budget.

    JPEG and WebP may take as many bytes as the largest of the others at the same budget, so that none of these has
    more than they.

    Parameters
    ----------
    pixels : array_like of shape (height, width) or (height, width, 3), uint8
        The picture.
    budgets : sequence of float
        Bits per pixel.
    methods : mapping
        What each is to be called, and how it is made: a method of ``factorize`` and its arguments.
    patch, seed : int
        As ``compress_picture`` takes them.
    progress : callable, optional
        Told how many are done, of how many, and what comes next.

    Returns
    -------
    list of Entry
        Budget by budget, in the order given, the formats last.

    Raises
    ------
    InputError
        If ``pixels`` is no picture, or one smaller than 7 x 7.
    MissingDependencyError
        If Pillow or scikit-image is not installed.
    """
    original = as_pixels(pixels)
    require("PIL.Image", "compress")  # before the work, as what is asked next
    likeness(original, original)
    entries: list[Entry] = []
    total = len(budgets) * (len(methods) + len(FORMATS))
    for bits in budgets:
        allowed = 0
        for name, (method, options) in methods.items():
            progress(len(entries), total, f"{name}, {bits:g} bits")
            make = partial(compress_picture, original, bits, method, patch=patch, seed=seed, **options)
            entries.append(_entry(original, attempt(name, bits, make)))
            allowed = max(allowed, entries[-1].nbytes)
        allowed = allowed or int(bits * original.shape[0] * original.shape[1] / 8)
        for name in FORMATS:
            progress(len(entries), total, f"{name}, {bits:g} bits")
            entries.append(_entry(original, attempt(name, bits, partial(encode_within, original, name, allowed))))
    return entries


def _entry(original: ByteMatrix, tried: Attempt) -> Entry:
    """Return what became of an attempt: a Picture, an Encoded file, or nothing for a reason."""
    about = (tried.method, tried.bits)
    made = tried.code
    if made is None:
        return Entry(*about, seconds=tried.seconds, reason=tried.reason)
    code = made if isinstance(made, Picture) else None
    pixels = made.pixels if code is None else code.reconstruct()
    return Entry(*about, made.nbytes, *likeness(original, pixels), tried.seconds, pixels, code)
