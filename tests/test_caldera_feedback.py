"""caldera/feedback.py: the block LDL decomposition, and feedback against plain rounding in the norm of H."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from lplr_index.caldera.feedback import feedback_of, round_with_feedback
from lplr_index.caldera.grids import GridQuantizer
from lplr_index.caldera.lattice import LatticeQuantizer


def second_moment(d, power=0.5):
    """Of vectors whose spectrum decays along axes that are not the coordinates'."""
    rng = np.random.default_rng(3)
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (axes * np.arange(1, d + 1) ** (-2 * power)) @ axes.T


def quantizers(A):
    narrow = A.astype(np.float32)
    return {
        "e8": LatticeQuantizer.train(narrow, 2),
        "uniform": GridQuantizer.train(narrow, "uniform", 2),
        "normalfloat": GridQuantizer.train(narrow, "normalfloat", 3, "block"),
    }


def gaussian(n, d):
    return np.random.default_rng(4).standard_normal((n, d))


@pytest.mark.parametrize("width", [1, 5, 8])
def test_it_is_unit_lower_triangular_by_blocks(width):
    weight = second_moment(20)

    feedback = feedback_of(weight, width)

    block = np.arange(20) // width
    np.testing.assert_allclose(feedback[block[:, None] == block], np.eye(20)[block[:, None] == block], atol=1e-12)
    assert (feedback[block[:, None] < block] == 0).all()
    middle = np.linalg.solve(feedback, np.linalg.solve(feedback, weight).T)
    np.testing.assert_allclose(middle[block[:, None] != block], 0, atol=1e-12)


@pytest.mark.parametrize("name", ["e8", "uniform", "normalfloat"])
def test_it_is_what_the_definition_says(name):
    A, weight = gaussian(30, 21), second_moment(21)
    quantizer = quantizers(A)[name]

    codes, values = round_with_feedback(A, feedback_of(weight, quantizer.width), quantizer)

    def rounded(block, start):
        return quantizer.decode(quantizer.encode(block.astype(np.float32), start), start)

    # Both are sums in float64, in another order: a code next to a boundary may differ.
    expected = naive.round_with_feedback(A, weight, quantizer.width, rounded)
    assert (np.abs(values - expected).max(axis=1) > 1e-6).mean() < 0.05
    np.testing.assert_array_equal(values, quantizer.decode(codes))


@pytest.mark.parametrize("name", ["e8", "uniform", "normalfloat"])
@pytest.mark.parametrize("power", [0.2, 0.5, 1.0])
def test_it_is_better_than_plain_rounding_in_the_norm_that_counts(name, power):
    A, weight = gaussian(200, 40), second_moment(40, power)
    quantizer = quantizers(A)[name]
    plain = quantizer.decode(quantizer.encode(A.astype(np.float32)))

    _, values = round_with_feedback(A, feedback_of(weight, quantizer.width), quantizer)

    assert naive.weighted_error(A, values, weight) < naive.weighted_error(A, plain, weight)


@pytest.mark.parametrize("name", ["e8", "uniform", "normalfloat"])
def test_without_a_direction_that_counts_more_it_is_plain_rounding(name):
    A = gaussian(50, 30)
    quantizer = quantizers(A)[name]

    codes, _ = round_with_feedback(A, feedback_of(np.eye(30), quantizer.width), quantizer)

    np.testing.assert_array_equal(codes, quantizer.encode(A.astype(np.float32)))
