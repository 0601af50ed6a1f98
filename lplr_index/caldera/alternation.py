"""The outer alternation: the low-rank part of what Q leaves, then Q of what the low-rank part leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lplr_index.arrays import FloatMatrix
from lplr_index.caldera.feedback import feedback_of, round_with_feedback
from lplr_index.caldera.incoherence import HadamardRotation
from lplr_index.caldera.plan import Plan
from lplr_index.caldera.regression import CodedMatrix, Factors, Float64Array, Weight, quantized_factors
from lplr_index.linalg import gram

DAMPING = 0.01
"""What is added to the diagonal of H, in parts of its mean: directions that no calibration vector has count too."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The best Q and L R that were found, in the rotated coordinates, and the errors on the way.

    Attributes
    ----------
    whole : CodedMatrix
        Q (n, d).
    factors : Factors or None
        None where the rank is 0.
    rotations : tuple of HadamardRotation, or empty
        Of the rows and of the columns.
    errors : tuple of float
        Relative error in the damped norm of H after each alternation.
    """

    whole: CodedMatrix
    factors: Factors | None
    rotations: tuple[HadamardRotation, ...] = ()
    errors: tuple[float, ...] = ()


def damped_second_moment(calibration: FloatMatrix | None, d: int) -> Float64Array:
    """Return H (d, d) with a mean diagonal of 1: that of ``calibration`` (s, d), damped; the identity where None."""
    if calibration is None:
        return np.eye(d)
    second_moment = gram(calibration)
    second_moment *= d / np.trace(second_moment)
    damped: Float64Array = (second_moment + DAMPING * np.eye(d)) / (1.0 + DAMPING)
    return damped


def alternate(A: FloatMatrix, second_moment: Float64Array, plan: Plan, rng: np.random.Generator) -> Parts:
    """Return Q + L R for A, the best of all alternations.

    Parameters
    ----------
    A : ndarray of shape (n, d), float32
    second_moment : ndarray of shape (d, d), float64
        H, positive definite.
    plan : Plan
    rng : numpy.random.Generator
        Draws the rotations.
    """
    target = A.astype(np.float64)
    rotations: tuple[HadamardRotation, ...] = ()
    if plan.incoherence:
        rows, columns = rotations = tuple(HadamardRotation.random(size, rng) for size in A.shape)
        target = rows.apply(columns.apply(target.T).T)
        second_moment = columns.apply(columns.apply(second_moment).T)
        second_moment = (second_moment + second_moment.T) / 2
    weight = Weight.of(second_moment)
    total = weight.squared(target) or 1.0
    feedback = feedback_of(second_moment, plan.quantizer_for(A).width)
    train_left, train_right = plan.factor_trainer(plan.nbits), plan.factor_trainer(plan.nbits_R)
    product, whole = np.zeros_like(target), np.zeros_like(target)
    factors: Factors | None = None
    found: list[tuple[CodedMatrix, Factors | None]] = []
    errors: list[float] = []
    for _ in range(plan.turns if plan.rank else 1):
        if plan.rank:
            factors = quantized_factors(
                target - whole, weight, plan.rank, train_left, train_right, turns=plan.inner_turns
            )
            product = factors.product()
        left_over = target - product
        quantizer = plan.quantizer_for(left_over.astype(np.float32))
        codes, whole = round_with_feedback(left_over, feedback, quantizer)
        errors.append(math.sqrt(weight.squared(left_over - whole) / total))
        if errors[-1] == min(errors):
            found = [(CodedMatrix(quantizer, codes, whole), factors)]
        elif plan.until_increase:
            break
    return Parts(*found[0], rotations, tuple(errors))
