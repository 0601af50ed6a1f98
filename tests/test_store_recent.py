"""Rows of the journal, in memory: a search has them as they were when it began."""

from __future__ import annotations

import numpy as np
import pytest

from indexes import rows, trained
from lplr_index.store.journal import Change
from lplr_index.store.listed import arrangement_of
from lplr_index.store.part import Part
from lplr_index.store.recent import ListedNames, Recent

NOTHING = np.empty(0, np.int64)


def arranged(*, codes=True):
    index = trained()
    return arrangement_of(index.settings, index.model if codes else None)


def change(numbers, names=None, *, codes=True):
    numbers = np.array(numbers)
    data = trained().sa_encode(rows(len(numbers))) if codes else rows(len(numbers))
    return Change(NOTHING, numbers, names, data)


@pytest.mark.parametrize("codes", [True, False])
def test_what_comes_later_does_not_show(codes):
    recent = Recent(arranged(codes=codes), strings=False)
    assert recent.part().n == 0
    recent.append(change([5, 3, 9], codes=codes))
    part = recent.part()
    held = part.rows.data(np.arange(3))
    recent.kill(np.array([3]))
    for start in range(10, 400, 40):
        recent.append(change(range(start, start + 40), codes=codes))
    assert part.n == 3
    assert len(part.live) == 0
    np.testing.assert_array_equal(part.rows.data(np.arange(3)), held)
    assert part.numbers.part(0, 3).tolist() == [5, 3, 9]
    assert (recent.n, recent.dead) == (403, 1)
    numbers, data, names = recent.settled()
    assert numbers.tolist() == [5, 9, *range(10, 410)]
    assert names is None
    np.testing.assert_array_equal(data[:2], change([5, 3, 9], codes=codes).data[[0, 2]])
    assert isinstance(recent.part(), Part)


def test_a_number_that_comes_again():
    recent = Recent(arranged(), strings=False)
    recent.append(change([5, 3]))
    recent.kill(np.array([5, 77]))
    recent.append(change([5]))
    assert recent.holds(np.array([5, 3, 4])).tolist() == [True, True, False]
    assert recent.settled()[0].tolist() == [3, 5]
    assert recent.part().numbers.find(np.array([5])).tolist() == [2]


def test_names():
    recent = Recent(arranged(), strings=True)
    recent.append(change([0, 1], ["a", "b"]))
    recent.kill(np.array([0]))
    recent.append(change([2], ["a"]))
    recent.kill(np.array([1]))
    assert recent.numbers_of(["a", "b", "c"]).tolist() == [2, -1, -1]
    part = recent.part()
    assert part.names.of(np.array([2, 0])) == ["a", "a"]
    assert recent.settled()[2].of(np.array([0])) == ["a"]
    assert ListedNames(["a", "b", "a", "c"], 3).find(["a", "c"]).tolist() == [2, -1]
