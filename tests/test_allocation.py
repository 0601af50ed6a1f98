"""allocation.py: bits go where they save most, and codes share nibbles without waste."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lplr_index.allocation import DISTORTION, MOST_BITS, pack_fields, water_fill


def cost(weight, bits):
    return sum(w * DISTORTION[b] for w, b in zip(weight, bits, strict=True))


def test_each_bit_saves_less_than_the_one_before():
    saved = -np.diff(DISTORTION)

    assert len(DISTORTION) == MOST_BITS + 1
    assert (saved > 0).all()
    assert (np.diff(saved) < 0).all()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=3), st.integers(0, 14))
def test_no_other_allocation_is_better(weight, total):
    bits = water_fill(np.array(weight), total)

    assert bits.dtype == np.uint8
    assert bits.sum() == min(total, MOST_BITS * len(weight))
    others = (each for each in itertools.product(range(MOST_BITS + 1), repeat=len(weight)) if sum(each) == bits.sum())
    assert cost(weight, bits) <= min(cost(weight, each) for each in others) + 1e-9


@pytest.mark.parametrize("total", [2, 5, 9, 16])
def test_no_other_allocation_is_better_for_weights_that_are_close(rng, total):
    for weight in rng.lognormal(sigma=1.0, size=(40, 3)):
        bits = water_fill(weight, total)

        others = (each for each in itertools.product(range(MOST_BITS + 1), repeat=3) if sum(each) == total)
        assert cost(weight, bits) <= min(cost(weight, each) for each in others) + 1e-12


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=40), st.integers(0, 200))
def test_heavier_columns_have_no_fewer_bits(weight, total):
    weight = np.sort(weight)[::-1]

    assert (np.diff(water_fill(weight, total).astype(int)) <= 0).all()


def test_columns_that_save_the_same_are_served_in_order():
    assert water_fill(np.ones(4), 6).tolist() == [2, 2, 1, 1]


def test_a_budget_beyond_all_columns_is_not_spent():
    assert water_fill(np.array([1.0, 0.0]), 100).tolist() == [8, 8]


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
