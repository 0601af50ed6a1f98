"""kernels/waiting.py: what bounds of two digits say of scores in both directions, and searches where many rows wait."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from indexes import check_results, in_lists, queries, rows
from lplr_index import probing
from lplr_index.auto import Recipe
from lplr_index.kernels import lists, waiting
from lplr_index.kernels.layout import MOST
from lplr_index.metric import METRICS
from lplr_index.scanning import levels, where_of


@pytest.mark.parametrize("recipe", [Recipe(stages=0), Recipe(stages=2), Recipe(stages=0, gain_bits=8)])
@pytest.mark.parametrize("metric", METRICS)
def test_bounds_say_how_low_a_score_can_be(metric, recipe):
    index = in_lists(metric, 320, recipe=recipe)
    model, (run,) = index.model, index.rows.runs
    layout, _, segments, _ = where_of(model)
    asked, _, _ = probing.ready(model, queries(), 1).parts
    assert len(model.codec.parts.split) == 0
    codes = naive.rows_of(index)[run.rows]

    for q in range(len(queries())):
        keys = naive.exact_key(codes, layout, levels(model), asked, q)
        found = [
            naive.block_bounds(block, layout, model.norm.values, asked, q, model.codec.shifts, digits=2)
            for block in run.blocks.heads
        ]
        sums, bounds = (np.concatenate(each)[: len(codes)] for each in zip(*found, strict=True))
        high = bounds.astype(float) - asked.norm[q]
        lost = waiting._lost.py_func(layout, segments, asked, q)
        assert sums.max() < MOST
        assert (keys <= high + asked.slack[q]).all()
        if layout.norm_bits:
            high = np.minimum(high, 0)
        assert (keys >= high - lost - 2 * asked.slack[q]).all()
        assert lost < 0.2 * np.ptp(high)  # or it would be of no use


# Codes within nibbles, and codes that span them, so that bounds do not say how low a score can be.
@pytest.mark.parametrize("bits", [2.0, 6.0])
@pytest.mark.parametrize("metric", METRICS)
def test_more_rows_than_can_wait(metric, bits):
    """Of few lists, so that they are scored or dropped before all have been seen; results go over several runs."""
    index = in_lists(metric, 2600, nlist=3, bits=bits)
    assert len(index) > 4 * lists.MANY
    assert (len(index.model.codec.parts.split) > 0) is (bits == 6)

    for k in (1, 10, 200, 700):
        check_results(index, queries(), k, index.search(queries(), k, nprobe=3))
    single = in_lists(metric, nlist=3, bits=bits)
    for start, stop in ((0, 1500), (1500, 2300), (2300, 2600)):
        single.add(rows(2600)[start:stop])
        expected = single.search(queries(), 25, nprobe=3)
        check_results(single, queries(), 25, expected)
    np.testing.assert_array_equal(expected, index.search(queries(), 25, nprobe=3))


def test_equal_rows_come_by_their_ids():
    """More of them than are wanted, so that all reach what k surely reach."""
    index = in_lists("l2", nlist=3)
    x = np.repeat(rows(2600)[:4], 60, axis=0)
    index.add_with_ids(x, np.arange(len(x))[::-1])

    check_results(index, x[::60], 50, index.search(x[::60], 50, nprobe=3))
