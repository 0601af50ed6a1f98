"""What an index was asked to be, checked, and the bytes that follow from it."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace
from typing import Any

from lplr_index.arrays import as_integer
from lplr_index.errors import InputError
from lplr_index.metric import parse_metric

METHODS = ("auto", "lplr", "lsvd", "dsvd", "nq")
OF_MATRICES = ("caldera", "lq-lora", "qmf", "hera", "qet")  # of factorize alone, as docs/search.md explains
MOST_DIMENSIONS = 1 << 16
MOST_BITS = 8.0  # a coordinate, where that is more than
SMALL_ROW_BYTES = 8  # which a row may have at any dimension
_GAIN_BYTES = 1  # of auto in files of format 1, beside the code
_NORM_BYTES = 2  # under L2, of the published methods; of auto in files of formats 1 and 2, beside the code


@dataclass(frozen=True)
class Settings:
    """The arguments of an index, with what was left open filled in.

    Attributes
    ----------
    d : int
        Dimension of the vectors.
    metric, method : str
        As given.
    rank, nbits, nbits_R : int
        Columns of L, bits of its entries and of R's, for the published methods; 0 for ``auto``, which chooses.
    code_bytes : int
        Bytes of a row's code; of ``auto``, the row scalars inside.
    code_size : int
        Bytes of a row: the code, and the norm of the published methods under L2.
    seed : int
        Of everything random.
    """

    d: int
    metric: str
    method: str
    rank: int
    nbits: int
    nbits_R: int
    code_bytes: int
    code_size: int
    seed: int

    @classmethod
    def of(
        cls, d: int, bits: float, metric: str, method: str, rank: int | None, nbits: int | None, nbits_R: int, seed: int
    ) -> Settings:
        """Check arguments and fill in what is left open; ``metric`` is already a name.

        Raises
        ------
        InputError
            If one is out of range, or the budget leaves no room for codes.
        """
        d = _as_dimension(d)
        seed = as_integer(seed, "seed", most=2**63 - 1)
        if method not in METHODS:
            raise InputError(f"expected method to be one of {', '.join(METHODS)}, got {method!r}{_instead_of(method)}")
        bits = as_bits(bits, d)
        norm = _NORM_BYTES if metric == "l2" else 0
        if method == "auto":
            if rank is not None or nbits is not None:
                raise InputError("expected rank and nbits only for lplr, lsvd, dsvd and nq, got them for auto")
            code_size = _budget(d, bits, norm) + norm
            return cls(d, metric, method, 0, 0, 0, code_size, code_size, seed)
        if nbits_R not in (*range(1, 9), 16, 32):
            raise InputError(f"expected nbits_R to be 1 to 8, 16 or 32, got {nbits_R!r}")
        rank, nbits = _published(d, bits, method, rank, nbits, norm)
        code_bytes = -(-rank * nbits // 8)
        return cls(d, metric, method, rank, nbits, int(nbits_R), code_bytes, code_bytes + norm, seed)

    def checked(self) -> Settings:
        """These settings as ``of`` would make them of some arguments, for settings from a file.

        Older files count scalars of ``auto`` beside the code: the gain in format 1, the norm in formats 1 and 2.

        Raises
        ------
        InputError
            If no arguments give them.
        """
        free = self.method == "auto"
        d = _as_dimension(self.d)
        again = Settings.of(
            d,
            most_bits(d),
            parse_metric(self.metric),
            self.method,
            None if free else self.rank,
            None if free else self.nbits,
            8 if free else self.nbits_R,
            self.seed,
        )
        if not free:
            found = self
        else:
            code_size = as_integer(self.code_size, "code_size", least=1, most=again.code_size)
            norm = _NORM_BYTES if self.metric == "l2" else 0
            apart = self.code_size - self.code_bytes in (0, norm, norm + _GAIN_BYTES)
            found = replace(self, code_bytes=code_size) if apart else self
            again = replace(again, code_bytes=code_size, code_size=code_size)
        if found != again:
            raise InputError(f"expected settings that follow from each other, got {self}")
        return found


def _instead_of(method: Any) -> str:
    """What to take for a method that factorizes a matrix and codes no rows for search."""
    if method not in OF_MATRICES:
        return ""
    return ", which is for factorize: take auto, which finds more at the same bytes"


def _as_dimension(d: Any) -> int:
    return as_integer(d, "d", least=1, most=MOST_DIMENSIONS)


def small_row_bits(d: int) -> float:
    """Bits a coordinate of a row of ``SMALL_ROW_BYTES``: below that, what else is kept of a row weighs more."""
    return 8 * SMALL_ROW_BYTES / d


def most_bits(d: int) -> float:
    """Bits a coordinate may cost: few coordinates may cost more, so that there is room for a row's scalars."""
    return max(MOST_BITS, small_row_bits(d))


def as_bits(bits: Any, d: int) -> float:
    """Return ``bits`` as a float.

    Raises
    ------
    InputError
        If it is not a number above 0 and up to ``most_bits(d)``.
    """
    number = float(bits) if isinstance(bits, numbers.Real) and not isinstance(bits, bool) else 0.0
    if not 0 < number <= most_bits(d):
        raise InputError(f"expected bits to be a number above 0, at most {most_bits(d):g}, got {bits!r}")
    return number


def _budget(d: int, bits: float, scalars: int) -> int:
    """Bytes left for codes, floor(bits * d / 8) less the scalars."""
    left = int(bits * d / 8 + 1e-9) - scalars  # 8 * bytes / d is meant to give back the bytes
    if left < 1:
        needed = 8 * (scalars + 1) / d
        raise InputError(f"expected at least {needed:.4g} bits for d = {d} ({scalars + 1} bytes a row), got {bits:g}")
    return left


def _published(d: int, bits: float, method: str, rank: int | None, nbits: int | None, norm: int) -> tuple[int, int]:
    """Rank and bits of L's entries: as given, or what the budget buys."""
    if nbits is not None:
        nbits = as_integer(nbits, "nbits", least=1, most=8)
    if method == "nq":
        if rank not in (None, d):
            raise InputError(f"expected no rank for nq, which keeps all {d} columns, got {rank!r}")
        nbits = nbits or min(8, 8 * _budget(d, bits, norm) // d)
        if not nbits:
            raise InputError(f"expected at least 1 bit a coordinate for nq, scalars not counted, got {bits:g}")
        return d, nbits
    nbits = nbits or (4 if bits <= 4 else 8)
    if rank is not None:
        return as_integer(rank, "rank", least=1, most=d), nbits
    rank = min(d, 8 * _budget(d, bits, norm) // nbits)
    if not rank:
        raise InputError(f"expected enough bits for one column of {nbits} bits, got {bits:g} for d = {d}")
    return rank, nbits
