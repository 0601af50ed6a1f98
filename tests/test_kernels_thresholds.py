"""kernels/thresholds.py: gains and norms of every code in every row; test_kernels_bounds.py compares the rest."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from bounding import NORMS, call_block_bounds, make_layout, make_queries
from lplr_index import kernels


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize("bits", [8, 16])
def test_every_code_of_a_norm_is_read_in_every_row(level, bits):
    form = make_layout(2, norm_bits=bits)
    everything = np.stack([np.roll(np.arange(1 << bits), -shift) for shift in range(0, 32, 5)]).reshape(-1, 32)
    blocks = np.zeros((len(everything), form.head_bytes), np.uint8)
    blocks[:, form.norm_at :] = everything.astype(f"<u{bits // 8}").view(np.uint8)
    queries = make_queries(np.random.default_rng(0), form, 1)
    queries.deficits[:] = 0
    for threshold in (0.25, 0.0, -1e-7, -3.5, *-NORMS[bits][:2], -np.inf):
        queries.affine[0] = -1.0, 0.0, threshold

        masks = np.array(
            [call_block_bounds(level, 1, blocks, b, form, queries, 0, np.zeros(1))[1][0] for b in range(len(blocks))]
        )

        np.testing.assert_array_equal(masks, -NORMS[bits][everything] >= np.float32(threshold))


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize(("bits", "norm_bits"), [(4, 0), (4, 8), (4, 16), (8, 0)])
def test_every_code_of_a_gain_is_read_in_every_row(monkeypatch, level, bits, norm_bits):
    """The bound is the gain itself, and the threshold the gain of one code: rows of that code and above pass."""
    form = make_layout(4, stages=1, gain_bits=bits, norm_bits=norm_bits)
    monkeypatch.setitem(NORMS, norm_bits, np.zeros_like(NORMS[norm_bits]))
    queries = make_queries(np.random.default_rng(0), form, 1)
    queries.deficits[:] = 0
    queries.stage_deficits[:] = queries.stage_least[:] = 1
    queries.stage_doublings[:] = 0
    codes = np.arange(1 << bits)
    gains = np.float32(form.gain_least) + np.float32(form.gain_step) * codes.astype(np.float32)
    for shift in range(1 << bits):
        rows = np.zeros((32, 2 + 1 + (bits == 8) + norm_bits // 8), np.uint8)
        numbers = (np.arange(32) + shift) % (1 << bits)
        rows[:, 3 if bits == 8 else 1] = numbers << (8 - bits)
        block = naive.weave(rows, 0, 4, 1 + (bits == 8) + (norm_bits == 8), np.zeros((1, form.head_bytes), np.uint8))
        queries.affine[0] = -1.0, 2.0, gains[max(shift, 1)]
        queries.limits[0] = np.append(np.arange(16) >= max(shift, 1), np.zeros(16))

        _, masks = call_block_bounds(level, 1, block, 0, form, queries, 0, np.zeros(1))

        np.testing.assert_array_equal(masks[0], numbers >= max(shift, 1))


def test_a_nan_never_matters(monkeypatch, rng):
    form = make_layout(2, norm_bits=16)
    blocks = np.zeros((1, form.head_bytes), np.uint8)
    monkeypatch.setitem(NORMS, 16, np.full(1 << 16, np.nan, np.float32))

    for level in kernels.host_levels():
        _, masks = call_block_bounds(level, 1, blocks, 0, form, make_queries(rng, form, 1), 0, np.zeros(1))
        assert not masks.any()
