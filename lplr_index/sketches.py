"""Random matrices S that mix the columns of a matrix: A S is what gets quantized.

Each function takes (d, m, rng) and returns an explicit float32 matrix of shape (d, m): it is applied once when
a factorization is made and stored where new rows are to be encoded, so there is nothing to gain from implicit ones.
``SKETCHES`` is the table of their names.
All but ``orthogonal`` are scaled so that the expectation of S S^T is the identity.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, as_integer
from lplr_index.errors import InputError
from lplr_index.linalg import orthonormalise, single_threaded


def gaussian(d: int, m: int, rng: np.random.Generator) -> FloatMatrix:
    """Return S (d, m) with independent normal entries of variance 1 / m, the sketch of the LPLR paper."""
    _check_shape(d, m)
    out: FloatMatrix = (rng.standard_normal((d, m)) / np.sqrt(m)).astype(np.float32)
    return out


def srht(d: int, m: int, rng: np.random.Generator) -> FloatMatrix:
    """Return S (d, m), a subsampled randomized Hadamard transform.

    Random signs times the first d rows and m random columns of the Hadamard matrix of the next power of two,
    which must be at least m; every entry is +-1 / sqrt(m).
    """
    _check_shape(d, m)
    order = 1 << (d - 1).bit_length()
    if m > order:
        raise InputError(f"expected at most {order} columns of a Hadamard matrix padded from {d} rows, got {m}")
    signs = rng.choice(np.array([-1.0, 1.0]), size=d)
    selection = np.zeros((order, m))
    selection[rng.choice(order, size=m, replace=False), np.arange(m)] = 1.0 / np.sqrt(m)
    return (signs[:, None] * walsh_hadamard(selection)[:d]).astype(np.float32)


def sparse_jl(d: int, m: int, rng: np.random.Generator, *, s: int = 8) -> FloatMatrix:
    """Return S (d, m) with min(s, m) entries +-1 / sqrt(s) in random places of each row, zero elsewhere."""
    _check_shape(d, m)
    s = min(as_integer(s, "s", least=1), m)
    places = rng.random((d, m)).argsort(axis=1, kind="stable")[:, :s]
    signs = rng.choice(np.array([-1.0, 1.0]), size=(d, s))
    out = np.zeros((d, m), dtype=np.float32)
    np.put_along_axis(out, places, (signs / np.sqrt(s)).astype(np.float32), axis=1)
    return out


def orthogonal(d: int, m: int, rng: np.random.Generator) -> FloatMatrix:
    """Return S (d, m), m <= d, with orthonormal columns, uniform over all such matrices (Haar).

    A square one is a rotation and loses nothing; S S^T is then the identity, otherwise its expectation is m / d of it.
    """
    _check_shape(d, m)
    if m > d:
        raise InputError(f"expected at most {d} orthonormal columns of length {d}, got {m}")
    with single_threaded():
        return orthonormalise(rng.standard_normal((d, m))).astype(np.float32)


def walsh_hadamard(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return H x for ``x`` of shape (order, m): H the Hadamard matrix (entries +-1, natural order) of a power of two.

    Raises
    ------
    InputError
        If ``order`` is not a power of two.
    """
    order, m = x.shape
    if order & (order - 1) or not order:
        raise InputError(f"expected a power of two of rows, got {order}")
    out = np.array(x, dtype=np.float64)
    half = 1
    while half < order:
        pairs = out.reshape(-1, 2, half, m)
        out = np.stack((pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]), axis=1).reshape(order, m)
        half *= 2
    return out


def _check_shape(d: int, m: int) -> None:
    as_integer(d, "d", least=1)
    as_integer(m, "m", least=1)


SKETCHES: dict[str, Callable[[int, int, np.random.Generator], FloatMatrix]] = {
    "gaussian": gaussian,
    "srht": srht,
    "sparse_jl": sparse_jl,
    "orthogonal": orthogonal,
}
