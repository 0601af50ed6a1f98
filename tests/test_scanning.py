"""scanning.py: what a scan is told of a model and of a filter; what it finds is in test_scan.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import EVERY_SCAN, trained
from lplr_index import kernels, scanning


@given(
    st.lists(st.tuples(st.integers(1, kernels.layout.PHASE // 2), st.integers(0, 6)), min_size=1, max_size=12),
    st.sampled_from([0, 8, 64]),
)
def test_sums_are_moved_on_before_they_can_pass_what_holds_them(runs, first):
    """Sums of the largest deficits there are, followed by hand; and a segment more would have been too much."""
    pairs, doublings = np.array(runs).T
    ends = first + 2 * np.cumsum(pairs)
    most, held = kernels.layout.WORDS_MOST, 0

    folds = scanning.folds(first, ends, doublings)

    sizes = np.diff(ends, prepend=first)
    for s, (columns, moved, after) in enumerate(zip(sizes, folds, doublings, strict=True)):
        held += 255 * (columns // 8 + (columns % 8 + 2) // 4)  # 2 columns one part, 4 one, 6 two
        assert held <= most
        following = 255 * (sizes[s + 1] // 8 + (sizes[s + 1] % 8 + 2) // 4) if s + 1 < len(sizes) else most
        assert moved == ((held << after) + following > most)
        held = 0 if moved else held << after


@pytest.mark.parametrize(("metric", "kind"), EVERY_SCAN)
def test_segments_are_the_columns_in_runs_of_equal_steps(metric, kind):
    model = trained(metric, kind).model
    shifts = model.codec.shifts.astype(int)
    head, nibbles = model.form.head, model.codec.nibbles

    for first, last in {(0, nibbles), (0, head), (head, nibbles)}:
        ends, folds, doublings = scanning.segments(model, first, last)

        if first == last:
            assert len(ends) == len(folds) == len(doublings) == 0
            continue
        assert (ends[-1], folds[-1]) == (last, 1)
        assert (np.diff(ends, prepend=first) > 0).all()
        assert head in (first, *ends) or last < head
        starts = np.append(first, ends[:-1])
        for start, stop, below in zip(starts, ends, doublings[::-1].cumsum()[::-1], strict=True):
            assert (shifts[start // 8 : -(-stop // 8)] == below).all()


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100])
def test_a_filter_has_a_bit_for_each_row(rng, n):
    mask = rng.random(n) < 0.5

    packed = scanning.pack_filter(mask)

    assert (packed.dtype, len(packed)) == (np.uint32, -(-n // 32))
    assert [bool(packed[row // 32] >> (row % 32) & 1) for row in range(32 * len(packed))] == [
        *mask.tolist(), *[False] * (-n % 32)
    ]  # fmt: skip


@pytest.mark.parametrize("block_bytes", [64, 1536, 16384, 40000])
def test_memory_is_asked_for_in_whole_blocks_ahead(block_bytes):
    ahead = scanning.blocks_ahead(block_bytes, 1 << 14)

    assert (ahead - 1) * block_bytes <= 1 << 14 < ahead * block_bytes
