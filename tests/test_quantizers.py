"""quantizers.py: levels, rounding, ranges, and what codes cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import naive
from lplr_index.errors import InputError
from lplr_index.quantizers import CastQuantizer, UniformQuantizer, train_quantizer

ALL_NBITS = [1, 2, 3, 4, 5, 6, 7, 8, 16, 32]

matrices = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 8), st.integers(1, 6)),
    elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
)


def round_trip(quantizer, A):
    return quantizer.decode(quantizer.encode(A))


@pytest.mark.parametrize("per", ["matrix", "column"])
@given(matrices, st.integers(1, 8))
def test_error_is_at_most_half_a_step(per, A, nbits):
    quantizer = UniformQuantizer.train(A, nbits, per)

    error = np.abs(round_trip(quantizer, A).astype(np.float64) - A)

    rounding = 1e-6 * np.abs(A).max() + 1e-37
    assert (error <= quantizer.step.astype(np.float64) / 2 + rounding).all()


@pytest.mark.parametrize("per", ["matrix", "column"])
@pytest.mark.parametrize("nbits", range(1, 9))
def test_equals_the_naive_quantizer(per, nbits, rng):
    A = rng.standard_normal((200, 11)).astype(np.float32) * np.arange(1, 12, dtype=np.float32)

    expected = naive.quantize(A.astype(np.float64), nbits, 0 if per == "column" else None)

    np.testing.assert_allclose(round_trip(UniformQuantizer.train(A, nbits, per), A), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("nbits", range(1, 9))
def test_levels_run_from_the_minimum_to_the_maximum(nbits, rng):
    A = rng.uniform(-3.0, 5.0, (5000, 4)).astype(np.float32)
    quantizer = UniformQuantizer.train(A, nbits)

    decoded = round_trip(quantizer, A)

    assert quantizer.levels == 2**nbits == len(np.unique(decoded))
    assert decoded.min() == A.min()
    assert decoded.max() == pytest.approx(A.max(), rel=3e-7)


def test_one_bit_is_the_minimum_and_the_maximum():
    A = np.array([[-1.0, 0.25], [0.75, 3.0], [1.5, 2.0]], np.float32)

    np.testing.assert_array_equal(round_trip(UniformQuantizer.train(A, 1), A), [[-1, -1], [-1, 3], [3, 3]])
    np.testing.assert_array_equal(
        round_trip(UniformQuantizer.train(A, 1, "column"), A), [[-1, 0.25], [1.5, 3], [1.5, 3]]
    )


def test_ties_take_the_even_code():
    A = np.array([[0.0, 0.5, 1.5, 2.5, 3.0]], np.float32)

    np.testing.assert_array_equal(UniformQuantizer.train(A, 2).encode(A), [[0, 0, 2, 2, 3]])


def test_values_outside_the_range_are_clipped():
    quantizer = UniformQuantizer.train(np.array([[0.0, 1.0]], np.float32), 3)

    np.testing.assert_array_equal(quantizer.encode(np.array([[-9.0, 9.0, 1e38]], np.float32)), [[0, 7, 7]])


@pytest.mark.parametrize("nbits", range(1, 9))
def test_constant_columns_are_exact(nbits):
    A = np.array([[0.1, -7.0, 0.0, 1.0], [0.1, -7.0, 0.0, 2.0]], np.float32)

    np.testing.assert_array_equal(round_trip(train_quantizer(A, nbits, "column"), A), A)
    np.testing.assert_array_equal(round_trip(train_quantizer(A[:, :1], nbits), A[:, :1]), A[:, :1])


@pytest.mark.parametrize(("per", "shape", "nbytes"), [("matrix", (), 8), ("column", (11,), 88)])
def test_ranges_and_their_bytes(per, shape, nbytes, rng):
    quantizer = train_quantizer(rng.standard_normal((20, 11)).astype(np.float32), 5, per)

    assert quantizer.vmin.shape == quantizer.step.shape == shape
    assert quantizer.vmin.dtype == quantizer.step.dtype == np.float32
    assert quantizer.nbytes == nbytes == quantizer.vmin.nbytes + quantizer.step.nbytes


@pytest.mark.parametrize("nbits", ALL_NBITS)
def test_codes_survive_packing(nbits, rng):
    A = rng.standard_normal((9, 13)).astype(np.float32)
    quantizer = train_quantizer(A, nbits)
    codes = quantizer.encode(A)

    packed = quantizer.pack(codes)

    assert packed.dtype == np.uint8
    assert packed.shape == (9, -(-13 * nbits // 8))
    np.testing.assert_array_equal(quantizer.unpack(packed, 13), codes)


def test_casts():
    A = np.array([[1.0, 0.1, -65504.0]], np.float32)

    np.testing.assert_array_equal(round_trip(train_quantizer(A, 32), A), A)
    np.testing.assert_array_equal(round_trip(train_quantizer(A, 16), A), A.astype(np.float16))
    assert isinstance(train_quantizer(A, 16), CastQuantizer)
    assert train_quantizer(A, 16).nbytes == 0


def test_half_precision_clips_what_comes_later():
    later = np.array([[1e6, -1e6]], np.float32)

    np.testing.assert_array_equal(round_trip(CastQuantizer(16), later), [[65504.0, -65504.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda A: train_quantizer(A, 9), "expected nbits to be one of 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, got 9"),
        (lambda A: train_quantizer(A, 4.0), "expected nbits to be one of"),
        (lambda A: train_quantizer(A, True), "expected nbits to be one of .*, got True"),
        (lambda A: UniformQuantizer.train(A, 16), "expected nbits to be one of 1, 2, 3, 4, 5, 6, 7, 8, got 16"),
        (lambda A: CastQuantizer.train(A, 8), "expected nbits to be one of 16, 32, got 8"),
        (lambda A: train_quantizer(A, 4, "row"), "expected per to be 'matrix' or 'column', got 'row'"),
        (lambda A: train_quantizer(A, 32, None), "expected per to be 'matrix' or 'column', got None"),
        (lambda A: train_quantizer(A * 1e5, 16), r"expected values within \+-65504 for 16 bits, got 100000"),
        (lambda A: train_quantizer(A * np.float32(3e38), 4), "expected values whose range fits in float32, got -3e"),
        (lambda A: train_quantizer(A * np.float32(np.inf), 4), "expected values whose range fits in float32, got -inf"),
        (lambda A: train_quantizer(A * np.float32(np.nan), 4), "expected values whose range fits in float32, got nan"),
        (lambda A: train_quantizer(A * np.float32(np.inf), 32), "for 32 bits, got inf"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call(np.array([[-1.0, 1.0]], np.float32))
