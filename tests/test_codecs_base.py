"""codecs/base.py: what every codec tells of itself, as the scan reads it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from lplr_index.codecs.base import Shares, coarser_steps, query_tables, split_tables
from scalars import make_codec


@pytest.mark.parametrize("nibbles", [2, 8, 10, 46, 600])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.99, 1.0])
def test_any_weights_have_steps(rng, nibbles, ratio):
    """Coarser ones come first, and nibbles that weigh the same have the same."""
    upper = (ratio ** np.arange(nibbles)[:, None] * rng.standard_normal((nibbles, 16))).astype(np.float32)

    shifts = coarser_steps(upper, np.empty((1, 0, 256), np.float32))

    assert (shifts.shape, shifts.dtype) == ((-(-nibbles // 8),), np.uint8)
    assert (np.diff(shifts.astype(int)) <= 0).all()
    assert shifts.max() <= 6
    assert ratio < 1 or shifts[0] <= 1


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_tables_of_nibbles_and_stages_are_bounded_together(rng, stages):
    """Column 22 is split: its bounds lie above it."""
    y = np.abs(rng.standard_normal((4, 23))).astype(np.float32)
    entries, shifts = rng.standard_normal((23, 16)).astype(np.float32), np.array([2, 1, 0], np.uint8)
    nibbles, no_entries = np.append(np.arange(22), 5), np.append(entries[:22], np.zeros((1, 16), "f4"), axis=0)
    shares = Shares(nibbles, np.arange(23), no_entries, entries, entries - 1, np.array([22]))
    centroids = (5 * rng.standard_normal((4, stages, 256))).astype(np.float32)

    tables = query_tables(y, centroids, 22, shares.parts(22, shifts))

    assert tables.stages is centroids
    np.testing.assert_array_equal(tables.split, y[:, 22:])
    np.testing.assert_array_equal(tables.exact, (y[:, :22, None] * entries[:22]))
    assert (tables.stage_deficits.shape, tables.stage_deficits.dtype) == ((4, stages, 256), np.uint8)
    upper = tables.exact.astype(float)
    upper[:, 5] += y[:, 22:].astype(float) * entries[22]
    digits, columns, words = tables.deficits.reshape(4, 22, 16), np.arange(22), np.arange(stages)
    for values, chosen in zip(rng.integers(0, 16, (50, 22)), rng.integers(0, 256, (50, stages)), strict=True):
        sums = np.array([naive.column_sums(each, values[None], shifts)[0] for each in digits])
        sums += tables.stage_deficits[:, words, chosen].sum(axis=1, dtype=np.int64) << tables.stage_doublings
        score = upper[:, columns, values].sum(axis=1) + centroids[:, words, chosen].sum(axis=1, dtype=float)
        assert (tables.base - tables.scale * sums >= score - 1e-6 * tables.size).all()


@given(st.lists(st.integers(1, 8), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_split_columns_by_their_nibbles(bits, seed):
    """What the scan reads of nibbles is the level; threes that no single bit goes with lie in three of them."""
    codec, y = make_codec(bits, seed)
    codes = codec.encode(y)

    places, levels = split_tables(codec)

    split = [j for j in range(codec.m) if (codec.fields[:, 0] == j).sum() > 1]
    assert (len(places), len(levels)) == (len(split), len(split))
    found = levels[np.arange(len(split)), naive.spelled(codes, places)]
    np.testing.assert_array_equal(found, codec.decode(codes)[:, split])
