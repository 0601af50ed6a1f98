"""allocation.py: codes share nibbles without waste."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lplr_index.allocation import pack_fields


@given(st.lists(st.integers(0, 8), min_size=1, max_size=60))
def test_fields_hold_every_bit_once_and_waste_none(bits):
    fields = pack_fields(np.array(bits, np.uint8))

    column, _, shift, mask, code_shift = fields.T
    width = np.log2(mask + 1)
    assert np.isin(mask, [1, 3, 7, 15]).all()
    assert (shift + width <= 4).all()
    in_code, in_nibble = [0] * len(bits), {}
    for j, at, low, ones, high in fields.tolist():
        assert in_code[j] & (ones << high) == 0
        in_code[j] |= ones << high
        assert in_nibble.get(at, 0) & (ones << low) == 0
        in_nibble[at] = in_nibble.get(at, 0) | ones << low
    assert in_code == [(1 << b) - 1 for b in bits]
    assert sorted(in_nibble) == list(range(-(-sum(bits) // 4)))
    # By column, the most significant part first: the codec and the scan read them in this order.
    assert (np.lexsort([-code_shift, column]) == np.arange(len(fields))).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_codes_that_fit_a_nibble_are_not_cut(bits):
    assert len(pack_fields(np.full(16, bits, np.uint8))) == 16


def test_no_bits_no_fields():
    assert pack_fields(np.zeros(3, np.uint8)).shape == (0, 5)
