"""Low-precision low-rank factorization of a matrix, A ~ L R, as published, with both factors in packed codes.

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

import math
from dataclasses import replace
from typing import Any

import numpy as np

from lplr_index.arrays import FloatMatrix, as_integer, as_vectors
from lplr_index.errors import InputError
from lplr_index.factors import Factorization, packed_codes
from lplr_index.linalg import apply_gram, least_squares, orthonormalise, project, single_threaded, singular_pairs
from lplr_index.quantizers import CAST_NBITS, UNIFORM_NBITS, check_nbits, check_scale, train_quantizer
from lplr_index.sketches import SKETCHES, orthogonal

METHODS = ("lplr", "lsvd", "dsvd", "nq")

# The sketches a method takes, its own choice first.
_SKETCHES_OF = {
    "lplr": tuple(SKETCHES),
    "lsvd": (*SKETCHES, "none"),
    "dsvd": ("none",),
    "nq": ("none",),
}


def factorize(
    A: Any,
    method: str = "lplr",
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
    seed: int = 0,
) -> Factorization:
    """Factorize a matrix into two factors of few bits, as the LPLR paper does.

    Parameters
    ----------
    A : array_like of shape (n, d)
        Any finite matrix; it is used in float32.
    method : {"lplr", "lsvd", "dsvd", "nq"}
        See the table at the top of this module.
    rank : int, optional
        Columns of L, at most min(n, d). Give either this or ``bits``; "nq" takes no rank.
    bits : float, optional
        The paper's budget, B_nq: codes may take this many bits per entry of A, and ``rank_for_budget`` gives the rank.
        For "nq" it takes the place of ``nbits``: the largest width within it.
    nbits, nbits_R : int
        Bits per entry of L and of R, the paper's B and B': 1 to 8, or 16 or 32 for float16 or float32.
    sketch : {"gaussian", "srht", "sparse_jl", "orthogonal", "none"}, optional
        S of "lplr" or T of "lsvd", both Gaussian in the paper and where None is given; the others take "none" only.
        "lsvd" with "orthogonal" is better than the paper's choice: a rotation loses nothing when it is inverted.
    power_iters : int
        For "lplr": times that the sketch is multiplied with A^T A, which turns it towards the leading singular vectors.
        It becomes orthonormal after each, and a random rotation of that basis at the end.
    scale : {"matrix", "column"}
        One range for a whole factor as in the paper, or one for each of its ``rank`` components: each column of L and
        each row of R (each column of A for "nq").
    refit : bool, optional
        Fit R to the quantized L, or to L before quantization; None is as published, True but for "dsvd".
    normalize_and_shift : bool
        Scale and shift the product by the two numbers that bring it closest to A.
    seed : int
        Of the random sketch. The same seed and matrix give the same bytes on any number of threads.

    Returns
    -------
    Factorization

    Raises
    ------
    InputError
        If an argument is none of the above, or does not go with the method; if the budget does not pay for rank 1;
        or if a factor holds values that the quantizer cannot (beyond float16 at 16 bits).

    Notes
    -----
    Time is O(n d rank) for "lplr" and O(n d min(n, d)) for the others with a low rank; memory is A in float32, two
    copies of L and some blocks of 32 MiB. Singular values are resolved to 5e-7 of the largest, and what lies below is
    left out of both factors (``lplr_index.linalg``).

    Examples
    --------
    >>> import numpy as np
    >>> A = np.outer(np.arange(1, 101), np.arange(1, 41))
    >>> f = factorize(A, rank=1, nbits=8)
    >>> f.L.shape, f.R.shape, f.codes_L.dtype
    ((100, 1), (1, 40), dtype('uint8'))
    >>> f.nbytes  # 100 + 40 codes, and a minimum and a step for each factor
    156
    >>> f.relative_error(A) < 0.005
    True
    """
    A = as_vectors(A, name="A")
    if len(A) == 0:
        raise InputError(f"expected A with at least one row, got shape {A.shape}")
    _check_choices(method, power_iters, refit, seed)
    sketch = _as_sketch(sketch, method)
    scale = check_scale(scale, "scale")
    rank, nbits, nbits_R = _as_rank_and_nbits(A.shape, method, rank=rank, bits=bits, nbits=nbits, nbits_R=nbits_R)
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


def rank_for_budget(n: int, d: int, nbits: int, nbits_R: int, bits: float, *, ratio: float = 1.0) -> int:
    """Return the largest rank whose codes fit in ``ratio * bits`` bits per entry of an n x d matrix.

    A component costs n codes of ``nbits`` in L and d codes of ``nbits_R`` in R, so the rank is
    floor(ratio * n * d * bits / (n * nbits + d * nbits_R)), but at most min(n, d).

    Parameters
    ----------
    n, d : int
        Shape of the matrix.
    nbits, nbits_R : int
        Bits per entry of L and of R: 1 to 8, 16 or 32.
    bits : float
        Bits per entry of the matrix, the paper's B_nq.
    ratio : float
        The part of the budget that may be used, the paper's compression ratio with respect to naive quantization.

    Raises
    ------
    InputError
        If an argument is out of range, or the budget does not pay for rank 1.

    Examples
    --------
    >>> rank_for_budget(1000, 1000, 4, 8, bits=1)
    83
    """
    as_integer(n, "n", least=1)
    as_integer(d, "d", least=1)
    check_nbits(nbits, "nbits")
    check_nbits(nbits_R, "nbits_R")
    cost = n * nbits + d * nbits_R
    rank = math.floor(_as_positive(ratio, "ratio") * n * d * _as_positive(bits, "bits") / cost)
    if rank == 0:
        least = cost / (n * d)
        raise InputError(f"expected a budget of at least {least:.3g} bits per entry, for rank 1, got {ratio * bits:g}")
    return min(rank, n, d)


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


def _check_choices(method: Any, power_iters: Any, refit: Any, seed: Any) -> None:
    if not isinstance(method, str) or method not in METHODS:
        raise InputError(f"expected method to be one of {', '.join(METHODS)}, got {method!r}")
    if as_integer(power_iters, "power_iters") and method != "lplr":
        raise InputError(f"expected power_iters with method 'lplr' only, got {power_iters} with {method!r}")
    if refit is not None and not isinstance(refit, bool):
        raise InputError(f"expected refit to be True, False or None, got {refit!r}")
    if refit and method == "nq":
        raise InputError("expected no refit with method 'nq', which has no second factor, got True")
    as_integer(seed, "seed")


def _as_sketch(sketch: Any, method: str) -> str:
    if sketch is None:
        return _SKETCHES_OF[method][0]
    if not isinstance(sketch, str) or sketch not in _SKETCHES_OF[method]:
        raise InputError(
            f"expected sketch to be one of {', '.join(_SKETCHES_OF[method])} for {method!r}, got {sketch!r}"
        )
    return sketch


def _as_rank_and_nbits(
    shape: tuple[int, ...], method: str, *, rank: Any, bits: Any, nbits: Any, nbits_R: Any
) -> tuple[int, int, int]:
    """Return the rank and the bits of both factors, from a rank or from a budget."""
    n, d = shape
    nbits, nbits_R = check_nbits(nbits, "nbits"), check_nbits(nbits_R, "nbits_R")
    if method == "nq":
        if rank is not None:
            raise InputError(f"expected no rank with method 'nq', which keeps all {d} columns, got {rank!r}")
        if bits is None:
            return d, nbits, nbits_R
        widths = [each for each in UNIFORM_NBITS + CAST_NBITS if each <= _as_positive(bits, "bits")]
        if not widths:
            raise InputError(f"expected a budget of at least 1 bit per entry with method 'nq', got {bits:g}")
        return d, widths[-1], nbits_R
    if (rank is None) == (bits is None):
        raise InputError(f"expected either rank or bits, got rank={rank!r} and bits={bits!r}")
    if rank is not None:
        return as_integer(rank, "rank", least=1, most=min(n, d)), nbits, nbits_R
    return rank_for_budget(n, d, nbits, nbits_R, bits), nbits, nbits_R


def _as_positive(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"expected {name} to be a number above 0, got {value!r}")
    if not 0 < value < math.inf:
        raise InputError(f"expected {name} to be a number above 0, got {value}")
    return float(value)
