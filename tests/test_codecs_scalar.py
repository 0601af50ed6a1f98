"""codecs/scalar.py: rows of L as bytes, each column by itself, and what the bytes are worth to a query."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from lplr_index.errors import InputError
from scalars import make_codec

BITS = st.lists(st.integers(1, 8), min_size=1, max_size=20)


@given(BITS, st.integers(0, 2**32 - 1), st.booleans())
def test_codes_are_the_nearest_levels(bits, seed, uniform):
    codec, y = make_codec(bits, seed, uniform=uniform)

    codes = codec.encode(y)
    L = codec.decode(codes)

    used = -(-sum(bits) // 4)
    assert codec.nibbles == used + used % 2
    assert (codes.shape, codes.dtype) == ((500, codec.nibbles // 2), np.uint8)
    assert (L.shape, L.dtype, codec.m) == (y.shape, np.float32, len(bits))
    numbers = codec.column_codes(codes)
    for j, b in enumerate(bits):
        levels = codec.levels[codec.starts[j] : codec.starts[j + 1]]
        assert len(levels) == 1 << b
        nearest = np.abs(levels - y[:, j, None]).min(axis=1)
        np.testing.assert_allclose(np.abs(L[:, j] - y[:, j]), nearest, atol=1e-6)
        np.testing.assert_array_equal(levels[numbers[:, j]], L[:, j])
    np.testing.assert_array_equal(codec.encode(L), codes)


def test_edges_are_midpoints_in_vectors_of_sixteen():
    codec, _ = make_codec([6, 1, 4])

    edges, starts = codec.edges

    assert starts.tolist() == [0, 64, 80, 96]
    for j, start in enumerate(starts[:-1]):
        levels = codec.levels[codec.starts[j] : codec.starts[j + 1]]
        np.testing.assert_array_equal(edges[start : start + len(levels) - 1], (levels[1:] + levels[:-1]) / 2)
        assert np.isinf(edges[start + len(levels) - 1 : starts[j + 1]]).all()


@given(BITS, st.integers(0, 2**32 - 1), st.booleans(), st.integers(0, 3))
def test_tables_are_worth_the_scores_and_bounds_are_above_them(bits, seed, uniform, more):
    least = -(-sum(bits) // 8)
    codec, y = make_codec(bits, seed, uniform=uniform, nbytes=least + more)
    codes, L = codec.encode(y), codec.decode(codec.encode(y)).astype(float)
    queries = np.concatenate([y[:6], -y[:1], np.zeros_like(y[:1])])

    tables = codec.query_tables(queries)

    columns = np.arange(codec.nibbles)
    values = naive.nibble(codes, columns)
    digits = tables.deficits.reshape(len(queries), -1, 16)
    split = np.unique(codec.fields[:, 0], return_counts=True)
    several = split[0][split[1] > 1]
    for q, query in enumerate(queries.astype(float)):
        exact = L @ query
        size = np.abs(L).max() * np.abs(query).sum() + 1e-30
        partial = tables.exact[q, columns, values].sum(axis=1, dtype=float) + L[:, several] @ query[several]
        np.testing.assert_allclose(partial, exact, atol=1e-5 * size)
        sums = naive.column_sums(digits[q], values, codec.shifts)
        assert (tables.base[q] - tables.scale[q] * sums >= exact - 1e-5 * size).all()
        assert tables.size[q] >= exact.max() * (1 - 1e-5)


@pytest.mark.parametrize("bits", [[4] * 40, [4] * 128, [8] * 6 + [4] * 60 + [2] * 60, [1] * 256, [4] * 600])
@pytest.mark.parametrize("decay", [0.0, 0.02, 0.3])
def test_bounds_are_close(bits, decay):
    """Steps are as fine as it takes: what rounding adds stays small beside the spread of scores."""
    codec, y = make_codec(bits, decay=decay)
    codes = codec.encode(y)
    L = codec.decode(codes).astype(float)

    tables = codec.query_tables(y[:20])

    columns = np.arange(codec.nibbles)
    values, digits = naive.nibble(codes, columns), tables.deficits.reshape(20, -1, 16)
    added = []
    for q, query in enumerate(y[:20].astype(float)):
        sums = naive.column_sums(digits[q], values, codec.shifts)
        above = tables.base[q] - tables.scale[q] * sums - L @ query
        added.append(above.mean() / (L @ query).std())
    if codec.nibbles < 600:
        assert np.max(added) < 0.8
    else:  # half a step for each of so many nibbles, in a step that the largest four of these queries' entries set
        assert np.median(added) < 0.9


@given(BITS, st.integers(0, 2**32 - 1))
def test_the_heaviest_nibbles_come_first(bits, seed):
    codec, y = make_codec(bits, seed)

    tables = codec.query_tables(np.abs(y).mean(axis=0, keepdims=True))

    if len(codec.split_fields) == 0:
        spans = np.ptp(tables.exact[0], axis=1)
        assert spans[0] >= 0.5 * spans.max()
        assert spans[0] >= spans[-1]


def test_split_columns():
    codec, _ = make_codec([8, 2, 5, 4])

    fields = codec.split_fields
    assert np.unique(fields[:, 0]).tolist() == [0, 1]
    assert codec.split_levels.shape == (2, 256)
    np.testing.assert_array_equal(codec.split_levels[0], codec.levels[:256])
    np.testing.assert_array_equal(codec.split_levels[1, :32], codec.levels[260:292])
    assert not codec.split_levels[1, 32:].any()
    assert make_codec([4, 2, 2])[0].split_fields.shape == (0, 5)


def test_a_code_of_more_bytes_than_it_needs():
    codec, y = make_codec([3, 1], nbytes=5)

    codes = codec.encode(y)

    assert codes.shape[1] == 5
    assert (codes != 0).any(axis=0).sum() <= 1
    np.testing.assert_array_equal(codec.encode(codec.decode(codes)), codes)


@given(BITS, st.booleans(), st.integers(0, 2**32 - 1))
def test_a_spare_nibble_is_the_last_and_means_nothing(bits, given_bytes, seed):
    """Whoever writes there changes neither rows nor scores nor bounds."""
    used = -(-sum(bits) // 4)
    codec, y = make_codec(bits, seed, nbytes=used // 2 + 1 if given_bytes else None, spare=True)
    plain, _ = make_codec(bits, seed)

    codes = codec.encode(y)

    assert not codec.uses(codec.nibbles - 1)
    assert (codec.used, codec.nibbles) == (used, 2 * (used // 2 + 1))
    assert plain.uses(plain.nibbles - 1) == (used % 2 == 0)
    assert not (codes[:, -1] >> 4).any()
    np.testing.assert_array_equal(
        codec.decode(codes | np.array([0] * (used // 2) + [0xA0], np.uint8)), plain.decode(plain.encode(y))
    )
    tables = codec.query_tables(y[:3])
    assert not tables.exact[:, -1].any()
    assert not tables.deficits.reshape(3, -1, 16)[:, -1].any()


@given(BITS, st.integers(0, 2**32 - 1), st.data())
def test_another_nibble_can_be_free_instead_of_the_last(bits, seed, data):
    codec, y = make_codec(bits, seed, spare=True)
    nibble = data.draw(st.integers(0, codec.nibbles - 1))

    freed = codec.freed(nibble)

    assert not freed.uses(nibble)
    assert all(freed.uses(c + (c >= nibble)) for c in range(codec.used))
    kept = np.delete(naive.nibble(freed.encode(y), np.arange(codec.nibbles)), nibble, axis=1)
    np.testing.assert_array_equal(kept, naive.nibble(codec.encode(y), np.arange(codec.nibbles - 1)))
    np.testing.assert_array_equal(freed.decode(freed.encode(y)), codec.decode(codec.encode(y)))


def test_no_room_for_what_is_asked():
    with pytest.raises(InputError, match="expected codes of at most 6 nibbles, got 7"):
        make_codec([8, 8, 8], nbytes=3, spare=True)
    with pytest.raises(InputError, match="expected codes of at most 4 nibbles, got 6"):
        make_codec([8, 8, 8], nbytes=2)
    assert make_codec([8, 8, 8], nbytes=3)[0].uses(5)


@pytest.mark.parametrize("nibbles", [2, 22, 94])
@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_the_weight_of_nibbles_is_what_they_add_to_a_score(nibbles, spread):
    codec, _ = make_codec([4] * nibbles, decay=spread)
    usual = np.exp(-spread * np.arange(nibbles))

    weight = codec.weight(usual)

    assert weight.shape == (codec.used,)
    assert (np.diff(weight) <= 0).all()
    spans = np.ptp(codec.query_tables(usual[None].astype(np.float32)).exact[0], axis=1)
    np.testing.assert_allclose(weight, spans[: codec.used], rtol=1e-5)


def test_no_rows_and_no_queries():
    codec, y = make_codec([8, 2, 5, 4])

    assert codec.encode(y[:0]).shape == (0, 3)
    assert codec.decode(np.empty((0, 3), np.uint8)).shape == (0, 4)
    assert codec.query_tables(y[:0]).exact.shape == (0, 6, 16)


def put(array, where, value):
    out = array.copy()
    out[where] = value
    return out


SPOILT = {
    "bits zero": lambda c: replace(c, bits=put(c.bits, 0, 0)),
    "bits nine": lambda c: replace(c, bits=put(c.bits, 0, 9)),
    "no columns": lambda c: replace(c, bits=c.bits[:0]),
    "levels few": lambda c: replace(c, levels=c.levels[:-1]),
    "levels nan": lambda c: replace(c, levels=put(c.levels, 3, np.nan)),
    "levels matrix": lambda c: replace(c, levels=c.levels[:, None]),
    "bits matrix": lambda c: replace(c, bits=c.bits[:, None]),
    "fields flat": lambda c: replace(c, fields=c.fields.ravel()),
    "fields narrow": lambda c: replace(c, fields=c.fields[:, :4]),
    "fields unordered": lambda c: replace(c, fields=c.fields[::-1]),
    "fields few": lambda c: replace(c, fields=c.fields[:-1]),
    "fields twice": lambda c: replace(c, fields=np.repeat(c.fields, 2, axis=0)),
    "column": lambda c: replace(c, fields=put(c.fields, (-1, 0), 4)),
    "nibble": lambda c: replace(c, fields=put(c.fields, (0, 1), c.nibbles)),
    "mask": lambda c: replace(c, fields=put(c.fields, (0, 3), 5)),
    "shift": lambda c: replace(c, fields=put(c.fields, (0, 2), 3)),
    "shift far": lambda c: replace(c, fields=put(c.fields, (0, 2), 64)),
    "code shift": lambda c: replace(c, fields=put(c.fields, (0, 4), 5)),
    "code shift far": lambda c: replace(c, fields=put(c.fields, (0, 4), 64)),
    "nibbles odd": lambda c: replace(c, nibbles=c.nibbles + 1),
}


@pytest.mark.parametrize("name", SPOILT)
def test_parts_that_do_not_fit_together(name):
    codec, _ = make_codec([8, 2, 5, 4, 4, 4, 4, 4])
    codec.check()

    with pytest.raises(InputError, match="expected a codec whose columns, levels"):
        SPOILT[name](codec).check()
