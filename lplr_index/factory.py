"""Indexes from a line of text, as faiss's ``index_factory`` makes them."""

from __future__ import annotations

import re
from typing import Any

from lplr_index.errors import InputError
from lplr_index.index import IndexLPLR
from lplr_index.ivf import IndexIVFLPLR
from lplr_index.refine import AnyIndex, IndexRefineLPLR

_NUMBER = r"(\d+(?:\.\d+)?|\.\d+)"
_BUDGET = re.compile("LPLR" + _NUMBER)
_EXPLICIT = re.compile(r"(LPLR|LSVD|DSVD)(\d+)x(\d+)")
_PLAIN = re.compile(r"NQ(\d+)")
_LISTS = re.compile(rf"IVF(\d+),LPLR{_NUMBER}")
_RESIDUALS = re.compile(rf"Refine\(LPLR{_NUMBER}\)")
_ORIGINALS = "RFlat"


def index_factory(
    d: int,
    description: str,
    metric: str | int = "cosine",
    *,
    originals: Any = None,
    key: str | None = None,
    seed: int = 0,
) -> AnyIndex:
    """Make an empty index.

    Parameters
    ----------
    d : int
        Dimension of the vectors.
    description : str
        A budget, ``LPLR1.0`` for one bit a coordinate, method ``auto``;
        rank and bits of the paper's methods, ``LPLR64x4``, ``LSVD64x4``, ``DSVD64x4``; or ``NQ4``.
        ``IVF4096,LPLR1.0`` for rows in 4096 lists.
        After any of these, ``,Refine(LPLR2.0)`` for a residual code of two bits more, or ``,RFlat`` for a second look
        at the original vectors.
    metric : {"cosine", "ip", "l2"} or int
        As for ``IndexLPLR``.
    originals : str, os.PathLike or array_like of shape (n, d), optional
        The original vectors that ``RFlat`` needs, as for ``IndexRefineLPLR``.
    key : str, optional
        Which matrix of a file of originals that holds several.
    seed : int
        As for ``IndexLPLR``.

    Raises
    ------
    InputError
        If the description is none of these, its numbers are out of range, or ``originals`` are missing or not needed.
    VectorFileError
        If the originals cannot be opened.
    """
    text = description.strip() if isinstance(description, str) else ""
    first, comma, second = text.partition(",")
    if first.startswith("IVF"):  # the first stage has a comma of its own
        code, comma, second = second.partition(",")
        first = f"{first},{code}"
    residuals = _RESIDUALS.fullmatch(second)
    base = _first_stage(d, first, metric, seed)
    if base is None or (comma and not residuals and second != _ORIGINALS):
        raise InputError(
            "expected a description such as LPLR1.0, LPLR64x4, LSVD64x4, DSVD64x4, IVF4096,LPLR1.0 or NQ4, alone or "
            f"before ,Refine(LPLR2.0) or ,RFlat, got {description!r}"
        )
    if (second == _ORIGINALS) != (originals is not None):
        raise InputError(f"expected originals with RFlat and with nothing else, got {description!r}")
    if residuals:
        return IndexRefineLPLR(base, refine_bits=float(residuals[1]))
    return IndexRefineLPLR(base, originals=originals, key=key) if second else base


def _first_stage(d: int, text: str, metric: str | int, seed: int) -> IndexLPLR | None:
    """The index that a description without a second stage stands for, None if it is none."""
    if match := _BUDGET.fullmatch(text):
        return IndexLPLR(d, float(match[1]), metric, seed=seed)
    if match := _LISTS.fullmatch(text):
        return IndexIVFLPLR(d, float(match[2]), metric, nlist=int(match[1]), seed=seed)
    if match := _EXPLICIT.fullmatch(text):
        rank, nbits = int(match[2]), int(match[3])
        return IndexLPLR(d, metric=metric, method=match[1].lower(), rank=rank, nbits=nbits, seed=seed)
    if match := _PLAIN.fullmatch(text):
        return IndexLPLR(d, metric=metric, method="nq", nbits=int(match[1]), seed=seed)
    return None
