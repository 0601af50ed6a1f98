"""blocks.py: rows in blocks, pieces that grow, beside a plain array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from lplr_index import blocks
from lplr_index.blocks import BLOCK, Blocks, BlockStore, Form

FORM = Form(nibbles=6, singles=2, norms=1)
FORMS = [FORM, Form(nibbles=6, singles=2, norms=1, tail=4)]
SIZE = 7


def random_codes(rng, n):
    return rng.integers(0, 256, (n, SIZE), dtype=np.uint8)


def check(store, codes, rng):
    """Compare a store with the codes it should hold."""
    assert store.ntotal == len(codes)
    for which in (np.arange(len(codes)), rng.permutation(len(codes)), np.repeat(np.arange(len(codes))[:3], 2)):
        np.testing.assert_array_equal(store.rows(which), codes[which])
    whole = naive.whole_blocks(store)
    assert len(whole) == -(-len(codes) // BLOCK)
    back = naive.unweave(whole, FORM.nibbles, FORM.singles)
    np.testing.assert_array_equal(back[: len(codes)], codes)
    assert not back[len(codes) :].any()
    row = 0
    pieces = list(store)
    for piece in pieces:
        assert piece.row0 == row
        assert row % BLOCK == 0
        assert 0 < piece.rows <= BLOCK * piece.blocks.n
        row += piece.rows
    assert row == len(codes)


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("form", FORMS)
@given(
    start=st.integers(0, 200),
    steps=st.lists(st.one_of(st.integers(0, 150), st.floats(0, 1)), max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_history(writeable, form, start, steps, seed):
    """Whole numbers append so many rows, fractions keep such a part; pieces hold no more than 64 rows."""
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "PIECE", 2)
        codes = random_codes(rng, start)
        empty = np.zeros((-(-start // BLOCK), BLOCK * SIZE), np.uint8)
        woven = naive.weave(codes, 0, form.nibbles, form.singles, empty)
        mapped = Blocks(*naive.split(woven, form.nibbles, form.head))
        for part in mapped:
            part.flags.writeable = writeable
        before = [part.copy() for part in mapped]
        store = BlockStore.of_blocks(mapped, start, form)
        check(store, codes, rng)
        for step in steps:
            if isinstance(step, int):
                more = random_codes(rng, step)
                store.append(more)
                codes = np.concatenate([codes, more])
            else:
                mask = rng.random(len(codes)) < step
                kept = store.keep(mask)
                check(store, codes, rng)
                store, codes = kept, codes[mask]
            check(store, codes, rng)
        assert writeable or all(np.array_equal(*each) for each in zip(mapped, before, strict=True))


def test_growing_leaves_full_pieces_where_they_are(rng):
    store = BlockStore(FORM)
    store.append(random_codes(rng, blocks.PIECE * BLOCK + 5))
    first = next(iter(store)).blocks

    for n in (1, 700, 3):
        store.append(random_codes(rng, n))

    assert next(iter(store)).blocks is first
    assert [piece.rows for piece in store] == [blocks.PIECE * BLOCK, 709]


def test_many_small_appends_copy_little(rng):
    """Room grows by half, so that adding row by row is no quadratic affair."""
    store, copies, room = BlockStore(FORM), 0, None
    codes = random_codes(rng, 5000)
    for row in codes:
        store.append(row[None])
        held = next(iter(store)).blocks
        copies += held is not room
        room = held

    check(store, codes, rng)
    assert copies < 25


@pytest.mark.parametrize("form", FORMS)
def test_a_mapped_piece_is_not_copied(rng, form):
    mapped = Blocks.room(100, form)
    for part in mapped:
        part.flags.writeable = False
    store = BlockStore.of_blocks(mapped, 3190, form)

    store.append(random_codes(rng, 10))

    first, second = store
    shared = [np.shares_memory(*each) for each in zip(first.blocks, mapped, strict=True)]
    assert shared == [True, form.tail > 0]
    assert first.rows == 99 * BLOCK
    assert second.rows == 32
    assert not any(np.shares_memory(*each) for each in zip(second.blocks, mapped, strict=True))


def test_what_lies_where():
    assert (FORM.code_size, FORM.singles_at, FORM.norms_at) == (SIZE, 32 * 3, 32 * 5)
    assert FORM.shapes(65) == {"blocks": (3, 32 * SIZE)}
    tailed = FORMS[1]
    assert (tailed.code_size, tailed.head, tailed.singles_at, tailed.norms_at) == (SIZE, 2, 32, 32 * 3)
    assert tailed.shapes(65) == {"blocks": (3, 32 * 5), "tails": (3, 32 * 2)}
    assert BlockStore(FORM).code_size == SIZE
    assert Form().code_size == 0


def test_nothing():
    store = BlockStore(FORM)

    assert list(store) == list(store.whole()) == []
    assert store.rows(np.empty(0, np.int64)).shape == (0, SIZE)
    store.append(np.empty((0, SIZE), np.uint8))
    assert store.ntotal == 0
    assert store.keep(np.empty(0, bool)).ntotal == 0
