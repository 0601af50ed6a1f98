"""codecs/trellis.py: centroids, scalar codes and a chain are one code, and its tables are worth its scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import naive
from lplr_index.codecs import Centroids, Chain, ScalarCodec, TrellisCodec
from lplr_index.errors import InputError

# Stages, bits of scalar columns, sizes of groups, columns beyond, bytes, and whether the last nibble is free.
FORMS = {
    "chain": (0, (), (1, 1, 2, 5), 0, 2, False),
    "odd chain": (0, (), (2, 1, 3), 0, 2, True),
    "one nibble": (0, (), (3,), 0, 1, True),
    "room": (0, (), (1, 2), 0, 5, True),
    "nibbles without columns": (0, (), (0, 1, 1, 0, 1, 2), 0, 3, False),
    "one stage": (1, (), (1, 4, 3), 3, 3, True),
    "two stages": (2, (), (1, 1), 0, 3, False),
    "four stages": (4, (), (2, 7), 1, 5, False),
    "scalar": (0, (8, 6, 6), (), 0, 3, True),
    "scalar and chain": (0, (7, 7, 7, 7, 3, 3, 3, 3), (1, 1, 2), 0, 8, True),
    "everything": (2, (8, 8, 5, 5, 5, 5), (1, 3, 32), 4, 9, True),
}


def make(form, seed=0, scale=1.0):
    """Return such a codec of random parts, and rows (200, m) for it."""
    stages, bits, sizes, tail, nbytes, spare = FORMS[form]
    rng = np.random.default_rng([seed, len(form)])
    first, columns = len(bits), len(bits) + sum(sizes)
    centroids = scale * rng.standard_normal((stages, 256, columns + tail)).astype(np.float32)
    levels = [np.sort(scale * rng.standard_normal(1 << b)).astype(np.float32) for b in bits]
    book = scale * rng.standard_normal((sum(sizes), 2, 16))
    book[: sizes[0] if sizes else 0, 1] = 0
    codec = TrellisCodec.build(
        centroids=centroids,
        scalar=ScalarCodec.build(levels, np.ones(first)) if bits else None,
        chain=Chain(np.array(sizes, np.uint16), book.astype(np.float32)),
        spread=np.ones(columns + tail),
        nbytes=nbytes,
        spare=spare,
    )
    return codec, (scale * (1 + stages) * rng.standard_normal((200, columns + tail))).astype(np.float32)


def take_apart(codec, codes):
    """Return centroids (n, stages), codes of scalar columns (n, columns) and nibbles of the chain (n, steps)."""
    words = codes[:, codec.nibbles // 2 :]
    used = codec.scalar.used if codec.scalar else 0
    parts = naive.nibble(codes, codec.places)
    numbers = np.zeros((len(codes), codec.scalar.m if codec.scalar else 0), int)
    for column, nibble, shift, mask, code_shift in codec.scalar.fields if codec.scalar else ():
        numbers[:, column] |= ((parts[:, nibble] >> shift) & mask) << code_shift
    return words, numbers, parts[:, used:].astype(np.uint8)


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_sums_of_their_parts(form):
    codec, y = make(form)

    codes = codec.encode(y)
    L = codec.decode(codes)

    codec.check()
    assert (codes.shape, codes.dtype) == ((200, FORMS[form][4]), np.uint8)
    assert (L.shape, L.dtype) == (y.shape, np.float32)
    words, numbers, nibbles = take_apart(codec, codes)
    expected = np.zeros_like(L)
    for stage in range(codec.stages):
        expected += codec.centroids[stage][words[:, stage]].astype(np.float32) * codec.unit
    first = numbers.shape[1]
    if first:
        expected[:, :first] += codec.scalar.levels[codec.scalar.starts[:-1] + numbers]
    expected[:, first : first + len(codec.book)] += codec.chain.decode(nibbles)
    np.testing.assert_allclose(L, expected, rtol=1e-5, atol=1e-5)
    spare = not codec.uses(codec.nibbles - 1)
    assert spare == FORMS[form][5] or form == "room"
    if spare:
        assert not (codes[:, codec.nibbles // 2 - 1] >> 4).any()


@pytest.mark.parametrize("form", [form for form in FORMS if FORMS[form][5]])
def test_another_nibble_can_be_free_instead_of_the_last(form):
    codec, y = make(form)
    codes, every = naive.nibble(codec.encode(y), np.arange(codec.nibbles - 1)), np.arange(codec.nibbles)
    for nibble in (0, codec.nibbles // 3, codec.nibbles - 1):
        freed = codec.freed(nibble)

        freed.check()
        assert not freed.uses(nibble)
        np.testing.assert_array_equal(np.delete(naive.nibble(freed.encode(y), every), nibble, axis=1), codes)
        np.testing.assert_array_equal(freed.decode(freed.encode(y)), codec.decode(codec.encode(y)))


@pytest.mark.parametrize("form", FORMS)
def test_a_code_is_the_best_of_those_of_a_few_choices_of_centroids(form):
    codec, y = make(form)
    centroids = Centroids(codec.centroids.astype(np.float32) * codec.unit)
    first, last = len(FORMS[form][1]), len(FORMS[form][1]) + len(codec.book)

    codes = codec.encode(y)

    every = []
    for words in centroids.choices(y, 4).transpose(1, 0, 2):
        L, rest = centroids.decode(words), y - centroids.decode(words)
        if codec.scalar is not None:
            head = np.ascontiguousarray(rest[:, :first])
            L[:, :first] += codec.scalar.decode(codec.scalar.encode(head))
        chained = np.ascontiguousarray(rest[:, first:last])
        L[:, first:last] += codec.chain.decode(codec.chain.encode(chained))
        every.append(np.square(y - L, dtype=float).sum(axis=1))
    np.testing.assert_allclose(np.square(y - codec.decode(codes), dtype=float).sum(axis=1), np.min(every, axis=0), 1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_tables_are_worth_the_scores_and_bounds_are_above_them(form):
    codec, y = make(form)
    codes = codec.encode(y)
    if not codec.uses(codec.nibbles - 1):
        codes[:, codec.nibbles // 2 - 1] |= 0xB0  # whatever the gain is
    L = codec.decode(codes).astype(float)
    xq = np.concatenate([y[:6], -y[:1], np.zeros_like(y[:1])])

    tables = codec.query_tables(xq)

    columns, stages = np.arange(codec.nibbles), np.arange(codec.stages)
    values, words = naive.nibble(codes, columns), codes[:, codec.nibbles // 2 :]
    numbers = np.zeros((len(codes), len(codec.split_levels)), int)
    for split, nibble, shift, mask, code_shift in codec.split_fields:
        numbers[:, split] |= ((values[:, nibble] >> shift) & mask) << code_shift
    for q, query in enumerate(xq.astype(float)):
        expected = L @ query
        size = np.abs(L).max() * np.abs(query).sum() + 1e-30
        score = tables.exact[q, columns, values].sum(axis=1, dtype=float)
        score += tables.stages[q, stages, words].sum(axis=1, dtype=float)
        for split, each in enumerate(codec.split_levels):
            score += each[numbers[:, split]] * float(tables.split[q, split])
        np.testing.assert_allclose(score, expected, atol=1e-5 * size)
        sums = naive.column_sums(tables.deficits[q].reshape(-1, 16), values, codec.shifts)
        sums += tables.stage_deficits[q, stages, words].sum(axis=1, dtype=np.int64) << tables.stage_doublings[q]
        assert (tables.base[q] - tables.scale[q] * sums >= expected - 1e-5 * size).all()
        assert tables.size[q] >= expected.max() * (1 - 1e-5)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_units_do_not_matter(scale):
    codec, y = make("everything", scale=scale)
    plain, rows = make("everything")

    L, expected = codec.decode(codec.encode(y)) / scale, plain.decode(plain.encode(rows))

    assert np.isclose(L, expected, rtol=1e-2, atol=1e-2).mean() > 0.99


def test_the_heaviest_nibbles_come_first():
    codec, _ = make("everything")
    tables = codec.query_tables(np.ones((1, codec.m), np.float32))

    spans = np.ptp(tables.exact[0], axis=1)

    assert sorted(codec.places) == list(range(len(codec.places)))
    assert spans[:4].mean() > spans[-5:-1].mean()
    assert not spans[-1]


def test_a_code_that_has_no_room():
    with pytest.raises(InputError, match="expected codes of at most 2 nibbles, got 3"):
        TrellisCodec.build(
            centroids=np.zeros((0, 256, 2), np.float32),
            scalar=None,
            chain=Chain(np.ones(2, np.uint16), np.zeros((2, 2, 16), np.float32)),
            spread=np.ones(2),
            nbytes=1,
            spare=True,
        )


@pytest.mark.parametrize("form", FORMS)
def test_no_rows_and_no_queries(form):
    codec, y = make(form)

    assert codec.encode(y[:0]).shape == (0, FORMS[form][4])
    assert codec.decode(np.empty((0, FORMS[form][4]), np.uint8)).shape == (0, codec.m)
    assert codec.query_tables(y[:0]).exact.shape == (0, codec.nibbles, 16)


@pytest.mark.parametrize("form", FORMS)
def test_a_row_is_coded_alike_in_any_company(form):
    codec, y = make(form)

    parts = [codec.encode(np.ascontiguousarray(part)) for part in np.split(y, [1, 8, 75])]

    np.testing.assert_array_equal(np.concatenate(parts), codec.encode(y))


def put(array, where, value):
    out = array.copy()
    out[where] = value
    return out


SPOILT = {
    "centroids flat": lambda c: replace(c, centroids=c.centroids[0]),
    "centroids few": lambda c: replace(c, centroids=c.centroids[:, 1:]),
    "centroids nan": lambda c: replace(c, centroids=put(c.centroids, (0, 3, 0), np.nan)),
    "centroids narrow": lambda c: replace(c, centroids=c.centroids[:, :, :20]),
    "centroids none": lambda c: replace(c, centroids=c.centroids[:0]),  # but columns that they alone reach
    "book flat": lambda c: replace(c, book=c.book[0]),
    "book short": lambda c: replace(c, book=c.book[1:]),
    "book of three": lambda c: replace(c, book=np.concatenate([c.book, c.book[:, :1]], axis=1)),
    "book infinite": lambda c: replace(c, book=put(c.book, (5, 0, 0), np.inf)),
    "book that looks back from the start": lambda c: replace(c, book=put(c.book, (0, 1, 2), 1)),
    "sizes matrix": lambda c: replace(c, sizes=c.sizes[:, None]),
    "sizes that end in zero": lambda c: replace(c, sizes=np.array([4, 32, 0], np.uint16)),
    "sizes of another sum": lambda c: replace(c, sizes=put(c.sizes, 2, 31)),
    "sizes few": lambda c: replace(c, sizes=np.array([4, 32], np.uint16)),
    "places matrix": lambda c: replace(c, places=c.places[:, None]),
    "places twice": lambda c: replace(c, places=put(c.places, 0, c.places[1])),
    "places negative": lambda c: replace(c, places=np.where(c.places == 0, -1, c.places)),
    "places beyond": lambda c: replace(c, places=np.where(c.places == 0, c.nibbles, c.places)),
    "places few": lambda c: replace(c, places=c.places[:-1]),
    "unit nan": lambda c: replace(c, unit=np.full(1, np.nan, np.float32)),
    "unit infinite": lambda c: replace(c, unit=np.full(1, np.inf, np.float32)),
    "unit zero": lambda c: replace(c, unit=np.zeros(1, np.float32)),
    "unit negative": lambda c: replace(c, unit=-c.unit),
    "units": lambda c: replace(c, unit=np.ones(2, np.float32)),
    "no unit": lambda c: replace(c, unit=np.ones(0, np.float32)),
    "nibbles few": lambda c: replace(c, nibbles=c.nibbles - 4),
    "nibbles odd": lambda c: replace(c, nibbles=c.nibbles + 1),
}


@pytest.mark.parametrize("name", SPOILT)
def test_parts_that_do_not_fit_together(name):
    codec, _ = make("everything")
    codec.check()

    with pytest.raises(InputError, match="expected a trellis codec whose parts fit together"):
        SPOILT[name](codec).check()


def test_a_scalar_code_that_does_not_fit_together():
    codec, _ = make("everything")
    scalar = replace(codec.scalar, levels=put(codec.scalar.levels, 0, np.nan))

    with pytest.raises(InputError, match="expected a codec whose columns, levels"):
        replace(codec, scalar=scalar).check()
