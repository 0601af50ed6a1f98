"""kernels/asking.py: what one call makes ready is what the steps one by one do."""

from __future__ import annotations

import numpy as np
import pytest

from indexes import in_lists, queries
from lplr_index import kernels, probing
from lplr_index.asking import ask
from lplr_index.auto import Recipe
from lplr_index.metric import METRICS

SAME = ("stages", "exact", "split", "base", "norm", "length", "limits")


@pytest.mark.parametrize("recipe", [Recipe(stages=0), Recipe(stages=2)])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("nq", [0, 1, 9])
def test_queries_are_made_ready_in_one_call(metric, recipe, nq):
    model = in_lists(metric, recipe=recipe).model
    xq = np.ascontiguousarray(queries()[:nq])

    asked, lists, products = probing.ready(model, xq, 5).parts

    one_by_one = ask(model, xq).queries
    for name in SAME:
        np.testing.assert_array_equal(getattr(asked, name), getattr(one_by_one, name), err_msg=name)
    for one, other in zip((lists, products), model.coarse.probe(xq, 5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_is_made_once():
    assert kernels.ask_kernel() is kernels.ask_kernel()
