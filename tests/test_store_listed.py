"""Rows of a store list by list: where they lie, what opening costs, what a merge makes of them, damage by its name."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from indexes import in_lists, queries, trained
from lplr_index import open_store, probing
from lplr_index.arrays import as_rows
from lplr_index.errors import ChecksumError, HeaderError
from lplr_index.scanning import no_filter, pack_filter
from lplr_index.store import listed
from lplr_index.store.flat import Flat, Vectors
from lplr_index.store.keys import Numbers
from lplr_index.store.listed import Listed, ListedRows, arrangement_of
from lplr_index.store.merging import merged
from lplr_index.store.part import Part
from lplr_index.store.segments import Contained, map_file, read_segment, write_segment
from stores import written
from test_store_flat import arrays_of, view_of

N = 300
WORST = np.full(len(queries()), -np.inf, np.float32)


def in_memory(n=N, metric="cosine"):
    """Return an index, how a store arranges its rows, and the sections of them."""
    index = in_lists(metric, n)
    arrangement = Listed(index.model)
    return index, arrangement, arrays_of(arrangement.sections(index.rows.codes(0, n)))


def read(n=N, **changes):
    """Return rows of which some sections were changed."""
    _, arrangement, arrays = in_memory(n)
    for name, change in changes.items():
        arrays[name] = change(arrays[name].copy())
    return arrangement.read(arrays, n, whole=False)


def test_each_model_has_its_arrangement():
    flat, lists = trained(), in_lists()
    assert isinstance(arrangement_of(flat.settings, None), Vectors)
    assert isinstance(arrangement_of(flat.settings, flat.model), Flat)
    assert isinstance(arrangement_of(lists.settings, lists.model), Listed)


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_they_are_searched_as_in_an_index(metric):
    index, arrangement, arrays = in_memory(metric=metric)
    data, mask = index.rows.codes(0, N), np.arange(N) % 3 > 0
    sign = -1 if metric == "l2" else 1
    radius = 0.3 if metric == "cosine" else float(np.median(index.search(queries(), 20)[0]))
    assert (arrangement.digest, arrangement.width, arrangement.version) == (index.model.digest, 13, 4)
    for held in (arrangement.read(arrays, N, whole=True), view_of(arrangement, data, np.arange(N))):
        np.testing.assert_array_equal(held.data(np.arange(N)), data)
        np.testing.assert_array_equal(held.vectors(np.array([7, 3])), index.reconstruct_batch([7, 3]))
        allowed, numbers = pack_filter(held.by_place(mask)), Numbers(N, 0)
        for nprobe in (1, 4, 99):
            asked = arrangement.asked(as_rows(queries(), 48, cosine=metric == "cosine")[0], nprobe, 2)
            D, I = asked.best(held, numbers, 9, allowed, 2, WORST)
            expected = index.search(queries(), 9, filter=mask, nprobe=nprobe)
            np.testing.assert_array_equal(I, expected[1])
            np.testing.assert_array_equal(sign * D[I >= 0], expected[0][I >= 0])
            assert (D[I < 0] == -np.inf).all()
            above = asked.above(held, numbers, sign * radius, allowed, 2)
            lims, D, I = index.range_search(queries(), radius, filter=mask, nprobe=nprobe)
            assert [len(keys) for keys, _ in above] == np.diff(lims).tolist()
            order = [np.argsort(ids) for _, ids in above]
            keys = np.concatenate([keys[o] for (keys, _), o in zip(above, order, strict=True)])
            np.testing.assert_array_equal(sign * keys, D)
            np.testing.assert_array_equal(np.concatenate([np.sort(ids) for _, ids in above]), I)


@pytest.mark.parametrize("k", [5, 50])
def test_rows_behind_the_best_of_other_parts_may_be_left_out_and_no_others(k):
    """With the k-th best key as ``worst``, ties with it included, all that matters is found; above it, nothing is."""
    index, arrangement, arrays = in_memory()
    held, numbers = arrangement.read(arrays, N, whole=True), Numbers(N, 0)
    asked = arrangement.asked(as_rows(queries(), 48, cosine=True)[0], 12, 1)
    D, I = index.search(queries(), k, nprobe=12)
    np.testing.assert_array_equal(asked.best(held, numbers, k, no_filter(), 1, D[:, -1]), (D, I))
    some = asked.best(held, numbers, k, no_filter(), 1, D[:, 2])
    np.testing.assert_array_equal(some[1][:, :3], I[:, :3])
    assert (some[1][:, 3:] == -1).all()
    assert (some[0][:, 3:] == -np.inf).all()
    assert (asked.best(held, numbers, k, no_filter(), 1, D[:, 0] + 1)[1] == -1).all()


def test_queries_are_made_ready_once_for_all_parts(tmp_path, monkeypatch):
    asked, ready = [], probing.ready

    def look(model, xq, nprobe):
        asked.append(len(xq))
        return ready(model, xq, nprobe)

    monkeypatch.setattr(probing, "ready", look)
    with open_store(written(tmp_path / "s", nlist=12)) as store:
        assert store.info()["segments"] > 2
        store.search(queries(), 3, threads=1)
        assert sum(asked) == len(queries())


def test_where_rows_lie():
    held = read()
    places = held.places(np.arange(N))
    assert sorted(places.tolist()) == list(range(N))
    np.testing.assert_array_equal(held.rows_at(places), np.arange(N))
    assert held.places(np.array([-1, 7, -1])).tolist() == [-1, places[7], -1]
    mask = np.arange(N) % 7 == 0
    np.testing.assert_array_equal(held.by_place(mask)[places], mask)
    np.testing.assert_array_equal(held.by_row(held.by_place(mask)), mask)
    lists = np.repeat(np.arange(12), np.diff(held.run.starts))
    np.testing.assert_array_equal(lists[places], held.lists[:, 0])


def test_one_row_and_lists_without_rows():
    held = read(1)
    assert held.places(np.array([0])).tolist() == [0]
    assert np.diff(held.run.starts).tolist().count(0) == 11


def test_opening_costs_nothing_for_a_row(tmp_path):
    index, arrangement, _ = in_memory()
    cost = {}
    for n in (2000, 20_000):
        data = np.tile(index.rows.codes(0, 200), (n // 200, 1))
        what = Contained(n, 0, n - 1, [np.arange(n)], arrangement.sections(data), None)
        stamp = write_segment(tmp_path, f"segment-{n:08d}", arrangement, what)
        assert (tmp_path / stamp.name).read_bytes()[8] == 4
        tracemalloc.start()
        segment = read_segment(map_file(tmp_path, stamp), arrangement, strings=False, whole=False)
        cost[n] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        held = segment.rows
        assert len(held.ids) == 0
        for array in (held.run.blocks.heads, held.run.rows, held.lists):
            assert not array.flags.owndata
            assert not array.flags.writeable
    assert cost[20_000] < cost[2000] + 4000


@pytest.mark.parametrize("step", [1, 40, 10_000])
def test_a_merge_is_what_all_its_rows_make_at_once(monkeypatch, step):
    """Byte for byte, but for how far lists reach, where what is dead counts on."""
    monkeypatch.setattr(listed, "_STEP", step)
    index, arrangement, _ = in_memory()
    data, rng = index.rows.codes(0, N), np.random.default_rng(0)
    parts, whose, alive = [], rng.integers(0, 4, N), rng.random(N) < 0.7
    for number in range(4):
        ids = np.flatnonzero(whose == number)
        held = arrangement.read(arrays_of(arrangement.sections(data[ids])), len(ids), whole=True)
        live = pack_filter(held.by_place(alive[ids])) if number else no_filter()
        alive[ids] |= number == 0
        parts.append(Part(Numbers(len(ids), int(ids[0]), ids), None, live, held))
    what = merged(parts, arrangement)
    assert what.n == alive.sum()
    actual = {name: np.concatenate(list(pieces)) for name, _, _, pieces in what.sections()}
    expected = arrays_of(arrangement.sections(data[alive]))
    for name in ("list_numbers", "list_starts", "list_rows", "blocks"):
        np.testing.assert_array_equal(actual[name].reshape(expected[name].shape), expected[name])
    np.testing.assert_array_equal(actual["ids"], np.flatnonzero(alive))
    assert (actual["list_reach"][:, 0] >= expected["list_reach"][:, 0]).all()
    assert (actual["list_reach"][:, 1] <= expected["list_reach"][:, 1]).all()


# What is damaged


def put(place, value):
    def change(array):
        array.reshape(-1)[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("list_starts", put(0, 1)),
        ("list_starts", put(-1, N + 1)),
        ("list_starts", put(3, N + 1)),
        ("list_starts", put(3, -1)),
        ("list_reach", put(3, np.nan)),
    ],
)
def test_lists_that_are_none(name, change):
    with pytest.raises(HeaderError, match="expected 12 lists of 300 rows and how far these reach, got others"):
        read(**{name: change})


def test_rows_that_are_none_are_found_by_who_uses_them():
    broken = read(list_rows=put(slice(None), N))
    every = np.arange(N)
    asked = Listed(in_lists().model).asked(as_rows(queries(), 48, cosine=True)[0], 12, 1)
    for use in (
        lambda: broken.rows_at(every),
        lambda: broken.by_place(every > 3),
        lambda: broken.by_row(every > 3),
        lambda: asked.best(broken, Numbers(N, 0), 3, no_filter(), 1, WORST),
        lambda: asked.above(broken, Numbers(N, 0), -1.0, no_filter(), 1),
    ):
        with pytest.raises(ChecksumError, match="expected rows below 300 in lists, got 300: they were changed"):
            use()
    with pytest.raises(ChecksumError, match="expected every row in its list, got others: they were changed"):
        broken.places(every)
    with pytest.raises(ChecksumError, match="expected rows in 12 lists, got list 12: they were changed"):
        read(list_numbers=put(slice(None), 12)).places(every)


@pytest.mark.parametrize("name", ["list_rows", "list_numbers"])
def test_another_order_is_found_by_who_reads_all(name):
    _, arrangement, arrays = in_memory()
    arrays[name] = np.roll(arrays[name], 1, axis=0)
    with pytest.raises(HeaderError, match="expected rows list by list, and by number within a list, got another"):
        arrangement.read(arrays, N, whole=True)
    assert isinstance(arrangement.read(arrays, N, whole=False), ListedRows)
