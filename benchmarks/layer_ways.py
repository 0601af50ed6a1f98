"""The ways that weight matrices are compressed in benchmarks/layers.py, and what a way leaves of a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.attempts import CHOICES, SLACK, attempt, factorize_within
from lplr_index.caldera.lattice import LATTICE_NBITS
from lplr_index.errors import InputError
from lplr_index.factorization import METHODS, factorize

TURNS = 4
"""Of alternations, where the package itself takes 10 or 20: half of the time, and errors some hundredths higher."""

PAPER_BITS = 4
"""Where the paper has 8 bits in both factors, or 4: there both are measured."""

BY_ROW = "NQ by row"
CALIBRATED = ", calibrated"

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Way:
    """A method of ``factorize`` and what it is given beside the bits.

    Attributes
    ----------
    method : str
    options : mapping
    whole : bool
        Q alone, of rank 0: it has no rank to fit a budget with.
    calibrated : bool
        Whether it is given the inputs of the layer.
    by_row : bool
        The transposed matrix is compressed, so that a range "by column" is one for each output of the layer. It has as
        many bits as others beside these ranges, with which it may be beyond the budget.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = False
    calibrated: bool = False
    by_row: bool = False


class Matrix(NamedTuple):
    """A weight matrix (n, d), and what stands for two samples of its layer's inputs, if they are rows of one matrix.

    What stands for inputs X is ``root`` of X^T X: (d, d), with the same products.
    """

    name: str
    A: FloatMatrix
    calibration: FloatMatrix | None = None
    held_out: FloatMatrix | None = None


class Outcome(NamedTuple):
    """What became of a matrix; ``reason`` says why there is nothing."""

    nbytes: int | None = None
    error: float | None = None
    activations: float | None = None
    approximation: FloatMatrix | None = None
    reason: str = ""


def ways(bits: float) -> dict[str, Way]:
    """Return the ways by name: the published settings, better ones, and every other method of the package."""
    found = {
        f"{method.upper()} {nbits}/{nbits}": Way(method, {"nbits": nbits, "nbits_R": nbits})
        for method in ("lplr", "lsvd", "dsvd")
        for nbits in ((8, 4) if bits == PAPER_BITS else (4,))
    }
    best = {"nbits": 4, "nbits_R": 4, "scale": "column", "sketch": "orthogonal"}
    found |= {
        "LSVD 4/4 by column": Way("lsvd", best),
        "NQ": Way("nq"),
        BY_ROW: Way("nq", {"scale": "column"}, by_row=True),
    }
    whole = {"nbits_Q": int(bits), "quantizer": "e8" if bits in LATTICE_NBITS else "uniform"}
    part = {"nbits_Q": max(1, int(bits) - 1), "turns": TURNS}
    part["quantizer"] = "e8" if part["nbits_Q"] in LATTICE_NBITS else "uniform"
    for suffix, calibrated in (("", False), (CALIBRATED, True)):
        found[f"Q alone{suffix}"] = Way("caldera", whole, whole=True, calibrated=calibrated)
        found[f"CALDERA{suffix}"] = Way("caldera", part, calibrated=calibrated)
    found["LQ-LORA"] = Way("lq-lora", {"nbits_Q": max(2, int(bits) - 1), "turns": TURNS})
    known = {way.method for way in found.values()}
    for method in METHODS:
        if method not in known:
            widths = dict.fromkeys(CHOICES.get(method, ()), 5)  # QMF's integers, as published; others choose
            found[method.upper()] = Way(method, widths)
    return found


def compress(matrix: Matrix, way: Way, bits: float) -> Outcome:
    """Compress a matrix to ``bits`` bits an entry, or 5 % more, everything counted but for the ranges of rows."""
    A = np.ascontiguousarray(matrix.A.T) if way.by_row else matrix.A
    given = dict(way.options)
    if way.calibrated:
        if matrix.calibration is None:
            return Outcome(reason="its inputs are not rows of one matrix")
        given["calibration"] = matrix.calibration

    def make() -> Any:
        budget = A.size * bits / 8
        if way.by_row:
            return factorize(A, way.method, bits=bits, **given)
        whole = partial(factorize, A, way.method, rank=0)
        code = (whole if way.whole else partial(factorize_within, A, budget, way.method))(**given)
        if code.nbytes > SLACK * budget:
            raise InputError(f"expected {budget:,.0f} bytes, got {code.nbytes:,}, and it has no smaller size")
        return code

    tried = attempt(way.method, bits, make)
    if tried.code is None:
        return Outcome(reason=tried.reason)
    made = tried.code.reconstruct()
    approximation = np.ascontiguousarray(made.T) if way.by_row else made
    error = relative_error(matrix.A, approximation)
    activations = None if matrix.held_out is None else relative_error(matrix.A, approximation, matrix.held_out)
    return Outcome(int(tried.code.nbytes), error, activations, approximation)


def relative_error(A: FloatMatrix, approximation: FloatMatrix, X: FloatMatrix | None = None) -> float:
    """Return |A - approximation| / |A|, or with inputs X (s, d) |(A - approximation) X^T| / |A X^T|."""
    error = A - approximation
    if X is not None:
        error, A = error @ X.T, A @ X.T
    return float(np.linalg.norm(error) / np.linalg.norm(A))


def root(second_moment: Float64Array) -> FloatMatrix:
    """Return a matrix X (d, d) whose X^T X is ``second_moment`` (d, d): all of inputs that an error depends on.

    A ten-thousandth of the mean of the diagonal is added to it: some inputs are always zero.
    """
    d = len(second_moment)
    return np.linalg.cholesky(second_moment + 1e-4 * np.trace(second_moment) / d * np.eye(d)).T.astype(np.float32)


def wins(errors: Sequence[float | None], others: Sequence[float | None]) -> tuple[int, int]:
    """Return how often the first of two errors on the same matrix is the smaller, and how often there are both."""
    both = [(a, b) for a, b in zip(errors, others, strict=True) if a is not None and b is not None]
    return sum(a < b for a, b in both), len(both)
