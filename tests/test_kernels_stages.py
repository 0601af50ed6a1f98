"""kernels/stages.py: what stages add at least turns blocks away, and what they really add decides."""

from __future__ import annotations

import numpy as np
import pytest

from bounding import call_block_bounds, make_blocks, make_layout, make_queries
from indexes import queries, trained
from lplr_index import kernels
from lplr_index.asking import ask
from lplr_index.kernels.layout import LEASTS, SPARED
from lplr_index.kernels.scan import TILE

LEVELS = [level for level in kernels.host_levels() if level != "portable"]


def staged(rng, stages, doublings):
    """Return a block, its layout, queries whose columns add nothing, and what stages add at least and in all."""
    form = make_layout(2, stages=stages)
    block, asked = make_blocks(rng, form, 1), make_queries(rng, form, TILE, most=0)
    asked.stage_doublings[:] = doublings
    codes, every = block[0, 32:].reshape(stages, 32), np.arange(stages)[:, None]
    least = np.minimum(asked.stage_least[:, every, codes >> SPARED].sum(axis=1, dtype=int), 255) << doublings
    return block, form, asked, least, asked.stage_deficits[:, every, codes].sum(axis=1, dtype=int) << doublings


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("tile", [1, TILE])
@pytest.mark.parametrize("stages", [1, 2, 4, 5])
def test_stages_are_added_up_only_where_the_least_of_them_leaves_rows_within_reach(rng, level, tile, stages):
    block, form, queries, least, whole = staged(rng, stages, 3)
    for q in range(TILE):  # every other query has a row that is just within reach of the least, and the rest have none
        limit = int(least[q].min()) - q % 2
        queries.limits[q, :16], queries.limits[q, 16:] = max(limit, 0) & 255, max(limit, 0) >> 8
    blank = np.zeros(2, np.uint8)

    sums, masks = call_block_bounds(level, tile, block, 0, form, queries, 0, blank)

    for q in range(tile):
        limit = int(queries.limits[q, 0]) | int(queries.limits[q, 16]) << 8
        np.testing.assert_array_equal(sums[q], whole[q] if (least[q] <= limit).any() else 0)
        np.testing.assert_array_equal(masks[q], whole[q] <= limit)


def test_the_least_is_told_by_the_high_bits_of_a_code():
    index, xq = trained("cosine", "auto-stages"), queries()

    asked = ask(index.model, xq).queries

    assert asked.stage_deficits.shape[1] == 2
    assert LEASTS << SPARED == 256
    for code in range(256):
        group = slice(code >> SPARED << SPARED, (code >> SPARED) + 1 << SPARED)
        least = asked.stage_deficits[:, :, group].min(axis=2)
        np.testing.assert_array_equal(asked.stage_least[:, :, code >> SPARED], least)
