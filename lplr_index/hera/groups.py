"""A stage: swapped columns in contiguous groups, a codebook for each, and everything about it in packed bits.

The bytes of a stage are the sum of three, all of them held as they are counted:

* indicators, one bit a pair of every layer, a row of bytes for each row of the matrix;
* codes, groups * ceil(log2(count)) bits a row, likewise;
* the codebooks, count * d codewords' entries of ``codeword_bits`` and the two ends of their range, or float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index import bits
from lplr_index.arrays import ByteMatrix, FloatMatrix
from lplr_index.hera.means import k_means, nearest
from lplr_index.hera.swaps import pair_count, swap, unswap
from lplr_index.linalg import row_blocks
from lplr_index.threads import available, run

Codes = npt.NDArray[np.uint16]

WIDEST = 16  # bits of a code or of a rounded codeword's entry
FLOAT_BITS = 32  # of an entry that is not rounded
_COMMON_COUNT = 256  # codewords of a group that are aimed at
_CODEBOOK_SHARE = 0.25  # of a stage's bytes, at most, where the number of groups is free


@dataclass(frozen=True)
class Plan:
    """The sizes of a stage.

    Attributes
    ----------
    n, d : int
        Shape of the matrix.
    layers : int
        Of swaps.
    groups : int
        Of columns; their widths differ by one at most.
    count : int
        Codewords of each group.
    codeword_bits : int
        Bits of an entry of a codeword: 1 to 16, or 32 for float32.
    """

    n: int
    d: int
    layers: int
    groups: int
    count: int
    codeword_bits: int

    @property
    def code_bits(self) -> int:
        """Bits of a code."""
        return (self.count - 1).bit_length()

    @property
    def bounds(self) -> npt.NDArray[np.int64]:
        """First column of each group, and d: (groups + 1,)."""
        return np.arange(self.groups + 1) * self.d // self.groups

    @property
    def published_bits(self) -> float:
        """Bits by the published formula, which knows no whole bytes: what ``nbytes`` is measured against."""
        codebook = self.count * self.d * self.codeword_bits + (0 if self.codeword_bits == FLOAT_BITS else 64)
        return self.n * (0.5 * self.d * self.layers + self.groups * self.code_bits) + codebook

    @property
    def nbytes(self) -> int:
        """Bytes that a stage of these sizes takes."""
        rows = _row_bytes(pair_count(self.d, self.layers)) + _row_bytes(self.groups * self.code_bits)
        ends = 0 if self.codeword_bits == FLOAT_BITS else 2 * np.dtype(np.float32).itemsize
        return self.n * rows + _row_bytes(self.count * self.d * self.codeword_bits) + ends


def plan_stage(n: int, d: int, layers: int, nbytes: int, *, groups: int | None, codeword_bits: int) -> Plan | None:
    """Return the plan of most codewords within ``nbytes``, by binary search; None where two are too many.

    Where ``groups`` is None there are as many as can have a common number of codewords: 256, or the largest power of
    two whose codebooks take at most a quarter of the bytes.
    """
    if groups is None:
        groups = _free_groups(n, d, layers, nbytes, codeword_bits)
    least, most = 2, min(n, 1 << WIDEST)
    if n < least or Plan(n, d, layers, groups, least, codeword_bits).nbytes > nbytes:
        return None
    while least < most:
        middle = (least + most + 1) // 2
        if Plan(n, d, layers, groups, middle, codeword_bits).nbytes <= nbytes:
            least = middle
        else:
            most = middle - 1
    return Plan(n, d, layers, groups, least, codeword_bits)


def _free_groups(n: int, d: int, layers: int, nbytes: int, codeword_bits: int) -> int:
    codewords = _CODEBOOK_SHARE * 8 * nbytes / (d * codeword_bits)
    code_bits = max(1, min(math.floor(math.log2(max(codewords, 2))), _COMMON_COUNT.bit_length() - 1))
    left = nbytes - Plan(n, d, layers, 1, 1 << code_bits, codeword_bits).nbytes + n  # its one group takes a byte a row
    return min(max(8 * (left // n) // code_bits, 1), d)


@dataclass(frozen=True, eq=False)
class Stage:
    """The packed codes of a matrix by one round of swapping and product quantization; ``train_stage`` makes it.

    Attributes
    ----------
    plan : Plan
    indicators : ndarray of shape (n, ceil(pairs / 8)), uint8
        The layout of ``lplr_index.bits`` with one bit a code.
    codes : ndarray of shape (n, ceil(groups * code_bits / 8)), uint8
        Likewise, with ``code_bits`` bits a code.
    codewords : ndarray of shape (count, d), float32, or (1, bytes), uint8
        Entries of the groups' codewords, in the groups' columns; packed as one row where they are rounded.
    ends : ndarray of shape (2,), float32, or None
        The smallest and the largest entry of all codewords, which codes of ``codeword_bits`` divide evenly.
    """

    plan: Plan
    indicators: ByteMatrix
    codes: ByteMatrix
    codewords: npt.NDArray[Any]
    ends: npt.NDArray[np.float32] | None

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(each.nbytes for each in (self.indicators, self.codes, self.codewords, self.ends) if each is not None)

    def codebook(self) -> FloatMatrix:
        """Return the codewords (count, d), decoded."""
        if self.ends is None:
            return self.codewords.astype(np.float32)
        wide = unpack_wide(self.codewords, self.plan.count * self.plan.d, self.plan.codeword_bits)
        return _from_grid(wide.reshape(self.plan.count, self.plan.d), self.ends, self.plan.codeword_bits)

    def decode(self, rows: Any, codebook: FloatMatrix) -> FloatMatrix:
        """Return what the codes of ``rows``, a slice or numbers (k,), stand for, (k, d), given ``codebook()``."""
        plan, bounds = self.plan, self.plan.bounds
        codes = unpack_wide(self.codes[rows], plan.groups, plan.code_bits)
        out = np.empty((len(codes), plan.d), np.float32)
        for group in range(plan.groups):
            columns = slice(bounds[group], bounds[group + 1])
            out[:, columns] = codebook[codes[:, group], columns]
        crossed = bits.unpack(self.indicators[rows], pair_count(plan.d, plan.layers), 1).astype(np.bool_)
        return unswap(out, crossed, plan.layers)


def train_stage(A: FloatMatrix, plan: Plan, seed: tuple[int, ...]) -> Stage:
    """Return the stage that is trained on, and encodes, the rows of ``A`` (n, d).

    Every row is assigned once more after the codewords are rounded.
    """
    swapped, crossed = swap(A, plan.layers)
    bounds = plan.bounds
    parts = [np.ascontiguousarray(swapped[:, bounds[g] : bounds[g + 1]]) for g in range(plan.groups)]
    trained = [
        partial(k_means, part, plan.count, np.random.default_rng([*seed, group])) for group, part in enumerate(parts)
    ]
    codewords: npt.NDArray[Any] = np.concatenate(run(trained, available()), axis=1)
    ends = None
    if plan.codeword_bits != FLOAT_BITS:
        ends = np.array([codewords.min(), codewords.max()], np.float32)
        grid = _to_grid(codewords, ends, plan.codeword_bits)
        codewords = pack_wide(grid.reshape(1, -1), plan.codeword_bits)
    stage = Stage(plan, bits.pack(crossed.view(np.uint8), 1), np.empty((0, 0), np.uint8), codewords, ends)
    words = stage.codebook()
    found = [
        partial(nearest, part, np.ascontiguousarray(words[:, bounds[g] : bounds[g + 1]]))
        for g, part in enumerate(parts)
    ]
    codes = np.stack(run(found, available()), axis=1)
    return Stage(plan, stage.indicators, pack_wide(codes, plan.code_bits), codewords, ends)


def pack_wide(codes: Codes, nbits: int) -> ByteMatrix:
    """Return codes (n, m) of 1 to 16 bits as rows of bits, (n, ceil(m * nbits / 8)) uint8.

    It is the layout of ``lplr_index.bits``, which knows codes of at most 8 bits: of those it is the same.
    """
    single = np.uint16(1) << np.arange(nbits, dtype=np.uint16)
    packed = np.empty((len(codes), _row_bytes(codes.shape[1] * nbits)), np.uint8)
    for rows in row_blocks(len(codes), codes.shape[1] * nbits):
        alone = (codes[rows, :, None] & single) != 0
        packed[rows] = bits.pack(alone.view(np.uint8).reshape(len(alone), -1), 1)
    return packed


def unpack_wide(packed: ByteMatrix, m: int, nbits: int) -> Codes:
    """Return the codes (n, m) that ``pack_wide`` made ``packed`` (n, bytes a row) of, uint16."""
    place = np.uint16(1) << np.arange(nbits, dtype=np.uint16)
    codes = np.empty((len(packed), m), np.uint16)
    for rows in row_blocks(len(packed), m * nbits):
        alone = bits.unpack(packed[rows], m * nbits, 1).reshape(-1, m, nbits)
        codes[rows] = (alone * place).sum(axis=2, dtype=np.uint16)
    return codes


def _row_bytes(count: int) -> int:
    return bits.code_size(count, 1)


def _to_grid(x: FloatMatrix, ends: npt.NDArray[np.float32], nbits: int) -> Codes:
    low, high = ends.astype(np.float64)
    step = (high - low) / ((1 << nbits) - 1)
    codes: Codes = np.rint((x - low) / (step if step > 0 else 1.0)).astype(np.uint16)
    return codes


def _from_grid(codes: Codes, ends: npt.NDArray[np.float32], nbits: int) -> FloatMatrix:
    low, high = ends.astype(np.float64)
    values: FloatMatrix = (low + codes * ((high - low) / ((1 << nbits) - 1))).astype(np.float32)
    return values
