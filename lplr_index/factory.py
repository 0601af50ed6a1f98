"""Indexes from a line of text, as faiss's ``index_factory`` makes them."""

from __future__ import annotations

import re

from lplr_index.errors import InputError
from lplr_index.index import IndexLPLR

_BUDGET = re.compile(r"LPLR(\d+(?:\.\d+)?|\.\d+)")
_EXPLICIT = re.compile(r"(LPLR|LSVD|DSVD)(\d+)x(\d+)")
_PLAIN = re.compile(r"NQ(\d+)")


def index_factory(d: int, description: str, metric: str | int = "cosine", *, seed: int = 0) -> IndexLPLR:
    """Make an empty index.

    Parameters
    ----------
    d : int
        Dimension of the vectors.
    description : str
        A budget, ``LPLR1.0`` for one bit a coordinate, method ``auto``;
        rank and bits of the paper's methods, ``LPLR64x4``, ``LSVD64x4``, ``DSVD64x4``; or ``NQ4``.
    metric : {"cosine", "ip", "l2"} or int
        As for ``IndexLPLR``.
    seed : int
        As for ``IndexLPLR``.

    Raises
    ------
    InputError
        If the description is none of these, or its numbers are out of range.
    """
    text = description.strip() if isinstance(description, str) else ""
    if match := _BUDGET.fullmatch(text):
        return IndexLPLR(d, float(match[1]), metric, seed=seed)
    if match := _EXPLICIT.fullmatch(text):
        rank, nbits = int(match[2]), int(match[3])
        return IndexLPLR(d, metric=metric, method=match[1].lower(), rank=rank, nbits=nbits, seed=seed)
    if match := _PLAIN.fullmatch(text):
        return IndexLPLR(d, metric=metric, method="nq", nbits=int(match[1]), seed=seed)
    raise InputError(
        f"expected a description such as LPLR1.0, LPLR64x4, LSVD64x4, DSVD64x4 or NQ4, got {description!r}"
    )
