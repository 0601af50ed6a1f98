"""projection.py: y = R q by int8 products, within half a step of every entry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import naive
from lplr_index.projection import IntegerProjection, round_to_bytes

SIZES = st.floats(-1e6, 1e6, width=32)


@given(arrays.arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(1, 9)), elements=SIZES))
def test_no_entry_is_off_by_more_than_half_a_step(x):
    codes, steps = round_to_bytes(x)

    assert (codes.dtype, steps.dtype, steps.shape) == (np.int8, np.float32, (len(x), 1))
    assert (np.abs(codes.astype(int)) <= 127).all()
    assert (np.abs(codes * steps.astype(float) - x) <= 0.501 * steps + 1e-45).all()
    largest = np.abs(x).max(axis=1, initial=0)
    np.testing.assert_array_equal(np.abs(codes.astype(int)).max(axis=1, initial=0), np.where(largest > 0, 127, 0))


def test_y_is_the_sum_of_integers_times_its_two_steps(rng):
    R, xq = rng.standard_normal((21, 40)).astype(np.float32), rng.standard_normal((7, 40)).astype(np.float32)
    projection = IntegerProjection(R)
    codes, steps = round_to_bytes(xq)

    sums = projection.sums(codes)

    assert sums.dtype == np.int32
    np.testing.assert_array_equal(sums, naive.multiply_bytes(codes, projection.codes))
    np.testing.assert_allclose(projection(xq), sums * steps.astype(float) * projection.steps.T, rtol=1e-6)
    assert projection.codes.nbytes == R.nbytes / 4


def test_y_is_near_the_exact_one(rng):
    R, xq = rng.standard_normal((30, 200)).astype(np.float32), rng.standard_normal((9, 200)).astype(np.float32)
    exact = xq.astype(float) @ R.T

    error = np.linalg.norm(IntegerProjection(R)(xq) - exact) / np.linalg.norm(exact)

    assert 1e-3 < error < 2e-2


def test_a_query_gets_the_same_bits_in_any_company(rng):
    R, xq = rng.standard_normal((30, 50)).astype(np.float32), rng.standard_normal((37, 50)).astype(np.float32)
    projection = IntegerProjection(R)

    np.testing.assert_array_equal(np.concatenate([projection(each[None]) for each in xq]), projection(xq))


@pytest.mark.parametrize("nq", [0, 2])
def test_zeros_stay_zero(nq):
    projection = IntegerProjection(np.zeros((3, 5), np.float32))

    np.testing.assert_array_equal(projection(np.zeros((nq, 5), np.float32)), np.zeros((nq, 3)))
