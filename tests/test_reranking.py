"""reranking.py: which vectors candidates are scored by, and whether ids and originals belong together."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from indexes import filled, queries, rows
from lplr_index.errors import InputError, UnknownIdError
from lplr_index.originals import Originals
from lplr_index.reranking import check_originals, refined_keys, refined_vectors


@pytest.mark.parametrize("count", [0, 1, 31, 33, 5000, 20_000])
@pytest.mark.parametrize("threads", [1, 3])
def test_keys_of_any_number_of_pairs(rng, count, threads):
    """From none to several tasks, whose borders lie inside of queries."""
    base, originals = filled("ip", n=200), Originals(rows(200))
    which, ids = np.sort(rng.integers(21, size=count)), rng.integers(200, size=count)

    keys = refined_keys(base, originals, queries(), which, ids, threads)

    assert keys.dtype == np.float32
    np.testing.assert_array_equal(keys, naive.pair_keys(queries()[which], rows(200)[ids], squared=False))


def test_vectors_are_found_by_id():
    numbers = np.array([7, 190, 3, 64])
    base = filled("cosine", n=4, ids=numbers)
    unit = rows(200) / np.linalg.norm(rows(200), axis=1, keepdims=True)

    vectors = refined_vectors(base, Originals(rows(200)), np.array([64, 7, 64]))

    np.testing.assert_allclose(vectors, unit[[64, 7, 64]], rtol=1e-6)
    with pytest.raises(UnknownIdError, match="got 8"):
        refined_vectors(base, Originals(rows(200)), np.array([7, 8]))


def test_codes_are_compared_with_their_own_vectors():
    base = filled("ip", n=200)
    codes = base.rows.codes(0, 200)
    wrong = codes[::-1]

    check_originals(base, Originals(rows(200)), np.arange(200), codes.__getitem__)
    check_originals(base, Originals(rows(200)), np.arange(200)[::-1], wrong.__getitem__)
    check_originals(base, Originals(rows(200)), np.arange(0), codes.__getitem__)
    with pytest.raises(InputError, match=r"to be row .* got another vector"):
        check_originals(base, Originals(rows(200)), np.arange(200), wrong.__getitem__)
