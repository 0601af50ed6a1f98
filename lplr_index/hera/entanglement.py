"""HERA, later called Quantum Entanglement Trees (QET): product quantization of swapped columns, in one stage or more.

arXiv 2407.03637. Each stage swaps the columns of what the stages before it leave of the matrix (``swaps``), and
quantizes them in groups (``groups``). The codebooks are as large as the budget allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lplr_index.approximations import Approximation
from lplr_index.arrays import FloatMatrix, as_integer, as_number, as_vectors
from lplr_index.errors import InputError
from lplr_index.hera.groups import FLOAT_BITS, WIDEST, Plan, Stage, plan_stage, train_stage
from lplr_index.hera.swaps import most_layers
from lplr_index.linalg import row_blocks, single_threaded


class _Published(NamedTuple):
    layers: tuple[int, ...]
    share: float
    codeword_bits: int


# One stage and float32 codewords, or a second stage on the residual (RQO) and codewords of 10 bits (CQO).
ENTANGLEMENTS = {"hera": _Published((1,), 1.0, FLOAT_BITS), "qet": _Published((3, 0), 0.7, 10)}
_LARGEST = 1e18  # of an entry, so that distances stay finite in float32
_MOST_STAGES = 8


@dataclass(frozen=True, eq=False)
class Entangled(Approximation):
    """A matrix A (n, d) as the sum of what its stages decode to; made by ``factorize``.

    Attributes
    ----------
    method : str
        "hera" or "qet".
    shape : tuple of int
        (n, d).
    seed : int
        What ``factorize`` was given.
    stages : tuple of Stage
        Packed indicators, codes and codebooks.
    """

    method: str
    shape: tuple[int, int]
    seed: int
    stages: tuple[Stage, ...]

    @property
    def nbytes(self) -> int:
        """Bytes that ``reconstruct`` needs: indicators, codes, codebooks and their ranges."""
        return sum(stage.nbytes for stage in self.stages)

    @property
    def published_bits(self) -> float:
        """Bits of the whole matrix by the published formula, which does not round rows to whole bytes."""
        return sum(stage.plan.published_bits for stage in self.stages)

    def _decoder(self) -> Callable[[Any], FloatMatrix]:
        books = [stage.codebook() for stage in self.stages]

        def decode(rows: Any) -> FloatMatrix:
            first, *more = (stage.decode(rows, codebook) for stage, codebook in zip(self.stages, books, strict=True))
            for part in more:
                first += part
            return first

        return decode


def entangle(
    A: Any,
    method: str = "hera",
    seed: int = 0,
    *,
    bits: float | None = None,
    layers: int | Sequence[int] | None = None,
    groups: int | Sequence[int] | None = None,
    share: float | None = None,
    codeword_bits: int | None = None,
) -> Entangled:
    """Compress a matrix by swaps and product quantization; ``factorize(A, "hera")`` and ``"qet"`` end here.

    Parameters
    ----------
    A : array_like of shape (n, d)
        Any finite matrix of two rows or more; it is used in float32.
    method : {"hera", "qet"}
        What the next arguments are where they are None: one stage of one layer with float32 codewords; or two stages of
        3 layers and of none, the first with .7 of the bytes, with codewords of 10 bits.
    seed : int
        Of k-means. The same seed and matrix give the same bytes on any number of threads.
    bits : float
        Bytes of all arrays, as bits per entry of A: codes and codebooks never take more.
    layers : int or sequence of int, optional
        Of swaps, for each stage: half a bit per entry each. One number is one stage, and 0 plain product quantization.
    groups : int or sequence of int, optional
        Of columns, for each stage or for all; where None, ``groups.plan_stage`` finds them.
    share : float, optional
        Of the bytes that are left, what each stage takes but the last, which takes all.
    codeword_bits : int, optional
        Bits of an entry of a codeword: 1 to 16, or 32 for float32.

    Raises
    ------
    InputError
        If an argument is none of the above, or the budget does not pay for the indicators and two codewords a group.
    """
    A = as_vectors(A, name="A")
    if len(A) < 2 or np.abs(A).max() > _LARGEST:
        got = f"shape {A.shape}" if len(A) < 2 else f"{np.abs(A).max():g}"
        raise InputError(f"expected A with at least two rows and entries up to {_LARGEST:g}, got {got}")
    usual = ENTANGLEMENTS[method]
    n, d = A.shape
    each_layers = _as_list(usual.layers if layers is None else layers, "layers", least=0, most=most_layers(d))
    each_groups: list[int | None] = [None] * len(each_layers)
    if groups is not None:
        given = _as_list(groups, "groups", least=1, most=d)
        each_groups = list(given * len(each_layers) if len(given) == 1 else given)
        if len(each_groups) != len(each_layers):
            raise InputError(f"expected as many groups as layers, {len(each_layers)}, got {len(each_groups)}")
    width = usual.codeword_bits if codeword_bits is None else codeword_bits
    if width != FLOAT_BITS:
        as_integer(width, "codeword_bits", least=1, most=WIDEST)
    part = usual.share if share is None else as_number(share, "share")
    if not 0 < part <= 1:
        raise InputError(f"expected share to be a number above 0 and at most 1, got {part:g}")
    left = int(as_number(bits, "bits") * n * d / 8)
    as_integer(seed, "seed")

    stages: list[Stage] = []
    rest = A
    with single_threaded():
        for number, (depth, count) in enumerate(zip(each_layers, each_groups, strict=True)):
            nbytes = left if number == len(each_layers) - 1 else int(part * left)
            plan = plan_stage(n, d, depth, nbytes, groups=count, codeword_bits=width)
            if plan is None:
                least = Plan(n, d, depth, count or 1, 2, width).nbytes
                raise InputError(
                    f"expected a budget that pays stage {number + 1} of {method!r} at least "
                    f"{8 * least / (n * d):.3g} bits per entry, got {8 * nbytes / (n * d):.3g}"
                )
            if stages:
                rest = _left_by(stages[-1], rest)
            stages.append(train_stage(rest, plan, (seed, number)))
            left -= stages[-1].nbytes
    return Entangled(method, (n, d), seed, tuple(stages))


def _left_by(stage: Stage, x: FloatMatrix) -> FloatMatrix:
    codebook, out = stage.codebook(), np.empty_like(x)
    for rows in row_blocks(*x.shape):
        out[rows] = x[rows] - stage.decode(rows, codebook)
    return out


def _as_list(value: Any, name: str, *, least: int, most: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, (int, np.integer)) else value
    if not isinstance(values, Sequence) or isinstance(values, str) or not 1 <= len(values) <= _MOST_STAGES:
        raise InputError(f"expected {name} to be an integer or a list of at most {_MOST_STAGES}, got {value!r}")
    return tuple(as_integer(each, name, least=least, most=most) for each in values)
