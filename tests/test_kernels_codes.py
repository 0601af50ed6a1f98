"""kernels/codes.py beside its twins: codes and blocks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from lplr_index.allocation import pack_fields
from lplr_index.kernels import codes


@st.composite
def column_codes(draw):
    """Draw bits of columns with their fields, nibbles, levels and where these start."""
    bits = np.array(draw(st.lists(st.integers(1, 8), min_size=1, max_size=14)), np.uint8)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fields = pack_fields(bits)
    used = int(fields[:, 1].max()) + 1
    nibbles = used + used % 2 + 2 * draw(st.integers(0, 2))
    starts = np.concatenate([[0], np.cumsum(1 << bits.astype(np.int64))])
    levels = [np.sort(rng.standard_normal(1 << int(b))).astype(np.float32) for b in bits]
    return rng, bits, fields, nibbles, np.concatenate(levels), starts


def edges_of(levels, starts):
    middles = [(levels[a + 1 : b] + levels[a : b - 1]) / np.float32(2) for a, b in pairwise(starts)]
    return np.concatenate(middles).astype(np.float32), starts - np.arange(len(starts))


@given(column_codes(), st.integers(0, 9))
def test_encode_and_decode(case, n):
    rng, bits, fields, nibbles, levels, starts = case
    edges, edge_starts = edges_of(levels, starts)
    y = rng.standard_normal((n, len(bits))).astype(np.float32)
    if n > 2:  # values that are levels, and values half-way between two
        y[0], y[1] = levels[starts[:-1]], edges[edge_starts[:-1]]
    packed = np.full((n, nibbles // 2), 255, np.uint8)
    L = np.empty_like(y)

    codes.encode(y, edges, edge_starts, fields, packed)
    codes.decode(packed, levels, starts, fields, L)

    np.testing.assert_array_equal(packed, naive.encode(y, edges, edge_starts, fields, nibbles // 2))
    np.testing.assert_array_equal(L, naive.decode(packed, levels, starts, fields))
    for j, (first, last) in enumerate(pairwise(starts)):
        distances = np.abs(levels[first:last] - y[:, j, None].astype(float))
        np.testing.assert_allclose(np.abs(L[:, j] - y[:, j].astype(float)), distances.min(axis=1), atol=1e-6)
    if n > 2:
        np.testing.assert_array_equal(L[:2], np.stack([levels[starts[:-1]]] * 2))  # a tie takes the lower level


@given(column_codes())
def test_every_code_survives_encoding_its_own_levels(case):
    rng, bits, fields, nibbles, levels, starts = case
    edges, edge_starts = edges_of(levels, starts)
    numbers = rng.integers(0, 1 << bits.astype(np.int64), (20, len(bits)))
    packed, again = np.empty((20, nibbles // 2), np.uint8), np.empty((20, len(bits)), np.float32)

    codes.encode(levels[starts[:-1] + numbers], edges, edge_starts, fields, packed)
    codes.decode(packed, np.arange(starts[-1]).astype(np.float32), starts, fields, again)

    np.testing.assert_array_equal(again, starts[:-1] + numbers)


@pytest.mark.parametrize(("nibbles", "head"), [(2, 2), (4, 4), (10, 10), (10, 8), (46, 46), (46, 8)])
@pytest.mark.parametrize(("singles", "norms"), [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (3, 1)])
@pytest.mark.parametrize(("first", "n"), [(0, 1), (0, 32), (5, 40), (31, 2), (64, 33)])
def test_weave_and_unweave(rng, nibbles, head, singles, norms, first, n):
    rows = rng.integers(0, 256, (n, nibbles // 2 + singles + 2 * norms), dtype=np.uint8)
    before = rng.integers(0, 256, (4, 32 * rows.shape[1]), dtype=np.uint8)
    (heads, tails), back = naive.split(before, nibbles, head), np.empty_like(rows)

    codes.weave(rows, first, head, nibbles, singles, heads, tails)
    codes.unweave(heads, tails, np.arange(first, first + n), head, nibbles, singles, back)

    blocks = naive.whole(heads, tails, head)
    np.testing.assert_array_equal(blocks, naive.weave(rows, first, nibbles, singles, before))
    np.testing.assert_array_equal(back, rows)
    everything = naive.unweave(before, nibbles, singles)
    everything[first : first + n] = rows
    np.testing.assert_array_equal(naive.unweave(blocks, nibbles, singles), everything)


def test_golden_block():
    """One row of two code bytes, a gain and a norm, at row 17: byte 2 of a column, high nibble."""
    blocks = np.zeros((1, 32 * 5), np.uint8)

    codes.weave(np.array([[0xBA, 0xDC, 0x11, 0x22, 0x33]], np.uint8), 17, 4, 4, 1, blocks, blocks[:, :0])

    expected = {2: 0xA0, 18: 0xB0, 34: 0xC0, 50: 0xD0, 64 + 17: 0x11, 96 + 34: 0x22, 96 + 35: 0x33}
    assert {int(at): int(blocks[0, at]) for at in np.flatnonzero(blocks)} == expected


def test_rows_in_any_order(rng):
    blocks = rng.integers(0, 256, (3, 32 * 6), dtype=np.uint8)
    which = rng.permutation(96)[:50]
    back = np.empty((50, 6), np.uint8)

    codes.unweave(blocks, blocks[:, :0], which, 6, 6, 1, back)

    np.testing.assert_array_equal(back, naive.unweave(blocks, 6, 1)[which])


@pytest.mark.parametrize("centred", [True, False])
def test_row_norms(rng, centred):
    L, R = rng.standard_normal((40, 7)).astype(np.float32), rng.standard_normal((7, 19)).astype(np.float32)
    mu = rng.standard_normal(19) * centred
    norms = np.empty(40)

    codes.row_norms(L, L @ (R @ R.T), 2 * (R.astype(float) @ mu), float(mu @ mu), norms)

    np.testing.assert_allclose(norms, naive.row_norms(L, R, mu), rtol=1e-5)


def test_a_norm_is_no_root_of_a_negative_number():
    """Rounding may bring the square of a length near zero below it."""
    one = np.ones((1, 1), np.float32)
    norms = np.empty(1)

    codes.row_norms(one, one, np.array([-2.0]), 1.0 - 1e-9, norms)

    assert norms[0] == 0.0
