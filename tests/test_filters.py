"""filters.py: whatever chooses rows becomes a mask over them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lplr_index.errors import InputError
from lplr_index.filters import row_mask, select
from lplr_index.ids import IdMap

IDS = IdMap(4, np.array([30, 10, 20, 2**40]))


class Selector:
    """Something like a faiss.IDSelector."""

    def __init__(self, *members):
        self.members = members

    def is_member(self, number):
        assert isinstance(number, int)  # faiss takes nothing of numpy's
        return number in self.members


class IDSelectorRange(Selector):
    """One that says what it is, and must not be asked about every row."""

    imin, imax = 10, 30
    is_member = None


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (np.array([True, False, False, True]), [1, 0, 0, 1]),
        ([False, True, True, False], [0, 1, 1, 0]),
        ([10, 30, 30, 99, -1], [1, 1, 0, 0]),
        (np.array([2**40], np.uint64), [0, 0, 0, 1]),
        (np.array([20], np.int8), [0, 0, 1, 0]),
        ([], [0, 0, 0, 0]),
        ((10,), [0, 1, 0, 0]),
        (Selector(20, 2**40, 5), [0, 0, 1, 1]),
        (Selector(), [0, 0, 0, 0]),
        (IDSelectorRange(), [0, 1, 1, 0]),
    ],
)
def test_what_is_chosen(chosen, expected):
    for mask in (select(chosen, IDS), row_mask(chosen, None, IDS)):
        assert mask.dtype == np.bool_
        assert mask.tolist() == list(map(bool, expected))


def test_row_numbers_are_ids_where_there_are_no_others():
    assert select([2, 0, 7], IdMap(3)).tolist() == [True, False, True]
    assert select(Selector(1), IdMap(3)).tolist() == [False, True, False]


def test_parameters_of_a_search():
    assert row_mask(None, None, IDS) is None
    assert row_mask(None, SimpleNamespace(sel=None), IDS) is None
    assert row_mask(None, SimpleNamespace(sel=Selector(10)), IDS).tolist() == [False, True, False, False]
    assert row_mask([30], SimpleNamespace(sel=None), IDS).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("chosen", "params", "message"),
    [
        ([True] * 3, None, r"expected a mask over 4 rows, got shape \(3,\)"),
        (True, None, r"expected a mask over 4 rows, got shape \(\)"),
        ([1.5], None, "expected filter ids to be a one-dimensional integer array, got float64"),
        (3, None, "expected filter ids to be a one-dimensional integer array, got int64 of shape"),
        ("10", None, "expected filter ids to be a one-dimensional integer array, got <U2"),
        (None, 3, "expected params to be a faiss.SearchParameters, got int"),
        ([10], SimpleNamespace(sel=Selector(10)), "expected a filter or params with a selector, got both"),
    ],
)
def test_what_chooses_nothing(chosen, params, message):
    with pytest.raises(InputError, match=message):
        row_mask(chosen, params, IDS)
