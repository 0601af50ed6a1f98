"""Rows in lists: what goes in comes out in its order, and few rows are moved often."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lplr_index import lists as module
from lplr_index.blocks import Form
from lplr_index.coarse import list_bytes
from lplr_index.errors import InputError
from lplr_index.lists import Lists

FORM = Form(nibbles=6, singles=1, norms=1)
NLIST = 300


def codes(rng, n, nlist=NLIST):
    """Return bytes of rows: the number of a list, two bytes, and a code of any six."""
    code = rng.integers(0, 256, (n, FORM.code_size), dtype=np.uint8)
    return np.concatenate([list_bytes(rng.integers(0, nlist, n), nlist), code], axis=1)


def lengths(held):
    return [len(run.rows) for run in held.runs]


def test_rows_lie_list_by_list_and_keep_their_order(rng):
    held, given = Lists(FORM, NLIST), codes(rng, 500)
    held.append(given, None)

    np.testing.assert_array_equal(held.codes(0, 500), given)
    np.testing.assert_array_equal(held.codes_of(np.array([7, 3, 3, 499])), given[[7, 3, 3, 499]])
    numbers = given[:, 0] + 256 * given[:, 1].astype(int)
    np.testing.assert_array_equal(held.lists, numbers)
    (run,) = held.runs
    assert run.rows.tolist() == np.argsort(numbers, kind="stable").tolist()
    assert [len(part) for part in np.split(run.rows, run.starts[1:-1])] == np.bincount(
        numbers, minlength=NLIST
    ).tolist()
    assert run.blocks.heads.shape == (16, 32 * FORM.code_size)


def test_rows_are_sorted_in_without_moving_the_many(rng, monkeypatch):
    monkeypatch.setattr(module, "_MOVED", 64)
    held, given, moved = Lists(FORM, NLIST), codes(rng, 3000), 0
    for start in range(0, 3000, 10):
        held.append(given[start : start + 10], None)
        before = held._state.runs
        after = held.runs
        moved += sum(len(run.rows) for run in after if all(run is not one for one in before))
        sizes = lengths(held)
        assert all(2 * later <= earlier for earlier, later in pairwise(sizes))

    assert len(held.runs) <= 9
    assert moved < 10 * 3000
    np.testing.assert_array_equal(held.codes(0, 3000), given)
    held.whole()
    assert lengths(held) == [3000]
    np.testing.assert_array_equal(held.codes(0, 3000), given)


def test_some_rows_are_kept(rng):
    held, given = Lists(FORM, NLIST), codes(rng, 900)
    for start in (0, 500, 700):
        held.append(given[start : start + 200 + 300 * (start == 0)], None)
        assert held.runs
    mask = rng.random(900) < 0.3
    mask[700:] = False

    held.keep(mask)

    np.testing.assert_array_equal(held.codes(0, int(mask.sum())), given[mask])
    assert held.ids.all().tolist() == np.flatnonzero(mask).tolist()
    held.append(given[:5], None)
    np.testing.assert_array_equal(held.codes(int(mask.sum()), 5), given[:5])
    held.keep(np.zeros(len(held), bool))
    assert (len(held), lengths(held)) == (0, [])
    assert held.whole().blocks.heads.shape == (0, 32 * FORM.code_size)


def test_nothing_is_added_when_something_is_wrong(rng, monkeypatch):
    held = Lists(FORM, NLIST)
    held.append(codes(rng, 3), np.array([4, 5, 6]))
    with pytest.raises(InputError, match="expected new ids, got 5"):
        held.append(codes(rng, 2), np.array([1, 5]))
    monkeypatch.setattr(module, "MOST_ROWS", 4)
    with pytest.raises(InputError, match="expected at most 4 rows in lists, got 5"):
        held.append(codes(rng, 2), None)

    assert len(held) == len(held.lists) == 3


def test_reach_grows_and_rounds_outwards():
    held = Lists(FORM, 3)
    held.widen(np.array([1, 1, 2]), np.array([0.1, 0.3, 0.2]), np.array([0.5, 0.7, -0.1]))
    held.widen(np.array([2]), np.array([0.1]), np.array([0.1]))

    assert held.reach[0].tolist() == [0, np.inf]
    assert held.reach[1, 0] >= 0.3
    assert held.reach[1, 1] <= 0.5
    np.testing.assert_allclose(held.reach[1:], [[0.3, 0.5], [0.2, -0.1]], rtol=1e-6)
