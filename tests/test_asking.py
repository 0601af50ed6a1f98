"""asking.py: a query's tables are its own, whatever comes with it; kernels/asking.py makes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from indexes import EVERY_SCAN, filled, queries
from lplr_index import kernels
from lplr_index.asking import ask


@pytest.mark.parametrize("digits", [1, 2])
@pytest.mark.parametrize(("metric", "kind"), EVERY_SCAN)
def test_a_query_has_the_same_tables_in_any_company(metric, kind, digits):
    model, xq = filled(metric, kind).model, queries(9)

    together = ask(model, xq, digits=digits)

    assert together.nq == 9
    for q in range(9):
        alone = ask(model, xq[q : q + 1], digits=digits)
        for one, some in zip(alone.queries, together.queries, strict=True):
            np.testing.assert_array_equal(one[0], some[q])


def test_parts_start_at_cache_lines():
    asked = ask(filled().model, queries(3), digits=2)

    assert all(part.ctypes.data % 64 == 0 for part in asked.queries if part.size)
    assert all(np.shares_memory(part, asked.room) for part in asked.queries if part.size)


def test_there_may_be_no_queries():
    asked = ask(filled().model, queries()[:0])

    assert asked.nq == 0
    assert all(len(part) == 0 for part in asked.queries)


def test_threads_that_want_a_kernel_at_once_get_the_same(monkeypatch):
    monkeypatch.setattr(kernels, "ask_kernel", kernels._once(kernels.ask_kernel.__wrapped__))

    with ThreadPoolExecutor(8) as pool:
        found = [each.result() for each in [pool.submit(kernels.ask_kernel) for _ in range(8)]]

    assert all(each is found[0] for each in found)
