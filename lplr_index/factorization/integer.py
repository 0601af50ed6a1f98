"""A matrix as w0 + w1 L R with integers in both factors: "qmf". How they are found says ``lplr_index.integers``."""

from __future__ import annotations

import numpy as np

from lplr_index.arrays import FloatMatrix, as_integer
from lplr_index.factorization.budgets import as_rank
from lplr_index.factors import IntegerFactorization, packed_codes
from lplr_index.integers import SWEEPS, integer_factors, span
from lplr_index.linalg import single_threaded
from lplr_index.quantizers import UNIFORM_NBITS, UniformQuantizer, check_nbits


def integer(
    A: FloatMatrix,
    method: str,
    seed: int,
    *,
    rank: int | None = None,
    bits: float | None = None,
    nbits: int = 8,
    nbits_R: int = 8,
    sweeps: int = SWEEPS,
) -> IntegerFactorization:
    """Return w0 + w1 L R for A (n, d); the options are those of ``factorize``.

    Raises
    ------
    InputError
        If one of them is out of range.
    """
    check_nbits(nbits, "nbits", among=UNIFORM_NBITS)
    check_nbits(nbits_R, "nbits_R", among=UNIFORM_NBITS)
    as_integer(sweeps, "sweeps")
    rank = as_rank(A.shape, rank, bits, nbits, nbits_R)
    with single_threaded():
        found = integer_factors(A, rank, nbits, nbits_R, sweeps)
    L, columns_of_R = found.L.astype(np.float32), np.ascontiguousarray(found.R.T, dtype=np.float32)
    grid_L, grid_R = (_grid(width) for width in (nbits, nbits_R))
    return IntegerFactorization(
        method,
        A.shape,
        rank,
        seed,
        packed_codes(L, grid_L),
        grid_L,
        packed_codes(columns_of_R, grid_R),
        grid_R,
        alpha=float(np.float32(found.scale)),
        beta=float(np.float32(found.shift)),
    )


def _grid(nbits: int) -> UniformQuantizer:
    """Return the quantizer whose levels are the integers of ``nbits`` bits."""
    return UniformQuantizer(nbits, np.asarray(np.float32(span(nbits)[0])), np.asarray(np.float32(1.0)))
