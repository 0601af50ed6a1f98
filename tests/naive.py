"""Slow twins of the package's functions, written from the definitions in plain NumPy and float64; the oracles of tests.

Nothing here is imported by the package or imports from it.
"""

from __future__ import annotations

import math

import numpy as np

# --- Packed bits (lplr_index/bits.py) ---------------------------------------------------------------------------------


def pack(codes, nbits):
    """Write every row as one integer, code j at bit j * nbits, and that integer as little-endian bytes."""
    size = math.ceil(codes.shape[1] * nbits / 8)
    strings = [sum(int(code) << (j * nbits) for j, code in enumerate(row)) for row in codes]
    return np.array([list(string.to_bytes(size, "little")) for string in strings], dtype=np.uint8).reshape(
        len(codes), size
    )


# --- The factorizations of the LPLR paper (lplr_index/factorization.py) -----------------------------------------------


def quantize(x, nbits, axis=None):
    """Round to the nearest of 2 ** nbits levels from the minimum to the maximum, the Q of the released code."""
    if nbits == 32:
        return x
    low, high = x.min(axis=axis), x.max(axis=axis)
    step = np.where(high > low, (high - low) / (2**nbits - 1), 1.0)
    return low + step * np.rint((x - low) / step)


def lplr(A, S, nbits, nbits_R, axis=None):
    """Algorithm 1: quantize the sketch, solve for R against the *quantized* L, quantize R."""
    L = quantize(A @ S, nbits, axis)
    return L @ quantize((np.linalg.pinv(L) @ A).T, nbits_R, axis).T


def power_iterated(A, S, power_iters):
    """Return an orthonormal basis of (A^T A)^q S by a QR after every half step."""
    basis = np.linalg.qr(S)[0]
    for _ in range(power_iters):
        basis = np.linalg.qr(A.T @ np.linalg.qr(A @ basis)[0])[0]
    return basis


def svd(A, rank):
    """Return the truncated singular value decomposition, the largest entry of every right vector positive."""
    U, values, Vt = np.linalg.svd(A, full_matrices=False)
    U, values, Vt = U[:, :rank], values[:rank], Vt[:rank]
    signs = np.sign(Vt[np.arange(rank), np.abs(Vt).argmax(axis=1)])
    return U * signs, values, Vt * signs[:, None]


def lsvd(A, rank, mixing, nbits, nbits_R, axis=None):
    """LPLR-SVD: the first factor is U Sigma, mixed by a random square matrix."""
    U, values, _ = svd(A, rank)
    L = quantize(U * values @ mixing, nbits, axis)
    return L @ quantize((np.linalg.pinv(L) @ A).T, nbits_R, axis).T


def dsvd(A, rank, nbits, nbits_R, axis=None):
    """Direct SVD: both factors rounded as they are, no second fit."""
    U, values, Vt = svd(A, rank)
    return quantize(U, nbits, axis) @ quantize((values[:, None] * Vt).T, nbits_R, axis).T


def normalize_and_shift(A, product):
    """Return alpha * product + beta closest to A."""
    columns = np.stack([product.ravel(), np.ones(product.size)], axis=1)
    return (columns @ np.linalg.lstsq(columns, A.ravel(), rcond=None)[0]).reshape(A.shape)


def relative_error(A, approximation):
    """Return the Frobenius norm of the difference over that of A."""
    return np.linalg.norm(A - approximation) / np.linalg.norm(A)


def rank_floor(A, rank):
    """Return the relative error of the best approximation of that rank (Eckart and Young)."""
    values = np.linalg.svd(A, compute_uv=False)
    return np.linalg.norm(values[rank:]) / np.linalg.norm(values)
