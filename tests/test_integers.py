"""integers.py: coordinate descent never makes it worse, and finds what is there to be found; and the method of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lplr_index.errors import InputError, UnsupportedError
from lplr_index.factorization import factorize
from lplr_index.factorization.integer import integer
from lplr_index.integers import descend, encode_rows, integer_factors, span
from matrices import decaying

A = decaying(300, 40, offset=0.01)
ROUNDING = 1e-12  # of sums in float64, relative to the square of A


def squared_error(A, found):
    return np.square(A.astype(np.float64) - (found.shift + found.scale * (found.L @ found.R))).sum()


@given(
    st.integers(1, 30),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 8),
    st.integers(1, 8),
    st.floats(-10, 10),
    st.integers(0, 2**32 - 1),
)
def test_error_never_rises(n, d, rank, nbits, nbits_R, offset, seed):
    x = (np.random.default_rng(seed).standard_normal((n, d)) + offset).astype(np.float32)

    found = integer_factors(x, min(rank, n, d), nbits, nbits_R, 4)

    scale = np.square(x, dtype=np.float64).sum()
    assert all(
        after <= before + ROUNDING * scale for before, after in zip(found.errors, found.errors[1:], strict=False)
    )
    assert squared_error(x, found) == pytest.approx(found.errors[-1], abs=1e-9 * scale)
    for factor, width in ((found.L, nbits), (found.R, nbits_R)):
        assert span(width)[0] <= factor.min()
        assert factor.max() <= span(width)[1]
        np.testing.assert_array_equal(factor, np.rint(factor))


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_an_update_of_one_column_is_the_best_of_all_integers(seed, nbits):
    rng = np.random.default_rng(seed)
    exact, y = rng.standard_normal((5, 4)) * 3, rng.standard_normal((4, 1))
    x = np.zeros((5, 1))

    descend(x, exact @ y, y.T @ y, nbits)

    low, high = span(nbits)
    for row, found in zip(exact, x[:, 0], strict=True):
        errors = {each: np.square(row - each * y[:, 0]).sum() for each in range(low, high + 1)}
        assert errors[found] <= min(errors.values()) + 1e-9


@pytest.mark.parametrize("nbits", [2, 3, 4])
def test_descent_beats_rounding_and_rounding_with_a_refit(nbits):
    """What the method is for: at few bits integers that know of each other are better than rounded ones."""
    options = {"rank": 20, "nbits": nbits, "nbits_R": 8}
    descended = factorize(A, "qmf", **options).relative_error(A)

    assert descended < 0.98 * factorize(A, "qmf", sweeps=0, **options).relative_error(A)
    assert descended < factorize(A, "lsvd", sketch="orthogonal", scale="column", **options).relative_error(A)


def test_what_is_stored_is_what_was_found():
    found = integer_factors(A, 12, 5, 6)
    f = integer(A, "qmf", seed=0, rank=12, nbits=5, nbits_R=6)

    np.testing.assert_array_equal(f.L, found.L)
    np.testing.assert_array_equal(f.R, found.R)
    assert (f.alpha, f.beta) == pytest.approx((found.scale, found.shift), rel=1e-6)
    assert f.relative_error(A) ** 2 * np.square(A).sum() == pytest.approx(found.errors[-1], rel=1e-3)
    assert f.nbytes == 300 * 8 + 40 * 9 + 8 + 8 + 8  # codes, two grids, w0 and w1


def test_integers_of_few_values_are_found_again():
    """A product of small integers is found to the last, from a start that is only near it."""
    rng = np.random.default_rng(1)
    product = (0.5 + 3 * rng.integers(-1, 2, (60, 1)) @ rng.integers(-1, 2, (1, 30))).astype(np.float32)

    assert factorize(product, "qmf", rank=1, nbits=2, nbits_R=2).relative_error(product) < 1e-6


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_constant_matrices_need_the_shift_only(value):
    constant = np.full((9, 7), value, np.float32)

    assert factorize(constant, "qmf", rank=2).relative_error(constant) < 1e-6


def test_further_rows_are_coded_by_descent():
    f = factorize(A[:250], "qmf", rank=16, nbits=3)

    unpacked = f.quantizer_L.decode(f.quantizer_L.unpack(f.encode(A[250:]), 16))
    error = np.linalg.norm(f.alpha * unpacked @ f.R + f.beta - A[250:]) / np.linalg.norm(A[250:])

    assert error < 0.95
    assert f.encode(A[:250]).shape == f.codes_L.shape
    np.testing.assert_array_equal(encode_rows(A[:2], f.R, 0.0, 0.0, 3), 0)


def test_there_is_no_encoder_to_ask_for():
    with pytest.raises(UnsupportedError, match="for an encoder, got 'qmf'"):
        _ = factorize(A, "qmf", rank=2).encoder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 2, "nbits": 16}, "expected nbits to be one of 1, 2, 3, 4, 5, 6, 7, 8, got 16"),
        ({"rank": 2, "nbits_R": 32}, "expected nbits_R to be one of 1, 2, 3, 4, 5, 6, 7, 8, got 32"),
        (
            {"rank": 2, "scale": "column"},
            "expected no scale with method 'qmf', which takes rank, .*, got 'column'",
        ),
        ({"rank": 2, "sweeps": -1}, "expected sweeps to be an integer >= 0, got -1"),
        ({"rank": 2, "layers": 1}, "expected no layers with method 'qmf', which takes .*, got 1"),
        ({}, "expected either rank or bits"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        factorize(A, "qmf", **arguments)
