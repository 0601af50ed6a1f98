"""arrays.py: the door for what users pass. What each method of the index refuses is in test_index.py."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lplr_index.arrays import (
    as_array,
    as_codes,
    as_ids,
    as_integer,
    as_number,
    as_rows,
    as_vectors,
    row_chunks,
    some_rows,
    unit_rows,
    warn_of_zeros,
)
from lplr_index.errors import InputError, ZeroVectorWarning

# Vectors


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, ">f4", np.int8, np.uint8, np.int64, np.uint64, bool]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_numbers_become_float32(dtype, order):
    a = np.arange(12).reshape(3, 4).astype(dtype, order=order)

    out = as_vectors(a, 4)

    assert (out.dtype, out.shape, out.flags.c_contiguous) == (np.float32, (3, 4), True)
    np.testing.assert_array_equal(out, a.astype(np.float32))


def test_what_is_right_already_is_not_copied():
    a = np.ones((3, 4), np.float32)

    assert as_vectors(a) is a
    assert np.shares_memory(as_vectors(a[1:]), a)
    assert not np.shares_memory(as_vectors(a[:, 1:]), a)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, -1e300])
@pytest.mark.parametrize("at", [(0, 0), (2, 3), (1, 2)])
def test_the_first_value_that_float32_cannot_hold_is_named(value, at):
    a = np.zeros((3, 4))
    a[at] = value
    a[2, 3] = value

    with pytest.raises(InputError) as caught:
        as_vectors(a, name="xb", first_row=100)
    assert str(caught.value) == (
        f"expected finite float32 numbers, got {a[at]} in row {100 + at[0]}, column {at[1]} of xb"
    )


def test_large_numbers_that_add_up_to_infinity_are_fine():
    a = np.full((2, 4), 3e38, np.float32)
    a[1] = -3e38

    assert as_vectors(a) is a


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 0)), r"expected x with at least one column, got shape \(2, 0\)"),
        (
            np.zeros((2, 3), np.longdouble),
            "got dtype .*: float64 is the widest known",
        ),
        (np.zeros(3), r"expected x of shape \(n, d\), got shape \(3,\): x\[None\] is one row"),
        (np.zeros((1, 1, 1)), r"expected x of shape \(n, d\), got shape \(1, 1, 1\)$"),
        (np.zeros((2, 3), "M8[s]"), "expected x to hold float or integer numbers, got dtype datetime64"),
        (np.zeros((2, 3), [("a", "f4")]), "expected x to hold float or integer numbers, got dtype"),
        ({}, "expected x to be an array of numbers, got dtype object from dict"),
    ],
)
def test_what_is_no_matrix(x, message):
    if np.asarray(x).dtype == np.longdouble and np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("long double is double here")
    with pytest.raises(InputError, match=message):
        as_vectors(x)


# Unit rows


@given(hnp.arrays(np.float32, (3, 5), elements=st.floats(2.0**-60, 2.0**60, width=32) | st.just(0.0)), st.booleans())
def test_unit_rows(x, negative):
    x = -x if negative else x

    rows, norms = unit_rows(x)

    exact = np.linalg.norm(x.astype(float), axis=1)
    np.testing.assert_allclose(norms, exact, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows.astype(float), axis=1), exact > 0, atol=1e-6)
    np.testing.assert_allclose(rows * exact[:, None], x, rtol=1e-5)


@pytest.mark.parametrize("size", [1e-44, 1e-39, 1e-37, 1e-20, 1e20, 1e38])
def test_unit_rows_of_any_size(size):
    """From the smallest to the largest numbers of float32."""
    x = (size * np.array([[1.0, -2.0, 3.0, 0.0]])).astype(np.float32)

    rows, _ = unit_rows(x)

    np.testing.assert_allclose(rows, x / np.linalg.norm(x.astype(float)), rtol=1e-6)


def test_unit_rows_do_not_depend_on_their_company(rng):
    x = rng.standard_normal((100, 37)).astype(np.float32)
    together = unit_rows(x)[0]

    np.testing.assert_array_equal(np.concatenate([unit_rows(row[None])[0] for row in x]), together)


def test_rows_of_length_zero_are_numbered():
    x = np.array([[1, 1], [0, 0], [0, 2], [0, 0]])

    rows, zeros = as_rows(x, 2, cosine=True, first_row=10)
    assert zeros.tolist() == [11, 13]
    assert not rows[[1, 3]].any()
    np.testing.assert_allclose(np.linalg.norm(rows[[0, 2]], axis=1), 1, rtol=1e-6)
    rows, zeros = as_rows(x, 2, cosine=False)
    assert zeros.tolist() == []
    np.testing.assert_array_equal(rows, x)


def test_the_warning_says_which_and_how_many():
    with pytest.warns(ZeroVectorWarning, match="2 of 40 vectors have length zero, row 7 first") as caught:
        warn_of_zeros(np.array([7, 30]), 40)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_zeros(np.empty(0, np.int64), 40)


# Chunks


@pytest.mark.parametrize("n", [0, 1, 4, 5, 12])
def test_chunks_are_the_whole_in_order(n):
    x = np.arange(2 * n).reshape(n, 2)

    chunks = list(row_chunks(x, 4))

    assert [start for start, _ in chunks] == list(range(0, max(n, 1), 4))
    np.testing.assert_array_equal(np.concatenate([chunk for _, chunk in chunks]), x)
    assert all(np.shares_memory(chunk, x) for _, chunk in chunks if n)


# Ids, codes, numbers


@pytest.mark.parametrize("ids", [[1, 2], (1, 2), np.array([1, 2], np.uint8), np.array([1, 2], ">i4"), range(1, 3)])
def test_ids_become_int64(ids):
    out = as_ids(ids, 2)

    assert (out.dtype, out.flags.c_contiguous, out.tolist()) == (np.int64, True, [1, 2])
    assert as_ids([]).dtype == np.int64


@pytest.mark.parametrize(
    ("ids", "n", "message"),
    [
        (3, None, r"expected ids to be a one-dimensional integer array, got int64 of shape \(\)"),
        ([True, False], None, "expected ids to be a one-dimensional integer array, got bool"),
        ([2**63], None, "expected ids that fit in int64, got 9223372036854775808"),
        ([2**64], None, "expected ids to be an array of numbers, got dtype object from list"),
        ([1, 2], 3, "expected 3 ids, got 2"),
        ("ab", None, "expected ids to be a one-dimensional integer array, got <U2"),
    ],
)
def test_what_are_no_ids(ids, n, message):
    with pytest.raises(InputError, match=message):
        as_ids(ids, n)


def test_codes_are_bytes_of_one_width():
    codes = np.zeros((3, 4), np.uint8)

    assert as_codes(codes, 4) is codes
    assert as_codes(codes[:, ::2], 2).flags.c_contiguous
    for wrong in (codes[0], codes.astype(np.int8), codes[:, :3], [[0, 1, 2, 3]]):
        with pytest.raises(InputError, match=r"expected codes of shape \(n, 4\) and dtype uint8, got"):
            as_codes(wrong, 4)


@pytest.mark.parametrize(("value", "expected"), [(3, 3), (np.int8(3), 3), (np.uint64(9), 9), (0, 0)])
def test_integers(value, expected):
    out = as_integer(value, "k", most=9)

    assert (type(out), out) == (int, expected)


@pytest.mark.parametrize("value", [-1, 10, 3.0, "3", None, True, np.bool_(True), np.float64(3), [3], np.array([3])])
def test_what_is_no_integer_in_range(value):
    with pytest.raises(InputError, match="expected k to be an integer from 0 to 9, got"):
        as_integer(value, "k", most=9)
    if not (isinstance(value, int) and value == 10):
        with pytest.raises(InputError, match="expected k to be an integer >= 0, got"):
            as_integer(value, "k")


@pytest.mark.parametrize("value", [3, 2.5, np.float32(1.5), np.int64(-2), np.array(4.0)])
def test_numbers(value):
    assert as_number(value, "radius") == float(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "expected radius to be finite, got nan"),
        (-np.inf, "expected radius to be finite, got -inf"),
        (None, "expected radius to be a number, got None"),
        ("x", "expected radius to be a number, got 'x'"),
        ([1, 2], r"expected radius to be a number, got \[1, 2\]"),
        (1j, "expected radius to be a number, got 1j"),
        pytest.param(10**400, "expected radius to be a number, got 1000", id="beyond float"),
    ],
)
def test_what_is_no_number(value, message):
    with pytest.raises(InputError, match=message):
        as_number(value, "radius")


def test_rows_of_different_lengths_are_no_array():
    with pytest.raises(InputError, match="expected x to be an array of numbers, got rows of different lengths"):
        as_array([[1], [2, 3]])
    a = np.ones(3)
    assert as_array(a) is a


class Tensor:
    """What torch does with a tensor that is on a device, or has a gradient."""

    def __init__(self, err):
        self.err = err

    def __array__(self, dtype=None, copy=None):
        raise self.err


@pytest.mark.parametrize("kind", [RuntimeError, TypeError, ValueError])
def test_what_a_tensor_advises_is_passed_on(kind):
    with pytest.raises(InputError, match="got a Tensor that numpy cannot read: call cpu first"):
        as_array(Tensor(kind("call cpu first")))


def test_masked_values_are_no_numbers():
    x = np.ma.masked_greater(np.arange(6.0).reshape(3, 2), 4)

    with pytest.raises(InputError, match="expected x without masked values, got some"):
        as_array(x)
    np.testing.assert_array_equal(as_array(x[:2]), [[0, 1], [2, 3]])


def test_a_message_tells_what_the_objects_were():
    frame = pytest.importorskip("pandas").DataFrame
    sparse = pytest.importorskip("scipy.sparse")
    rows = np.empty(2, object)
    rows[:] = [[1.0, 2.0], [3.0, 4.0]]
    for x, told in [
        (frame({"a": [1.0], "label": ["spam"]}), "from DataFrame: not all of its columns are plain numbers"),
        (sparse.csr_matrix(np.eye(2)), r"from sparse csr_matrix: its toarray\(\) holds numbers"),
        (rows, "each row one of its own: np.stack makes them one array"),
        ((row for row in rows), "from generator"),
        (None, "from NoneType"),
        (np.full((1, 2), None), "got dtype object$"),
    ]:
        with pytest.raises(InputError, match=told):
            as_vectors(x)
    np.testing.assert_array_equal(as_vectors(frame({"a": [1.0], "b": [2]})), [[1, 2]])


def test_some_rows_are_a_choice_in_order(rng):
    x = np.arange(200).reshape(100, 2)

    found = some_rows(x, 30, 5)

    assert len(np.unique(found[:, 0])) == 30
    assert (np.diff(found[:, 0]) > 0).all()
    np.testing.assert_array_equal(found[:, 1], found[:, 0] + 1)
    np.testing.assert_array_equal(some_rows(x, 30, 5), found)
    assert (some_rows(x, 30, 6) != found).any()
    assert some_rows(x, 100, 5) is x
    assert len(some_rows(x, 30, rng)) == 30
