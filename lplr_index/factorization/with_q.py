"""A matrix as Q + L R, all three of few bits: "caldera", and "lq-lora", its plain relative.

Q has full rank and few bits; all are fitted to the vectors that A will be multiplied with. How says
``lplr_index.caldera``; here their codes become a ``QPlusLR``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lplr_index.arrays import FloatMatrix, as_integer, as_vectors
from lplr_index.caldera.alternation import alternate, damped_second_moment
from lplr_index.caldera.plan import Q_METHODS, Plan, plan_for
from lplr_index.errors import InputError
from lplr_index.factorization.budgets import as_positive, check_one_of_both, rank_for_budget
from lplr_index.factors import QPlusLR
from lplr_index.linalg import single_threaded
from lplr_index.quantizers import CAST_NBITS, CastQuantizer

__all__ = ["LARGEST_NORM", "Q_METHODS", "q_plus_lr"]

LARGEST_NORM = 1e30
"""Of a matrix whose rows and columns are rotated: an entry may then be as large as the norm, and so may a factor's."""


def q_plus_lr(
    A: FloatMatrix,
    method: str,
    seed: int,
    *,
    rank: int | None = None,
    bits: float | None = None,
    nbits: int | None = None,
    nbits_R: int | None = None,
    nbits_Q: int | None = None,
    quantizer: str | None = None,
    scale: str | None = None,
    turns: int | None = None,
    inner_turns: int | None = None,
    incoherence: bool | None = None,
    calibration: Any = None,
    normalize_and_shift: bool = False,
) -> QPlusLR:
    """Return Q + L R for A (n, d); the options are those of ``factorize``.

    Raises
    ------
    InputError
        If one of them is out of range or does not go with the method.
    """
    n, d = A.shape
    calibration = _as_calibration(calibration, method, d)
    norm = float(np.linalg.norm(A.astype(np.float64)))
    if norm > LARGEST_NORM:
        raise InputError(
            f"expected A with a norm up to {LARGEST_NORM:g}, as mixtures of its entries are float32, got {norm:g}"
        )
    asked = {"nbits": nbits, "nbits_R": nbits_R, "nbits_Q": nbits_Q, "quantizer": quantizer, "scale": scale}
    asked |= {"turns": turns, "inner_turns": inner_turns, "incoherence": incoherence}
    plan = _with_rank(plan_for(method, asked), A.shape, rank, bits)
    with single_threaded():
        parts = alternate(A, damped_second_moment(calibration, d), plan, np.random.default_rng(seed))
    nothing = CastQuantizer(CAST_NBITS[0])
    out = QPlusLR(
        method=method,
        shape=A.shape,
        rank=plan.rank,
        seed=seed,
        codes_L=np.empty((n, 0), np.uint8),
        quantizer_L=nothing,
        codes_R=np.empty((d, 0), np.uint8),
        quantizer_R=nothing,
        codes_Q=parts.whole.packed(),
        quantizer_Q=parts.whole.quantizer,
        rotations=parts.rotations,
        errors=parts.errors,
    )
    if parts.factors is not None:
        left, right = parts.factors.left, parts.factors.right
        out = replace(
            out,
            codes_L=left.packed(),
            quantizer_L=left.quantizer,
            codes_R=right.packed(),
            quantizer_R=right.quantizer,
        )
    return out.normalized_and_shifted(A) if normalize_and_shift else out


def _as_calibration(calibration: Any, method: str, d: int) -> FloatMatrix | None:
    if calibration is None:
        return None
    if method != "caldera":
        raise InputError(f"expected calibration with method 'caldera' only, got it with {method!r}")
    given = as_vectors(calibration, d, name="calibration")
    if not given.any():
        raise InputError(f"expected calibration with a vector that is not zero, got {len(given)} rows of zeros")
    return given


def _with_rank(plan: Plan, shape: tuple[int, int], rank: Any, bits: Any) -> Plan:
    """Return the plan with a rank, given or from a budget, Q's part of which is taken off first."""
    check_one_of_both(rank, bits)
    if bits is not None:
        if as_positive(bits, "bits") <= plan.nbits_Q:
            raise InputError(f"expected bits above the {plan.nbits_Q} of Q, got {bits:g}")
        rank = rank_for_budget(*shape, plan.nbits, plan.nbits_R, bits - plan.nbits_Q)
    return replace(plan, rank=as_integer(rank, "rank", most=min(shape)))
