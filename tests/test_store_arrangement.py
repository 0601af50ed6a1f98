"""What all ways to arrange the rows of a store have in common."""

from __future__ import annotations

import numpy as np
import pytest

from indexes import filled
from lplr_index.store.arrangement import Arranged, Pieces, Woven, grown, numbered
from lplr_index.store.keys import Numbers


@pytest.mark.parametrize("pieces", [1, 3, 100])
@pytest.mark.parametrize("kind", ["staged-1-8", "tails-1-8"])
def test_codes_in_pieces_are_woven_as_codes_in_one(pieces, kind, monkeypatch):
    monkeypatch.setattr(Woven, "_ROWS", 50)
    held = filled(kind=kind, n=170).rows
    codes = np.array_split(held.codes(0, 170), pieces)
    for _ in range(2):  # as a file needs it
        for name, shape in held.store.form.shapes(170).items():
            blocks = np.concatenate(list(Woven(codes, held.store.form, name)))
            np.testing.assert_array_equal(blocks, np.concatenate([each.section(name) for each in held.store.whole()]))
            assert blocks.shape == shape


def test_what_was_found_as_numbers():
    found = np.array([[2, 0, -1]])
    assert numbered(Numbers(3, 5), found).tolist() == [[7, 5, -1]]
    assert numbered(Numbers(3, 4, np.array([4, 8, 9])), found).tolist() == [[9, 4, -1]]


def test_arrays_grow_and_views_of_them_stay():
    array = np.arange(4)
    assert grown(array, 3) is array
    larger = grown(array, 5)
    larger[:4] = 0
    assert len(larger) >= 5
    assert array.tolist() == [0, 1, 2, 3]


def test_pieces_are_made_as_often_as_they_are_asked_for():
    pieces = Pieces(lambda: iter([np.zeros(1)]))
    assert [len(list(pieces)) for _ in range(2)] == [1, 1]


def test_rows_lie_in_their_order_unless_somebody_says_otherwise():
    class Plain(Arranged):
        data = vectors = None

    rows, mask = np.array([3, -1]), np.array([True, False])
    plain = Plain()
    assert plain.places(rows) is plain.rows_at(rows) is rows
    assert plain.by_place(mask) is plain.by_row(mask) is mask
