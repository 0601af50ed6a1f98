"""Bases of R: the directions that hold most of the energy, and the way from rows to coefficients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix
from lplr_index.linalg import gram, single_threaded

_OVERSAMPLE = 16
_POWER_ITERATIONS = 3


def right_inverse(R: FloatMatrix) -> FloatMatrix:
    """R^T (R R^T)^-1, (d, m): x times it is the least-squares l in x ~ l R."""
    wide = R.astype(np.float64)
    with single_threaded():
        return np.ascontiguousarray(np.linalg.pinv(wide), dtype=np.float32)


def energy_basis(A: FloatMatrix, most: int, seed: int) -> tuple[npt.NDArray[np.float64], FloatMatrix]:
    """The directions of largest second moment of the rows of A (n, d), by falling energy.

    Parameters
    ----------
    A : ndarray of shape (n, d), float32
        Centred rows.
    most : int
        Directions needed.
    seed : int
        Of the random start of the randomized method.

    Returns
    -------
    energies : ndarray of shape (d or fewer,), float64
        Mean squares of A along the directions, not increasing, at least min(most, d) of them.
    basis : ndarray of shape (d, len(energies)), float32
        Orthonormal columns.

    Notes
    -----
    Exact: eigenvectors of the d x d second moment. Where few directions of many are needed, a randomized range finder
    with re-orthonormalised power iterations (Halko, Martinsson & Tropp 2011, algorithm 4.4) takes fewer operations,
    and is chosen by that count.
    """
    n, d = A.shape
    width = min(d, most + _OVERSAMPLE)
    exact = n * d * d / 2 + 10 * d**3
    randomized = (2 * _POWER_ITERATIONS + 2) * n * d * width + 4 * _POWER_ITERATIONS * (n + d) * width**2
    with single_threaded():
        if exact <= randomized:
            energies, basis = np.linalg.eigh(gram(A) / n)
            order = np.argsort(-energies, kind="stable")
            energies, basis = energies[order], basis[:, order]
        else:
            energies, basis = _randomized_basis(A, width, np.random.default_rng(seed))
    return np.maximum(energies, 0.0), np.ascontiguousarray(_fix_signs(basis), dtype=np.float32)


def _randomized_basis(
    A: FloatMatrix, width: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Leading ``width`` directions of the rows of A by a randomized range finder."""
    z = rng.standard_normal((A.shape[1], width)).astype(np.float32)
    for _ in range(_POWER_ITERATIONS):
        z = np.linalg.qr(A.T @ np.linalg.qr(A @ z)[0])[0]
    image = (A @ z).astype(np.float64)
    energies, turn = np.linalg.eigh(image.T @ image / len(A))
    return energies[::-1], (z.astype(np.float64) @ turn)[:, ::-1]


def _fix_signs(basis: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Make the largest entry of each column positive: eigenvectors have no sign of their own."""
    largest = np.abs(basis).argmax(axis=0)
    return basis * np.where(basis[largest, np.arange(basis.shape[1])] < 0, -1.0, 1.0)
