"""A contact sheet: the original, and what every method makes of it, with what it costs written below."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lplr_index.arrays import ByteMatrix
from lplr_index.atomic import atomic_write
from lplr_index.extras import require
from lplr_index.pictures.comparison import Entry

_INK, _FAINT, _PAPER = "#222222", "#666666", "#FFFFFF"
_MARGIN, _GAP = 16, 12
_HEADING, _NAME, _FACTS = 18, 15, 13  # sizes of letters in pixels
_LEAST_WIDTH = 176  # of a cell, so that the lines below a picture fit


def contact_sheet(
    pixels: ByteMatrix,
    entries: Sequence[Entry],
    path: str | os.PathLike[str],
    *,
    title: str,
    side: int = 320,
    columns: int = 4,
) -> None:
    """Draw the pictures of some budgets, a section each, as PNG.

    Parameters
    ----------
    pixels : ndarray of shape (height, width) or (height, width, 3), uint8
        The original.
    entries : sequence of Entry
        Of ``compare``; those without a picture are left out.
    path : str or os.PathLike
        The file to write, whole or not at all.
    title : str
        What the picture is called.
    side : int
        Most pixels that a picture's longer side takes on the sheet; larger ones are made smaller.
    columns : int
        Pictures beside each other.

    Raises
    ------
    MissingDependencyError
        If Pillow is not installed.
    WriteError
        If the file cannot be written.
    """
    images, fonts = require("PIL.Image", "compress"), require("PIL.ImageFont", "compress")
    height, width = pixels.shape[:2]
    shrink = min(1.0, side / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    letters = {each: fonts.load_default(each) for each in (_HEADING, _NAME, _FACTS)}
    sections = [_section(pixels, entries, bits) for bits in dict.fromkeys(each.bits_per_pixel for each in entries)]
    cell = (max(size[0], _LEAST_WIDTH) + _GAP, size[1] + _NAME + _FACTS + 3 * _GAP)
    columns = min(columns, max(len(cells) for _, cells in sections))
    rows = [-(-len(cells) // columns) for _, cells in sections]
    sheet = images.new(
        "L" if pixels.ndim == 2 else "RGB",
        (2 * _MARGIN + columns * cell[0] - _GAP, _MARGIN + sum(each * cell[1] + _HEADING + _GAP for each in rows)),
        _PAPER,
    )
    draw = require("PIL.ImageDraw", "compress").Draw(sheet)
    top = _MARGIN
    shown = "" if shrink == 1.0 else f", shown at {size[0]} x {size[1]}"
    for (heading, cells), count in zip(sections, rows, strict=True):
        draw.text((_MARGIN, top), f"{title}, {width} x {height}{shown}: {heading}", _INK, letters[_HEADING])
        top += _HEADING + _GAP
        for number, (name, facts, shape) in enumerate(cells):
            x, y = _MARGIN + number % columns * cell[0], top + number // columns * cell[1]
            sheet.paste(images.fromarray(shape).resize(size, images.Resampling.LANCZOS), (x, y))
            below = y + size[1] + _GAP // 2
            draw.text((x, below), name, _INK, letters[_NAME])
            draw.text((x, below + _NAME + _GAP // 2), facts, _FAINT, letters[_FACTS])
        top += count * cell[1]
    with atomic_write(path) as stream:
        sheet.save(stream, "PNG", optimize=True)


def _section(pixels: ByteMatrix, entries: Sequence[Entry], bits: float) -> tuple[str, list[tuple[str, str, Any]]]:
    """Return the heading of a budget, and of each picture its name, its facts and its pixels."""
    cells = [("original", f"{pixels.nbytes:,} bytes", pixels)]
    cells += [
        (each.method, f"{decibels(each.psnr)}, {each.nbytes:,} bytes", each.pixels)
        for each in entries
        if each.bits_per_pixel == bits and each.pixels is not None
    ]
    return f"{bits:g} bit{'' if bits == 1 else 's'} a pixel", cells


def decibels(psnr: float | None) -> str:
    """Return a ratio in words; None is a picture without a difference."""
    return "exact" if psnr is None else f"{psnr:.1f} dB"
