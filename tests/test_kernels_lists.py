"""The scan of lists beside its definition: the same rows from every instruction set, whatever blocks lists share."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from indexes import in_lists, queries
from lplr_index import kernels, probing
from lplr_index.kernels import lists as module
from lplr_index.kernels import vectors
from lplr_index.metric import METRICS
from lplr_index.scanning import levels, no_filter, where_of


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize("metric", METRICS)
def test_the_scan_of_lists(metric, level):
    index, k = in_lists(metric, 331), 9
    model, (run,) = index.model, index.rows.runs
    xq = queries() / np.linalg.norm(queries(), axis=1, keepdims=True)
    asked = probing.ready(model, xq, 5)
    ready, lists, products = asked.parts
    where = where_of(model)[:3]
    keys, found = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)
    base, bound, slack = ready.base.copy(), ready.affine[:, 1].copy(), ready.slack.copy()
    what = *map(tuple, where), 1e-5, *asked, index.rows.reach, no_filter(), run.rows

    scan = module.make_scan_lists(getattr(vectors, level.upper()))
    scan(
        run.blocks.heads.reshape(-1),
        run.starts,
        *what,
        np.empty(0, np.int64),
        keys,
        found,
        np.empty(0, np.int64),
        k,
        -np.inf,
        1,
        1,
    )

    np.testing.assert_array_equal(ready.base, base)
    np.testing.assert_array_equal(ready.affine[:, 1], bound)
    np.testing.assert_array_equal(ready.slack, slack)
    codes, where_rows = naive.rows_of(index), naive.lists_of(index)
    for q in range(len(xq)):
        scored = {}
        for number, product in zip(lists[q], products[q], strict=True):
            mine = np.flatnonzero(where_rows == number)
            moved = ready._replace(base=base + np.float64(product))
            some = naive.exact_key(codes[mine], where[0], levels(model), moved, q)
            scored |= dict(zip(mine.tolist(), some.tolist(), strict=True))
        expected, ids = naive.best(np.array(list(scored.values())), np.array(list(scored)), k)
        assert found[q].tolist() == ids.tolist()
        np.testing.assert_array_equal(keys[q], expected.astype(np.float32))


def test_it_is_made_once_for_an_instruction_set(monkeypatch):
    monkeypatch.setenv("LPLR_INDEX_SIMD", "portable")

    assert kernels.scan_lists_kernel() is kernels.scan_lists_kernel()
