"""hera/swaps.py: swaps are those of the definition, and come back exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lplr_index.hera.swaps import most_layers, pair_count, swap, unswap


@st.composite
def matrices_and_layers(draw):
    d = draw(st.integers(1, 20))
    numbers = st.one_of(st.floats(width=32, allow_nan=False), st.sampled_from([0.0, -0.0, 1.0, -1.0]))
    x = draw(arrays(np.float32, (draw(st.integers(0, 6)), d), elements=numbers))
    return x, draw(st.integers(0, most_layers(d)))


def by_definition(row, layers):
    """One row, one pair at a time: the twin of ``swap``, which goes through the tree depth first."""
    if layers == 0 or len(row) < 2:
        return list(row), [[] for _ in range(layers)]
    low, high, crossed = [], [], []
    for first, second in zip(row[0::2], row[1::2], strict=False):
        crossed.append(bool(second < first))
        low.append(min(first, second))
        high.append(max(second, first))
    if len(row) % 2:
        low.append(row[-1])
    (left, left_bits), (right, right_bits) = by_definition(low, layers - 1), by_definition(high, layers - 1)
    return left + right, [crossed, *(a + b for a, b in zip(left_bits, right_bits, strict=True))]


@given(matrices_and_layers())
def test_everything_comes_back_to_the_bit(given_):
    x, layers = given_
    before = x.copy()

    swapped, indicators = swap(x, layers)
    back = unswap(swapped, indicators, layers)

    assert x.tobytes() == before.tobytes()
    assert back.tobytes() == x.tobytes()
    assert indicators.shape == (len(x), pair_count(x.shape[1], layers))


@given(matrices_and_layers())
def test_swaps_are_those_of_the_definition(given_):
    x, layers = given_

    swapped, indicators = swap(x, layers)

    for row, got, bits in zip(x, swapped, indicators, strict=True):
        expected, by_layer = by_definition(list(row), layers)
        assert np.array(expected, np.float32).tobytes() == got.tobytes()
        assert [bit for layer in by_layer for bit in layer] == bits.tolist()


def test_one_layer_by_hand():
    swapped, indicators = swap(np.array([[4, 1, 2, 3, 7, 7, 9]], np.float32), 1)

    assert swapped.tolist() == [[1, 2, 7, 9, 4, 3, 7]]  # the last column has no partner
    assert indicators.tolist() == [[True, False, False]]


@pytest.mark.parametrize("layers", range(5))
def test_a_layer_costs_half_a_bit_an_entry(layers):
    assert pair_count(48, layers) == layers * 48 // 2


@pytest.mark.parametrize(("d", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (384, 8)])
def test_layers_end_where_no_pairs_are_left(d, most):
    assert most_layers(d) == most
    assert pair_count(d, most) > pair_count(d, most - 1) or most == 0


def test_swaps_order_the_columns():
    """What they are for: after three layers columns differ by what is typical for their place."""
    x = np.random.default_rng(0).standard_normal((2000, 16)).astype(np.float32)

    swapped, _ = swap(x, 3)

    assert swapped[:, :2].max() < swapped[:, -2:].max()
    assert swapped.std(axis=0).mean() < 0.75 * x.std(axis=0).mean()
