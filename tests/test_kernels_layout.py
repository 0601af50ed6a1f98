"""kernels/layout.py: where single things lie in a block, as the file's drawing says, and in the room of queries."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from bounding import NORMS, make_layout
from lplr_index.kernels.layout import LINE, Shape, bound_of, carve, ends, gain_at, norm_of, place

AT, ROWS = 96, range(32)


def test_places_are_those_of_widened_sums():
    """Even bytes of low halves hold rows 0 to 7, of high ones 16 to 23; odd bytes the others."""
    assert [place(row) for row in (*range(8), *range(16, 24), *range(8, 16), *range(24, 32))] == list(ROWS)


@pytest.mark.parametrize("stages", [0, 2])
def test_gains_are_read_where_they_lie(rng, stages):
    blocks = rng.integers(0, 256, 1000, dtype=np.uint8)
    for bits in (4, 8):
        form = make_layout(6, gain_bits=bits, stages=stages)
        block = blocks[AT : AT + form.head_bytes]
        column = block[16 * 5 : 16 * 6]
        halves = {row: column[naive.ORDER.index(row % 16)] >> 4 * (row // 16) & 15 for row in ROWS}
        expected = halves if bits == 4 else dict(enumerate(block[16 * 6 + 32 * stages :][:32]))

        assert {row: gain_at(blocks, AT, row, form) for row in ROWS} == expected


@pytest.mark.parametrize("bits", [8, 16])
def test_norms_are_read_where_they_lie(rng, bits):
    blocks, form = rng.integers(0, 256, 1000, dtype=np.uint8), make_layout(6, norm_bits=bits, stages=1)
    codes = blocks[AT + 16 * 6 + 32 :].view("<u2" if bits == 16 else "u1")[:32]

    assert [norm_of(blocks, AT, row, form, NORMS[bits]) for row in ROWS] == NORMS[bits][codes].tolist()


@pytest.mark.parametrize(("gain_bits", "norm_bits"), [(0, 0), (4, 0), (8, 16)])
def test_a_bound_is_a_gain_times_a_line_less_a_norm(rng, gain_bits, norm_bits):
    form = make_layout(6, gain_bits=gain_bits, norm_bits=norm_bits)
    blocks, affine = rng.integers(0, 256, 1000, dtype=np.uint8), np.array([[0, 0, 0], [-0.5, 80, 0]], np.float32)
    for row in ROWS:
        code = gain_at(blocks, AT, row, form) if gain_bits else 1
        gain = (form.gain_least + form.gain_step * code if code else 0) if gain_bits else 1
        norm = norm_of(blocks, AT, row, form, NORMS[norm_bits]) if norm_bits else 0

        found = bound_of(np.uint16(30), blocks, AT, row, form, NORMS[norm_bits], affine, 1)

        np.testing.assert_allclose(found, gain * (80 - 0.5 * 30) - norm, rtol=1e-6)


@pytest.mark.parametrize("shape", [Shape(3, 2, 10, 2, 4, 5), Shape(7, 1, 6, 0, 0, 0), Shape(0, 1, 6, 1, 0, 0)])
def test_parts_of_a_room_follow_each_other_from_cache_line_to_cache_line(shape):
    for off in range(0, LINE, 16):
        room = np.empty(ends(shape)[-1] + LINE + off, np.uint8)[off:]

        queries, lists, products = carve(room, shape)

        parts = [part for part in (*queries, lists, products) if part.size]
        starts = [part.ctypes.data for part in parts]
        stops = [start + part.nbytes for start, part in zip(starts, parts, strict=True)]
        assert all(start % LINE == 0 for start in starts)
        assert all(stop <= start for stop, start in zip(stops[:-1], starts[1:], strict=True))
        if parts:
            assert room.ctypes.data <= starts[0]
            assert stops[-1] <= room.ctypes.data + len(room)
        assert lists.shape == products.shape == (shape.nq, shape.nprobe)
