"""A matrix as two factors of few bits, A ~ L R, as published: "lplr" and the methods that its paper compares it with.

Saha, Srivastava, Pilanci: Matrix Compression via Randomized Low Rank and Low Precision Factorization (NeurIPS 2023).

Every method is a linear map and a rule. The map, the *encoder* E (d, rank), makes L = Q(A E), row by row.
The rule says which L the second factor is fitted to by least squares, R = Q'(argmin |L R - A|):

======  ==========================================  =================================================
method  E                                           R is fitted to
======  ==========================================  =================================================
lplr    a random sketch S                           the quantized L, so that R repairs what Q broke
lsvd    V T, T a random square matrix               the quantized L
dsvd    V / Sigma, so that L = Q(U)                 the exact L, which gives R = Q'(Sigma V^T)
nq      the identity, so that L = Q(A)              there is no R
======  ==========================================  =================================================

where U Sigma V^T is the truncated singular value decomposition of A.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lplr_index.arrays import FloatMatrix, as_integer
from lplr_index.errors import InputError
from lplr_index.factorization.budgets import as_positive, as_rank
from lplr_index.factors import Factorization, packed_codes
from lplr_index.linalg import apply_gram, least_squares, orthonormalise, project, single_threaded, singular_pairs
from lplr_index.quantizers import CAST_NBITS, UNIFORM_NBITS, check_nbits, check_scale, train_quantizer
from lplr_index.sketches import SKETCHES, orthogonal

PUBLISHED = ("lplr", "lsvd", "dsvd", "nq")
"""The methods of the LPLR paper."""

# The sketches a method takes, its own choice first.
_SKETCHES_OF = {
    "lplr": tuple(SKETCHES),
    "lsvd": (*SKETCHES, "none"),
    "dsvd": ("none",),
    "nq": ("none",),
}


def low_rank(
    A: FloatMatrix,
    method: str,
    seed: int,
    *,
    rank: int | None = None,
    bits: float | None = None,
    nbits: int = 8,
    nbits_R: int = 8,
    sketch: str | None = None,
    power_iters: int = 0,
    scale: str = "matrix",
    refit: bool | None = None,
    normalize_and_shift: bool = False,
) -> Factorization:
    """Return L R for A (n, d), or L alone for "nq"; the options are those of ``factorize``.

    Raises
    ------
    InputError
        If one of them is out of range or does not go with the method, or if a factor holds values that the quantizer
        cannot (beyond float16 at 16 bits).
    """
    _check_choices(method, power_iters, refit)
    sketch, scale = _as_sketch(sketch, method), check_scale(scale, "scale")
    nbits, nbits_R = check_nbits(nbits, "nbits"), check_nbits(nbits_R, "nbits_R")
    if method == "nq":
        rank, nbits = A.shape[1], _width_of_nq(A.shape[1], rank, bits, nbits)
    else:
        rank = as_rank(A.shape, rank, bits, nbits, nbits_R)
    rng = np.random.default_rng(seed)
    with single_threaded():
        encoder = _encoder(A, method, rank, sketch=sketch, power_iters=power_iters, rng=rng)
        exact_L = A if encoder is None else project(A, encoder)
        quantizer_L = train_quantizer(exact_L, nbits, scale)
        out = Factorization(
            method, A.shape, rank, seed, packed_codes(exact_L, quantizer_L), quantizer_L, stored_encoder=encoder
        )
        if encoder is not None:
            refit = method != "dsvd" if refit is None else refit
            columns_of_R = least_squares(out.L if refit else exact_L, A).T.astype(np.float32)
            quantizer_R = train_quantizer(columns_of_R, nbits_R, scale)
            out = replace(out, codes_R=packed_codes(columns_of_R, quantizer_R), quantizer_R=quantizer_R)
        return out.normalized_and_shifted(A) if normalize_and_shift else out


def _encoder(
    A: FloatMatrix, method: str, rank: int, *, sketch: str, power_iters: int, rng: np.random.Generator
) -> FloatMatrix | None:
    """Return the matrix E (d, rank) of the method, None for the identity."""
    d = A.shape[1]
    if method == "nq":
        return None
    if method == "lplr":
        S = SKETCHES[sketch](d, rank, rng)
        if power_iters == 0:
            return S
        basis = S.astype(np.float64)
        for _ in range(power_iters):
            basis = orthonormalise(apply_gram(A, basis))
        # QR orders its columns, and a range shared by unequal columns wastes levels; a rotation evens them out.
        return (basis @ orthogonal(rank, rank, rng)).astype(np.float32)
    values, vectors = singular_pairs(A, rank)
    if method == "dsvd":
        return np.divide(vectors, values, out=np.zeros_like(vectors), where=values > 0).astype(np.float32)
    mixing = np.eye(rank, dtype=np.float32) if sketch == "none" else SKETCHES[sketch](rank, rank, rng)
    return (vectors @ mixing).astype(np.float32)


def _check_choices(method: str, power_iters: Any, refit: Any) -> None:
    if as_integer(power_iters, "power_iters") and method != "lplr":
        raise InputError(f"expected power_iters with method 'lplr' only, got {power_iters} with {method!r}")
    if refit is not None and not isinstance(refit, bool):
        raise InputError(f"expected refit to be True, False or None, got {refit!r}")
    if refit and method == "nq":
        raise InputError("expected no refit with method 'nq', which has no second factor, got True")


def _as_sketch(sketch: Any, method: str) -> str:
    if sketch is None:
        return _SKETCHES_OF[method][0]
    if not isinstance(sketch, str) or sketch not in _SKETCHES_OF[method]:
        raise InputError(
            f"expected sketch to be one of {', '.join(_SKETCHES_OF[method])} for {method!r}, got {sketch!r}"
        )
    return sketch


def _width_of_nq(d: int, rank: Any, bits: Any, nbits: int) -> int:
    """Return the bits per entry of "nq": ``nbits``, or the largest width within a budget."""
    if rank is not None:
        raise InputError(f"expected no rank with method 'nq', which keeps all {d} columns, got {rank!r}")
    if bits is None:
        return nbits
    widths = [each for each in UNIFORM_NBITS + CAST_NBITS if each <= as_positive(bits, "bits")]
    if not widths:
        raise InputError(f"expected a budget of at least 1 bit per entry with method 'nq', got {bits:g}")
    return widths[-1]
