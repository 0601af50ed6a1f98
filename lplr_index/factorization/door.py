"""``factorize``: one door for all methods, each of which declares in its own module what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict, Unpack, overload

from lplr_index.approximations import Approximation
from lplr_index.arrays import as_integer, as_vectors
from lplr_index.errors import InputError
from lplr_index.factorization.integer import integer
from lplr_index.factorization.low_rank import PUBLISHED, low_rank
from lplr_index.factorization.with_q import Q_METHODS, q_plus_lr
from lplr_index.factors import Factorization, IntegerFactorization, QPlusLR
from lplr_index.hera import ENTANGLEMENTS, Entangled, entangle

_MAKERS: dict[str, Callable[..., Approximation]] = {
    **dict.fromkeys(PUBLISHED, low_rank),
    **dict.fromkeys(Q_METHODS, q_plus_lr),
    "qmf": integer,
    **dict.fromkeys(ENTANGLEMENTS, entangle),
}

METHODS = tuple(_MAKERS)
"""Every name that ``factorize`` takes."""


class Options(TypedDict, total=False):
    """What ``factorize`` takes beside the matrix, the method and the seed; None is as good as not given."""

    rank: int | None
    bits: float | None
    nbits: int | None
    nbits_R: int | None
    sketch: str | None
    power_iters: int | None
    scale: str | None
    refit: bool | None
    normalize_and_shift: bool | None
    calibration: Any
    nbits_Q: int | None
    quantizer: str | None
    turns: int | None
    inner_turns: int | None
    incoherence: bool | None
    sweeps: int | None
    layers: int | Sequence[int] | None
    groups: int | Sequence[int] | None
    share: float | None
    codeword_bits: int | None


@overload
def factorize(
    A: Any, method: Literal["lplr", "lsvd", "dsvd", "nq"] = "lplr", *, seed: int = 0, **options: Unpack[Options]
) -> Factorization: ...
@overload
def factorize(
    A: Any, method: Literal["caldera", "lq-lora"], *, seed: int = 0, **options: Unpack[Options]
) -> QPlusLR: ...
@overload
def factorize(A: Any, method: Literal["qmf"], *, seed: int = 0, **options: Unpack[Options]) -> IntegerFactorization: ...
@overload
def factorize(A: Any, method: Literal["hera", "qet"], *, seed: int = 0, **options: Unpack[Options]) -> Entangled: ...
@overload
def factorize(A: Any, method: str, *, seed: int = 0, **options: Unpack[Options]) -> Approximation: ...


def factorize(A: Any, method: str = "lplr", *, seed: int = 0, **options: Unpack[Options]) -> Approximation:
    """Compress a matrix by a published method.

    Parameters
    ----------
    A : array_like of shape (n, d)
        Any finite matrix; it is used in float32.
    method : {"lplr", "lsvd", "dsvd", "nq", "caldera", "lq-lora", "qmf", "hera", "qet"}
        The first four are two factors of few bits, see ``low_rank``; the next two put a matrix Q of full rank beside
        them, see ``with_q``; the factors of "qmf" are integers, see ``lplr_index.integers``; the last two are no
        factors but product quantizers of swapped columns, see ``lplr_index.hera``.
    seed : int
        Of everything random. The same seed and matrix give the same bytes on any number of threads.
    **options
        As far as the method takes them, in parentheses; None is the method's own choice.

        rank : int
            Columns of L, at most min(n, d). Give either this or ``bits``; "caldera" also takes rank 0. (all but "nq",
            "hera", "qet")
        bits : float
            The paper's budget, B_nq: codes may take this many bits per entry of A, and ``rank_for_budget`` gives the
            rank. For "nq" it takes the place of ``nbits``: the largest width within it. Where there is a Q, its bits
            are in it; for "hera" and "qet" it is a bound for everything that is stored. (all)
        nbits, nbits_R : int
            Bits per entry of L and of R, the paper's B and B': 1 to 8, or 16 or 32 for float16 or float32. 8 where
            None, but 4 for "caldera", whose lattice has 2, 3 and 4, and 16 for "lq-lora", which does not quantize its
            factors. (all but "hera", "qet")
        sketch : {"gaussian", "srht", "sparse_jl", "orthogonal", "none"}
            S of "lplr" or T of "lsvd", both Gaussian in the paper and where None; "dsvd" and "nq" take "none" only.
            "lsvd" with "orthogonal" is better than the paper's choice: a rotation loses nothing when it is inverted.
        power_iters : int
            Times that the sketch is multiplied with A^T A, which turns it towards the leading singular vectors. It
            becomes orthonormal after each, and a random rotation of that basis at the end. ("lplr")
        scale : {"matrix", "column"}
            One range for a whole factor as in the paper, or one for each of its ``rank`` components: each column of L
            and each row of R (each column of A for "nq"). None is "matrix", but "column" where there is a Q.
            (all but "qmf", "hera", "qet")
        refit : bool
            Fit R to the quantized L, or to L before quantization; None is as published, True but for "dsvd".
            ("lplr", "lsvd", "dsvd")
        normalize_and_shift : bool
            Scale and shift the product by the two numbers that bring it closest to A. (all but "qmf", which always
            does, "hera", "qet")
        calibration : array_like of shape (s, d)
            Vectors X like those that A will be multiplied with, so that |(Q + L R - A) X^T| is minimised. None stands
            for vectors that favour no direction. ("caldera")
        nbits_Q : int
            Bits per entry of Q: 2 for "caldera" where None, 4 for "lq-lora".
        quantizer : {"e8", "uniform", "normalfloat"}
            Of Q, and of factors of 8 bits or fewer; None is "e8" for "caldera", and "normalfloat" for "lq-lora".
        turns, inner_turns : int
            How often Q and L R are found anew, and L and R in each; the best is returned, and "lq-lora" stops at the
            first turn that is worse than one before. 10 and 5 for "caldera" where None, 20 and 1 for "lq-lora".
        incoherence : bool
            Code rows and columns after a random rotation; None is True for "caldera", and False for "lq-lora".
        sweeps : int
            Of coordinate descent, 10 where None. ("qmf")
        layers, groups, share, codeword_bits : int or sequence of int, float, int
            Of "hera" and "qet", see ``lplr_index.hera.entangle``.

    Returns
    -------
    Approximation
        A ``Factorization`` of factors, a ``QPlusLR`` where there is a Q; an ``Entangled`` of "hera" and "qet".

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
    if not isinstance(method, str) or method not in _MAKERS:
        raise InputError(f"expected method to be one of {', '.join(METHODS)}, got {method!r}")
    make = _MAKERS[method]
    given = {name: value for name, value in options.items() if value is not None}
    taken = list(inspect.signature(make).parameters)[3:]
    for name, value in given.items():
        if name not in taken:
            known = ", ".join(taken)
            raise InputError(f"expected no {name} with method {method!r}, which takes {known}, got {value!r}")
    A = as_vectors(A, name="A")
    if len(A) == 0:
        raise InputError(f"expected A with at least one row, got shape {A.shape}")
    return make(A, method, as_integer(seed, "seed"), **given)
