"""The metric that distortion is counted in: what ranking asks for, or what given queries do.

CALDERA weighs errors by H^(1/2), H the second moment of the inputs that a matrix will meet (Saha et al. 2024, section 3
of the paper: min |(LR - A) X^T|). Here they are queries. With H itself, the error of inner products with random queries
is least; but neighbours are told apart by small differences among near vectors, so a power of H between 0 (plain
squared error) and 1 ranks best. Where no queries are known, rows stand for them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.auto.recipe import Recipe
from lplr_index.basis import energy_basis
from lplr_index.linalg import gram, single_threaded

Float64Matrix = npt.NDArray[np.float64]

_DIRECTIONS = 16  # for each byte of a code: more never carried a bit
_LEAST = 1e-300  # of what is divided by
_FLOOR = 1e-6  # of the largest energy: no direction weighs less in the metric than one of this energy


class Metrics:
    """The metrics that recipes ask for, for one sample.

    Parameters
    ----------
    A : ndarray of shape (n, d), float32
        Centred rows.
    queries : ndarray of shape (nq, d), float32, or None
        Queries like those to come.
    nbytes : int
        Bytes of a row's code: how many directions can matter.
    seed : int
        Of a randomized basis.
    """

    def __init__(self, A: FloatMatrix, queries: FloatMatrix | None, nbytes: int, seed: int) -> None:
        self._energies, self._basis = energy_basis(A, min(A.shape[1], _DIRECTIONS * nbytes), seed)
        self._A, self._queries = A, queries

    def __call__(self, recipe: Recipe) -> Float64Matrix:
        """E (d, r) of a recipe: H is the rows' second moment, or in part that of the queries."""
        if self._queries is None or not recipe.query_share:
            return energy_metric(self._energies, self._basis, recipe.power)
        share = recipe.query_share
        return query_metric((1 - share) * _moment(self._A) + share * _moment(self._queries), recipe.power)


def _moment(x: FloatMatrix) -> Float64Matrix:
    """The second moment (d, d) of rows (n, d), scaled to trace one."""
    moment = gram(x)
    return moment / max(float(np.trace(moment)), _LEAST)


def energy_metric(energies: npt.NDArray[np.float64], basis: npt.NDArray[np.float32], power: float) -> Float64Matrix:
    """E (d, r) with E E^T = H**(power - 1), in the span of the basis, H the rows' own second moment.

    Parameters
    ----------
    energies : ndarray of shape (r,)
        Of the rows, along the basis, not increasing.
    basis : ndarray of shape (d, r), float32
        Orthonormal columns.
    power : float
        1 for plain squared error; then E is the identity.
    """
    if power == 1:
        return np.eye(len(basis))
    return basis.astype(np.float64) * _weights(energies, power)


def query_metric(moment: Float64Matrix, power: float) -> Float64Matrix:
    """E (d, d) with E E^T = H**(power - 1) for a second moment H (d, d) of queries; E is symmetric.

    At H = I, or a power of 1, it is the identity, exactly.
    """
    if power == 1:
        return np.eye(len(moment))
    with single_threaded():
        energies, basis = np.linalg.eigh(moment)
        weights = _weights(energies[::-1], power)[::-1]
        metric: Float64Matrix = (basis * weights) @ basis.T
    return metric if weights.min() < weights.max() else np.eye(len(moment))


def _weights(energies: npt.NDArray[np.float64], power: float) -> npt.NDArray[np.float64]:
    """Square roots of energies**(power - 1), the largest energy counted as one."""
    largest = float(energies[0])
    if largest <= 0:
        return np.ones_like(energies)
    relative: npt.NDArray[np.float64] = np.maximum(energies / largest, _FLOOR) ** ((power - 1) / 2)
    return relative
