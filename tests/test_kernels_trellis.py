"""kernels/trellis.py: every kernel against its definition, and Viterbi against all chains there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lplr_index.codecs import Chain, ScalarCodec
from lplr_index.kernels import trellis


def make_chain(rng, sizes, *, whole=False):
    """Return a chain of random levels; ``whole`` numbers make ties."""
    book = rng.integers(-2, 3, (sum(sizes), 2, 16)) if whole else rng.standard_normal((sum(sizes), 2, 16))
    book[: sizes[0], 1] = 0
    return Chain(np.array(sizes, np.uint16), book.astype(np.float32))


def levels(chain, nibbles):
    """Return the levels (n, columns) of nibbles (n, steps): an entry by the own nibble, one by that before."""
    group = np.repeat(np.arange(chain.steps), chain.sizes)
    before = np.concatenate([np.zeros_like(nibbles[:, :1]), nibbles[:, :-1]], axis=1)
    columns = np.arange(len(chain.book))
    return chain.book[columns, 0, nibbles[:, group]] + chain.book[columns, 1, before[:, group]]


def levels_of_all(chain):
    """Return the levels (16**steps, columns) of all chains of nibbles there are."""
    return levels(chain, np.array(list(itertools.product(range(16), repeat=chain.steps)), np.uint8))


@pytest.mark.parametrize("sizes", [(1,), (3,), (1, 1), (2, 5), (1, 1, 1), (1, 3, 2), (0, 1, 1), (2, 0, 1)])
@pytest.mark.parametrize("whole", [False, True])
def test_no_other_chain_is_nearer(rng, sizes, whole):
    chain = make_chain(rng, sizes, whole=whole)
    y = rng.standard_normal((12, sum(sizes))).astype(np.float32)
    y = np.rint(2 * y) if whole else y
    every = np.array(list(itertools.product(range(16), repeat=len(sizes))), np.uint8)
    errors = np.square(y[:, None].astype(float) - levels(chain, every)).sum(axis=2)

    nibbles = chain.encode(y)

    found = np.square(y.astype(float) - levels(chain, nibbles)).sum(axis=1)
    np.testing.assert_allclose(found, errors.min(axis=1), rtol=1e-5, atol=1e-5)
    if not whole:
        np.testing.assert_array_equal(nibbles, every[errors.argmin(axis=1)])


def test_of_equal_chains_the_lowest_is_taken():
    chain = Chain(np.array([1, 2, 1], np.uint16), np.zeros((4, 2, 16), np.float32))

    assert not chain.encode(np.ones((5, 4), np.float32)).any()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("n", [1, 9])
def test_the_best_of_four_choices_is_taken_the_first_of_equals(rng, whole, n):
    """Of columns with scalar codes, columns of the chain, and one that centroids alone reach."""
    chain, bits = make_chain(rng, (1, 2), whole=whole), (5, 2)
    make = (lambda *shape: rng.integers(-2, 3, shape)) if whole else (lambda *shape: rng.standard_normal(shape))
    levels = [np.sort(make(1 << b)).astype(np.float32) for b in bits]
    scalar = ScalarCodec.build(levels, np.ones(2))
    table, y = make(2, 256, 6).astype(np.float32), (3 * make(n, 6)).astype(np.float32)
    words = rng.integers(0, 256, (n, 4, 2), dtype=np.uint8)
    places = np.array([scalar.nibbles + 1, scalar.nibbles], np.int32)
    form = (*scalar.edges, scalar.levels, scalar.starts, scalar.fields), chain.kernel_form, places
    codes = np.full((n, scalar.nibbles // 2 + 3), 255, np.uint8)

    trellis.encode(y, table, words, *form, codes)
    L = np.empty_like(y)
    trellis.decode(codes, table, *form, L)

    rest = y[:, None].astype(float) - table[0, words[:, :, 0]] - table[1, words[:, :, 1]]
    every = levels_of_all(chain)
    errors = np.square(rest[:, :, None, 2:5] - every).sum(axis=3).min(axis=2) + np.square(rest[:, :, 5])
    for j, column in enumerate(levels):
        errors += np.square(rest[:, :, j, None] - column).min(axis=2)
    np.testing.assert_array_equal(codes[:, -2:], words[np.arange(n), errors.argmin(axis=1)])
    np.testing.assert_allclose(np.square(y - L, dtype=float).sum(axis=1), errors.min(axis=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sizes", [(1,), (2, 1, 32, 7), (1,) * 40, (0, 1, 2, 0, 3)])
def test_decode_adds_two_entries(rng, sizes):
    chain = make_chain(rng, sizes)
    nibbles = rng.integers(0, 16, (50, len(sizes)), dtype=np.uint8)

    np.testing.assert_array_equal(chain.decode(nibbles), levels(chain, nibbles))


@pytest.mark.parametrize("sizes", [(1,), (2, 1, 32, 7), (1,) * 40, (0, 1, 2, 0, 3)])
def test_what_nibbles_add_are_the_levels(rng, sizes):
    chain = make_chain(rng, sizes)
    y = rng.standard_normal((6, sum(sizes))).astype(np.float32)
    nibbles = rng.integers(0, 16, (50, len(sizes)), dtype=np.uint8)

    shares = chain.shares

    found = (
        y.astype(float)[:, shares.columns] @ shares.exact[np.arange(len(shares.exact)), nibbles[:, shares.nibbles]].T
    )
    expected = y.astype(float) @ levels(chain, nibbles).T
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_tally_counts_pairs_and_adds_up_columns(rng):
    sizes = (2, 1, 3)
    chain = make_chain(rng, sizes)
    y = rng.standard_normal((200, 6)).astype(np.float32)
    nibbles = rng.integers(0, 16, (200, 3), dtype=np.uint8)
    pairs, sums = np.zeros((3, 16, 16)), np.zeros((6, 2, 16))

    for part in (slice(0, 77), slice(77, 200)):
        trellis.tally(y[part], chain.starts, nibbles[part], pairs, sums)

    for step, first in enumerate(chain.starts[:-1]):
        own, before = nibbles[:, step], nibbles[:, step - 1] if step else np.zeros(200, int)
        for a, b in itertools.product(range(16), repeat=2):
            assert pairs[step, a, b] == ((before == a) & (own == b)).sum()
        for j, v in itertools.product(range(first, first + sizes[step]), range(16)):
            np.testing.assert_allclose(sums[j, 0, v], y[own == v, j].sum(dtype=float), atol=1e-9)
            np.testing.assert_allclose(sums[j, 1, v], y[before == v, j].sum(dtype=float), atol=1e-9)


@pytest.mark.parametrize("n", [0, 1])
def test_no_steps_and_no_rows(rng, n):
    empty = Chain(np.zeros(0, np.uint16), np.zeros((0, 2, 16), np.float32))

    assert empty.encode(np.zeros((n, 0), np.float32)).shape == (n, 0)
    assert empty.decode(np.zeros((n, 0), np.uint8)).shape == (n, 0)
    assert len(empty.shares.nibbles) == 0
    assert empty.weight(np.zeros(0)).shape == (0,)
    assert make_chain(rng, (2, 3)).encode(np.zeros((0, 5), np.float32)).shape == (0, 2)
