"""Vectors and codes in the order of their numbers, as a store has them: against the index of the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from indexes import filled, queries, rows
from lplr_index.arrays import as_rows
from lplr_index.scanning import no_filter, pack_filter
from lplr_index.store.flat import Flat, Vectors
from lplr_index.store.keys import Numbers

WORST = np.full(len(queries()), -np.inf, np.float32)


def arrays_of(sections):
    """Return the arrays of sections as a file gives them back."""
    return {name: np.concatenate(list(parts)).astype(dtype).reshape(shape) for name, dtype, shape, parts in sections}


def view_of(arrangement, data, numbers):
    """Return rows of a journal."""
    growing = arrangement.growing()
    for part in np.array_split(data, 3):
        growing.append(part)
    np.testing.assert_array_equal(growing.data(np.array([5, 0])), data[[5, 0]])
    return growing.view(numbers)


def test_codes_are_searched_as_in_an_index():
    index = filled()
    flat, numbers, mask = Flat(index.model), Numbers(200, 0), np.arange(200) % 3 > 0
    data = index.rows.codes(0, 200)
    read = flat.read(arrays_of(flat.sections(data)), 200, whole=True)
    assert (flat.digest, flat.width, flat.version) == (index.model.digest, 12, 5)
    for held in (read, view_of(flat, data, np.arange(200))):
        np.testing.assert_array_equal(held.data(np.array([7, 3])), data[[7, 3]])
        np.testing.assert_array_equal(held.vectors(np.array([7, 3])), index.reconstruct_batch([7, 3]))
        asked = flat.asked(as_rows(queries(), 48, cosine=True)[0], 0, 1)
        found = asked.best(held, numbers, 9, pack_filter(mask), 1, WORST)
        np.testing.assert_array_equal(found, index.search(queries(), 9, filter=mask))
        above = asked.above(held, numbers, 0.3, pack_filter(mask), 1)
        lims, D, I = index.range_search(queries(), 0.3, filter=mask)
        np.testing.assert_array_equal(np.concatenate([keys for keys, _ in above]), D)
        np.testing.assert_array_equal(np.concatenate([ids for _, ids in above]), I)
        assert [len(keys) for keys, _ in above] == np.diff(lims).tolist()


@pytest.mark.parametrize("squared", [True, False])
def test_vectors_are_compared_as_they_are(squared):
    arrangement, x = Vectors(48, cosine=not squared, squared=squared), rows(100) * 3
    door = as_rows(x, 48, cosine=not squared)[0]
    xq = as_rows(queries(), 48, cosine=not squared)[0].astype(float)
    keys = -np.square(xq[:, None] - door[None]).sum(axis=2) if squared else xq @ door.T
    ids = np.arange(100)[::-1].copy()
    read = arrangement.read(arrays_of(arrangement.sections(x)), 100, whole=False)
    assert (arrangement.digest, arrangement.width, arrangement.version) == (None, 48, 3)
    for held in (read, view_of(arrangement, x, ids)):
        np.testing.assert_array_equal(held.data(np.array([7, 3])), x[[7, 3]])
        np.testing.assert_allclose(held.vectors(np.array([7, 3])), door[[7, 3]], rtol=1e-6)
        asked = arrangement.asked(xq.astype(np.float32), 0, 1)
        D, I = asked.best(held, Numbers(100, 0, ids, ascending=False), 5, no_filter(), 1, WORST)
        np.testing.assert_allclose(D, -np.sort(-keys)[:, :5], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(I, ids[np.argsort(-keys)[:, :5]])
