"""bits.py: the packed layout is what its docstring says, and nothing is lost in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import naive
from lplr_index.bits import code_size, pack, unpack
from lplr_index.errors import InputError


@st.composite
def codes_and_nbits(draw):
    nbits = draw(st.integers(1, 8))
    shape = draw(st.tuples(st.integers(0, 5), st.integers(0, 40)))
    return draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 2**nbits - 1))), nbits


@given(codes_and_nbits())
def test_unpack_inverts_pack(case):
    codes, nbits = case

    packed = pack(codes, nbits)

    assert packed.shape == (len(codes), code_size(codes.shape[1], nbits))
    assert packed.flags.c_contiguous
    np.testing.assert_array_equal(unpack(packed, codes.shape[1], nbits), codes)


@given(codes_and_nbits())
def test_pack_is_the_bit_string_of_the_specification(case):
    codes, nbits = case

    np.testing.assert_array_equal(pack(codes, nbits), naive.pack(codes, nbits))


@given(codes_and_nbits(), st.integers(0, 5))
def test_any_block_of_rows_packs_by_itself(case, cut):
    codes, nbits = case

    halves = np.concatenate([pack(codes[:cut], nbits), pack(codes[cut:], nbits)])

    np.testing.assert_array_equal(halves, pack(codes, nbits))


def test_golden_bytes():
    assert pack(np.array([[1, 2, 3, 4, 5]], np.uint8), 3).tolist() == [[0b11_010_001, 0b0_101_100_0]]
    assert pack(np.array([[0xA, 0xB, 0xC]], np.uint8), 4).tolist() == [[0xBA, 0x0C]]
    assert pack(np.array([[1, 0, 0, 0, 0, 0, 0, 0, 1]], np.uint8), 1).tolist() == [[1, 1]]


def test_eight_bits_are_the_codes_themselves(rng):
    codes = rng.integers(0, 256, (7, 13), dtype=np.uint8)

    np.testing.assert_array_equal(pack(codes, 8), codes)


@pytest.mark.parametrize(("m", "nbits", "size"), [(0, 5, 0), (1, 1, 1), (8, 1, 1), (9, 1, 2), (83, 4, 42), (5, 3, 2)])
def test_code_size(m, nbits, size):
    assert code_size(m, nbits) == size


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pack(np.array([[4]], np.uint8), 2), "expected codes below 4 for 2 bits, got 4"),
        (lambda: pack(np.array([[1]], np.int64), 2), "expected codes to be a uint8 matrix, got int64 of shape"),
        (lambda: pack(np.array([1], np.uint8), 2), "expected codes to be a uint8 matrix, got uint8 of shape"),
        (lambda: pack([[1]], 2), "expected codes to be a uint8 matrix, got list"),
        (lambda: pack(np.array([[1]], np.uint8), 9), "expected nbits to be an integer from 1 to 8, got 9"),
        (lambda: pack(np.array([[1]], np.uint8), 0), "expected nbits to be an integer from 1 to 8, got 0"),
        (lambda: unpack(np.zeros((2, 3), np.uint8), 7, 4), "expected 4 bytes a row for 7 codes of 4 bits, got 3"),
        (lambda: unpack(np.zeros((2, 3), np.float32), 5, 4), "expected packed codes to be a uint8 matrix"),
        (lambda: code_size(4, 2.0), "expected nbits to be an integer from 1 to 8, got 2.0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
