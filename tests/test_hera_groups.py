"""hera/groups.py: sizes are what the arrays take, codes are packed, and the budget is used up but never passed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lplr_index import bits
from lplr_index.hera.groups import Plan, pack_wide, plan_stage, train_stage, unpack_wide
from lplr_index.hera.swaps import most_layers, swap
from matrices import decaying

A = decaying(300, 24)


@given(st.integers(0, 9), st.integers(1, 9), st.integers(1, 16), st.integers(0, 2**32 - 1))
def test_codes_of_any_width_come_back(n, m, nbits, seed):
    codes = np.random.default_rng(seed).integers(0, 1 << nbits, (n, m), dtype=np.uint16)

    packed = pack_wide(codes, nbits)

    assert packed.shape == (n, (m * nbits + 7) // 8)
    np.testing.assert_array_equal(unpack_wide(packed, m, nbits), codes)
    if nbits <= 8:
        np.testing.assert_array_equal(packed, bits.pack(codes.astype(np.uint8), nbits))


@given(
    st.integers(2, 5000),
    st.integers(1, 64),
    st.integers(0, 6),
    st.floats(0.1, 8),
    st.one_of(st.none(), st.integers(1, 64)),
    st.sampled_from([1, 10, 16, 32]),
)
def test_the_plan_is_the_largest_within_the_budget(n, d, layers, per_entry, groups, codeword_bits):
    layers, groups = min(layers, most_layers(d)), groups and min(groups, d)
    nbytes = int(per_entry * n * d / 8)

    plan = plan_stage(n, d, layers, nbytes, groups=groups, codeword_bits=codeword_bits)

    if plan is None:
        assert Plan(n, d, layers, groups or 1, 2, codeword_bits).nbytes > nbytes or groups is None
        return
    assert plan.nbytes <= nbytes
    assert 2 <= plan.count <= n
    assert plan.count in {n, 1 << 16} or replace(plan, count=plan.count + 1).nbytes > nbytes


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("codeword_bits", [10, 32])
@pytest.mark.parametrize("count", [2, 100])
def test_a_stage_takes_what_its_plan_says_and_what_the_paper_counts(layers, codeword_bits, count):
    plan = Plan(*A.shape, layers, groups=8, count=count, codeword_bits=codeword_bits)

    stage = train_stage(A, plan, (0,))

    held = [stage.indicators, stage.codes, stage.codewords, *([] if stage.ends is None else [stage.ends])]
    assert plan.nbytes == stage.nbytes == sum(each.nbytes for each in held)
    assert 0 <= 8 * plan.nbytes - plan.published_bits < 8 * (2 * plan.n + 1)  # the rest of a row's last byte


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("codeword_bits", [6, 32])
def test_every_row_decodes_to_its_nearest_codewords(layers, codeword_bits):
    plan = Plan(*A.shape, layers, groups=5, count=12, codeword_bits=codeword_bits)
    stage = train_stage(A, plan, (1,))
    book, bounds = stage.codebook(), plan.bounds

    swapped, _ = swap(A, layers)
    expected = 0.0
    for group in range(5):
        columns = slice(bounds[group], bounds[group + 1])
        distances = np.square(swapped[:, None, columns] - book[None, :, columns], dtype=np.float64).sum(axis=2)
        expected += distances.min(axis=1).sum()

    decoded = stage.decode(slice(None), book)
    assert np.square(decoded - A, dtype=np.float64).sum() == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(stage.decode(np.array([7, 299, 7]), book), decoded[[7, 299, 7]])


def test_groups_are_contiguous_and_differ_by_a_column_at_most():
    widths = np.diff(Plan(10, 24, 0, 7, 2, 32).bounds)

    assert widths.sum() == 24
    assert set(widths.tolist()) == {3, 4}


def test_rounded_codewords_lie_on_a_grid_from_the_smallest_to_the_largest():
    stage = train_stage(A, Plan(*A.shape, 1, groups=6, count=16, codeword_bits=3), (0,))
    exact = train_stage(A, replace(stage.plan, codeword_bits=32), (0,)).codebook()

    book = stage.codebook()

    assert len(np.unique(book)) <= 8
    assert (book.min(), book.max()) == pytest.approx((exact.min(), exact.max()), rel=1e-6)
    assert np.abs(book - exact).max() <= (exact.max() - exact.min()) / 7 / 2 * 1.001


def test_free_groups_have_the_common_number_of_codewords_where_that_pays():
    few, many = (plan_stage(n, 96, 1, n * 96 * 2 // 8, groups=None, codeword_bits=10) for n in (400, 100_000))

    assert many.count == 256
    assert few.count < 64
    assert few.groups > many.groups
