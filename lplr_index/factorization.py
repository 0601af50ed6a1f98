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

Two later methods put a matrix Q of full rank and few bits beside L R, and fit all three to the vectors that A will be
multiplied with: "caldera", and "lq-lora", its plain relative. How says ``lplr_index.caldera``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from lplr_index.arrays import FloatMatrix, as_integer, as_vectors
from lplr_index.caldera.alternation import alternate, damped_second_moment
from lplr_index.caldera.plan import Q_METHODS, Plan, plan_for
from lplr_index.errors import InputError
from lplr_index.factors import Factorization, QPlusLR, packed_codes
from lplr_index.linalg import apply_gram, least_squares, orthonormalise, project, single_threaded, singular_pairs
from lplr_index.quantizers import CAST_NBITS, UNIFORM_NBITS, CastQuantizer, check_nbits, check_scale, train_quantizer
from lplr_index.sketches import SKETCHES, orthogonal

METHODS = ("lplr", "lsvd", "dsvd", "nq")

LARGEST_NORM = 1e30
"""Of a matrix whose rows and columns are rotated: an entry may then be as large as the norm, and so may a factor's."""

# The sketches a method takes, its own choice first.
_SKETCHES_OF = {
    "lplr": tuple(SKETCHES),
    "lsvd": (*SKETCHES, "none"),
    "dsvd": ("none",),
    "nq": ("none",),
    "caldera": ("none",),
    "lq-lora": ("none",),
}


def factorize(
    A: Any,
    method: str = "lplr",
    *,
    rank: int | None = None,
    bits: float | None = None,
    nbits: int | None = None,
    nbits_R: int | None = None,
    sketch: str | None = None,
    power_iters: int = 0,
    scale: str | None = None,
    refit: bool | None = None,
    normalize_and_shift: bool = False,
    seed: int = 0,
    calibration: Any = None,
    nbits_Q: int | None = None,
    quantizer: str | None = None,
    turns: int | None = None,
    inner_turns: int | None = None,
    incoherence: bool | None = None,
) -> Factorization:
    """Factorize a matrix into two factors of few bits as the LPLR paper does, or into Q + L R as CALDERA does.

    Parameters
    ----------
    A : array_like of shape (n, d)
        Any finite matrix; it is used in float32.
    method : {"lplr", "lsvd", "dsvd", "nq", "caldera", "lq-lora"}
        See the top of this module.
    rank : int, optional
        Columns of L, at most min(n, d). Give either this or ``bits``; "nq" takes no rank, "caldera" also rank 0.
    bits : float, optional
        The paper's budget, B_nq: codes may take this many bits per entry of A, and ``rank_for_budget`` gives the rank.
        For "nq" it takes the place of ``nbits``: the largest width within it. Where there is a Q, its bits are in it.
    nbits, nbits_R : int, optional
        Bits per entry of L and of R, the paper's B and B': 1 to 8, or 16 or 32 for float16 or float32. 8 where None,
        but 4 for "caldera", whose lattice has 2, 3 and 4, and 16 for "lq-lora", which does not quantize its factors.
    sketch : {"gaussian", "srht", "sparse_jl", "orthogonal", "none"}, optional
        S of "lplr" or T of "lsvd", both Gaussian in the paper and where None is given; the others take "none" only.
        "lsvd" with "orthogonal" is better than the paper's choice: a rotation loses nothing when it is inverted.
    power_iters : int
        For "lplr": times that the sketch is multiplied with A^T A, which turns it towards the leading singular vectors.
        It becomes orthonormal after each, and a random rotation of that basis at the end.
    scale : {"matrix", "column"}, optional
        One range for a whole factor as in the paper, or one for each of its ``rank`` components: each column of L and
        each row of R (each column of A for "nq"). None is "matrix", but "column" where there is a Q.
    refit : bool, optional
        Fit R to the quantized L, or to L before quantization; None is as published, True but for "dsvd".
    normalize_and_shift : bool
        Scale and shift the product by the two numbers that bring it closest to A.
    seed : int
        Of the random sketch or rotations. The same seed and matrix give the same bytes on any number of threads.
    calibration : array_like of shape (s, d), optional
        For "caldera": vectors X like those that A will be multiplied with, so that |(Q + L R - A) X^T| is minimised.
        None stands for vectors that favour no direction.
    nbits_Q : int, optional
        Bits per entry of Q: 2 for "caldera" where None, 4 for "lq-lora".
    quantizer : {"e8", "uniform", "normalfloat"}, optional
        Of Q, and of factors of 8 bits or fewer; None is "e8" for "caldera", and "normalfloat" for "lq-lora".
    turns, inner_turns : int, optional
        How often Q and L R are found anew, and L and R in each; the best is returned, and "lq-lora" stops at the first
        turn that is worse than one before. 10 and 5 for "caldera" where None, 20 and 1 for "lq-lora".
    incoherence : bool, optional
        Code rows and columns after a random rotation; None is True for "caldera", and False for "lq-lora".

    Returns
    -------
    Factorization
        A ``QPlusLR`` where there is a Q.

    Raises
    ------
    InputError
        If an argument is none of the above, or does not go with the method; if the budget does not pay for rank 1;
        or if a factor holds values that the quantizer cannot (beyond float16 at 16 bits).

    Notes
    -----
    Time is O(n d rank) for "lplr" and O(n d min(n, d)) for the others with a low rank; memory is A in float32, two
    copies of L and some blocks of 32 MiB. Singular values are resolved to 5e-7 of the largest, and what lies below is
    left out of both factors (``lplr_index.linalg``). With a Q, time is O(n d^2) a turn and memory some ten copies of A
    in float64.

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
    for_Q = {"nbits_Q": nbits_Q, "quantizer": quantizer, "turns": turns, "inner_turns": inner_turns}
    for_Q |= {"incoherence": incoherence, "calibration": calibration}
    if method in Q_METHODS:
        widths = {"rank": rank, "bits": bits, "nbits": nbits, "nbits_R": nbits_R}
        with_Q = _q_plus_lr(A, method, {**widths, **for_Q, "scale": scale}, seed)
        return with_Q.normalized_and_shifted(A) if normalize_and_shift else with_Q
    _check_absent(for_Q, method)
    scale = check_scale("matrix" if scale is None else scale, "scale")
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


def bits_with_q(n: int, d: int, rank: int, *, nbits_Q: int = 2, nbits: int = 4, nbits_R: int = 4) -> float:
    """Return the bits per entry of an n x d matrix that the codes of Q + L R take.

    That is B_Q + rank (n B + d B') / (n d), without scales and the bits that fill the last bytes, as published.

    Parameters
    ----------
    n, d, rank : int
        Shape of the matrix, and columns of L.
    nbits_Q, nbits, nbits_R : int
        Bits per entry of Q, L and R.

    Examples
    --------
    >>> bits_with_q(4096, 4096, 64)
    2.125
    """
    as_integer(n, "n", least=1)
    as_integer(d, "d", least=1)
    widths = [check_nbits(each, name) for each, name in ((nbits_Q, "nbits_Q"), (nbits, "nbits"), (nbits_R, "nbits_R"))]
    return widths[0] + as_integer(rank, "rank") * (n * widths[1] + d * widths[2]) / (n * d)


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
    known = METHODS + Q_METHODS
    if not isinstance(method, str) or method not in known:
        raise InputError(f"expected method to be one of {', '.join(known)}, got {method!r}")
    if as_integer(power_iters, "power_iters") and method != "lplr":
        raise InputError(f"expected power_iters with method 'lplr' only, got {power_iters} with {method!r}")
    if refit is not None and not isinstance(refit, bool):
        raise InputError(f"expected refit to be True, False or None, got {refit!r}")
    if refit and method == "nq":
        raise InputError("expected no refit with method 'nq', which has no second factor, got True")
    if refit is not None and method in Q_METHODS:
        raise InputError(f"expected no refit with method {method!r}, which fits R in every turn, got {refit}")
    as_integer(seed, "seed")


def _check_absent(options: dict[str, Any], method: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise InputError(f"expected {name} with the methods {' and '.join(Q_METHODS)} only, got it with {method!r}")


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
    nbits, nbits_R = (8 if each is None else each for each in (nbits, nbits_R))
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


def _q_plus_lr(A: FloatMatrix, method: str, options: dict[str, Any], seed: int) -> QPlusLR:
    """Return Q + L R as ``lplr_index.caldera`` finds it."""
    n, d = A.shape
    calibration, rank, bits = (options.pop(name) for name in ("calibration", "rank", "bits"))
    if calibration is not None:
        if method != "caldera":
            raise InputError(f"expected calibration with method 'caldera' only, got it with {method!r}")
        calibration = as_vectors(calibration, d, name="calibration")
        if not calibration.any():
            raise InputError(
                f"expected calibration with a vector that is not zero, got {len(calibration)} rows of zeros"
            )
    norm = float(np.linalg.norm(A.astype(np.float64)))
    if norm > LARGEST_NORM:
        raise InputError(
            f"expected A with a norm up to {LARGEST_NORM:g}, as mixtures of its entries are float32, got {norm:g}"
        )
    plan = _with_rank(plan_for(method, options), A.shape, rank=rank, bits=bits)
    with single_threaded():
        parts = alternate(A, damped_second_moment(calibration, d), plan, np.random.default_rng(seed))
    out = QPlusLR(
        method=method,
        shape=A.shape,
        rank=plan.rank,
        seed=seed,
        codes_L=np.empty((n, 0), np.uint8),
        quantizer_L=CastQuantizer(CAST_NBITS[0]),
        codes_R=np.empty((d, 0), np.uint8),
        quantizer_R=CastQuantizer(CAST_NBITS[0]),
        codes_Q=parts.whole.packed(),
        quantizer_Q=parts.whole.quantizer,
        rotations=parts.rotations,
        errors=parts.errors,
    )
    if parts.factors is None:
        return out
    left, right = parts.factors.left, parts.factors.right
    return replace(
        out,
        codes_L=left.packed(),
        quantizer_L=left.quantizer,
        codes_R=right.packed(),
        quantizer_R=right.quantizer,
    )


def _with_rank(plan: Plan, shape: tuple[int, ...], *, rank: Any, bits: Any) -> Plan:
    """Return the plan with a rank, given or from a budget, Q's part of which is taken off first."""
    n, d = shape
    if (rank is None) == (bits is None):
        raise InputError(f"expected either rank or bits, got rank={rank!r} and bits={bits!r}")
    if bits is not None:
        if _as_positive(bits, "bits") <= plan.nbits_Q:
            raise InputError(f"expected bits above the {plan.nbits_Q} of Q, got {bits:g}")
        rank = rank_for_budget(n, d, plan.nbits, plan.nbits_R, bits - plan.nbits_Q)
    return replace(plan, rank=as_integer(rank, "rank", most=min(n, d)))


def _as_positive(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"expected {name} to be a number above 0, got {value!r}")
    if not 0 < value < math.inf:
        raise InputError(f"expected {name} to be a number above 0, got {value}")
    return float(value)
