"""store/reading.py: a store answers as one index over the same rows would, whatever its ids and segments."""

from __future__ import annotations

import numpy as np
import pytest

from indexes import D_SMALL, queries, rows
from lplr_index import open_store
from lplr_index.errors import (
    InputError,
    UnknownIdError,
    UnsupportedError,
)
from stores import LISTS, assert_same_results, names, small, twin, written, written_twin

METRICS_AND_KINDS = [("cosine", "auto-2"), ("ip", "auto-2"), ("l2", "auto-2")]


def changed(store, index, rng, held, steps=25):
    """Do the same random things to a store and to an index, which hold these ids; return those held then."""
    for step in range(steps):
        some = rng.permutation(held)[: rng.integers(0, 9)] if held else np.empty(0, np.int64)
        kind = rng.integers(4)
        if kind == 0:
            assert store.delete(some) == index.remove_ids(some.astype(np.int64))
            held = sorted(set(held) - set(some.tolist()))
        elif kind == 1:
            x = rows(3000)[rng.integers(0, 3000, len(some))]
            store.upsert(x, some)
            index.remove_ids(some.astype(np.int64))
            index.add_with_ids(x, some)
        else:
            n = 100 if step % 9 == 4 else int(rng.integers(1, 30))
            ids = rng.permutation(10_000)[:n]
            ids = ids[~np.isin(ids, held)]
            x = rows(3000)[rng.integers(0, 40, len(ids))]  # few rows many times: ties
            store.add(x, ids)
            index.add_with_ids(x, ids)
            held = sorted({*held, *ids.tolist()})
    return held


@pytest.mark.parametrize(("metric", "kind"), METRICS_AND_KINDS)
@pytest.mark.parametrize("nlist", LISTS)
@pytest.mark.parametrize("background", [True, False])
def test_it_equals_one_index_over_the_same_rows(tmp_path, rng, short_journals, metric, kind, nlist, background):
    index = twin(metric, kind, nlist)
    with small(tmp_path / "s", metric=metric, nlist=nlist, background=background) as store:
        assert_same_results(store, index)
        held: list[int] = []
        for _ in range(4):
            held = changed(store, index, rng, held)
            assert_same_results(store, index)
        with open_store(tmp_path / "s", read_only=True) as reader:
            assert_same_results(reader, index)
        assert store.verify() == []
        assert store.info()["merge_error"] is None
    with open_store(tmp_path / "s") as store:
        assert_same_results(store, index)
        store.compact()
        assert_same_results(store, index)
        assert store.info()["segments"] == 1
        assert store.info()["deleted_rows"] == 0
        assert store.verify() == []


@pytest.mark.parametrize("nlist", LISTS)
@pytest.mark.parametrize("threads", [1, 2])
def test_ties_go_to_the_lowest_id_wherever_it_lies(tmp_path, short_journals, nlist, threads):
    x = np.repeat(rows(1), 300, axis=0)
    ids = np.random.default_rng(0).permutation(1000)[:300]
    index = twin(nlist=nlist)
    index.add_with_ids(x, ids)
    with small(tmp_path / "s", nlist=nlist, background=False) as store:
        for start in range(0, 300, 30):
            store.add(x[start : start + 30], ids[start : start + 30])
        D, I = store.search(rows(1), 10, threads=threads)
    assert I[0].tolist() == sorted(ids)[:10]
    np.testing.assert_array_equal(D, index.search(rows(1), 10)[0])


@pytest.mark.parametrize("nlist", LISTS)
@pytest.mark.parametrize("kind", ["int", "str"])
def test_ids_come_back_as_they_were_given(tmp_path, short_journals, nlist, kind):
    with small(tmp_path / "s", kind, nlist=nlist, background=False) as store:
        given = store.add(rows(200), names(range(200), kind))
        D, I = store.search(rows(3), 250)
        lims, _, found = store.range_search(rows(3), -2.0)

        assert list(given) == names(range(200), kind)
        assert I.dtype == (object if kind == "str" else np.int64)
        assert I[:, 0].tolist() == names([0, 1, 2], kind)
        assert (I[:, 200:] == (None if kind == "str" else -1)).all()
        assert (D[:, 200:] == np.finfo(np.float32).min).all()
        assert lims.tolist() == [0, 200, 400, 600]
        assert found[:200].tolist() == names(range(200), kind)
        _, again, x_hat = store.search_and_reconstruct(rows(3), 250)
        np.testing.assert_array_equal(again, I)
        np.testing.assert_array_equal(x_hat[:, :200], [store.reconstruct_batch(row[:200]) for row in I])
        assert np.isnan(x_hat[:, 200:]).all()
        one = names([7], kind)
        np.testing.assert_array_equal(store.reconstruct(one[0]), store.reconstruct_batch(one)[0])


def test_strings_tie_in_the_order_they_came(tmp_path, short_journals):
    x = np.repeat(rows(1), 100, axis=0)
    with small(tmp_path / "s", "str", background=False) as store:
        for start in range(0, 100, 10):
            store.add(x[:10], [f"{(start + i) * 7 % 100}" for i in range(10)])
        expected = [f"{i * 7 % 100}" for i in range(100)]
        assert store.search(rows(1), 100)[1][0].tolist() == expected
        store.upsert(x[:2], ["0", "7"])
        assert store.search(rows(1), 100)[1][0].tolist() == [*expected[2:], "0", "7"]
        store.compact()
        assert store.search(rows(1), 100)[1][0].tolist() == [*expected[2:], "0", "7"]


@pytest.mark.parametrize("nlist", LISTS)
@pytest.mark.parametrize("kind", ["int", "str"])
def test_filters(tmp_path, nlist, kind):
    index = written_twin(nlist)
    with open_store(written(tmp_path / "s", kind, nlist)) as store:
        if nlist:
            index.nprobe = store.nprobe
        wanted = [5, 199, 3, 17, 301, 4000]
        D, I = store.search(queries(), 6, filter=names(wanted, kind))
        expected = index.search(queries(), 6, filter=wanted)
        np.testing.assert_array_equal(D, expected[0])
        found = [[-1 if i in (None, -1) else int(str(i).removeprefix("row ")) for i in row] for row in I.tolist()]
        assert found == expected[1].tolist()
        assert store.search(queries(), 3, filter=names([3, 4000], kind))[0].max() == np.finfo(np.float32).min
        lims, _, I = store.range_search(queries(), -2.0, filter=names(wanted, kind))
        assert lims[-1] == len(I) == 4 * len(queries())


@pytest.mark.parametrize("nlist", LISTS)
def test_a_selector_filters_and_a_mask_does_not(tmp_path, nlist):
    faiss = pytest.importorskip("faiss")
    index = written_twin(nlist)
    selector = faiss.IDSelectorRange(10, 200)
    with open_store(written(tmp_path / "s", nlist=nlist)) as store:
        if nlist:
            store.nprobe = index.nprobe
        for actual, expected in zip(
            store.search(queries(), 9, filter=selector), index.search(queries(), 9, filter=selector), strict=True
        ):
            np.testing.assert_array_equal(actual, expected)
        with pytest.raises(InputError, match="expected ids as filter, got a mask"):
            store.search(queries(), 9, filter=np.ones(len(store), bool))


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_rows_are_searched_exactly_before_training(tmp_path, short_journals, metric):
    rng = np.random.default_rng(1)
    ids = rng.permutation(500)[:200]
    x = rows(200).astype(np.float64)
    x[50:60] = x[:10]  # ties
    with small(tmp_path / "s", metric=metric, trains=False, background=False) as store:
        for start in range(0, 200, 25):
            store.add(x[start : start + 25], ids[start : start + 25])
        store.delete(ids[::7])
        left = np.setdiff1d(np.arange(200), np.arange(0, 200, 7))
        keys = exact_keys(x.astype(np.float32).astype(float)[left], queries(), metric)
        D, I = store.search(queries(), 12)
        for query in range(len(queries())):
            order = np.lexsort((ids[left], -keys[query]))[:12]
            assert I[query].tolist() == ids[left][order].tolist()
            np.testing.assert_array_equal(D[query], keys[query][order] * (-1 if metric == "l2" else 1))
        assert not store.is_trained
        assert store.info()["raw_rows"] == len(left)
        lims, _, found = store.range_search(queries(), 1e9 if metric == "l2" else -1e9)
        assert lims[-1] == len(queries()) * len(left)
        assert found[: len(left)].tolist() == sorted(ids[left].tolist())


def exact_keys(x, xq, metric):
    """Return what every pair scores, larger being better, (nq, n) float32."""
    xq = xq.astype(float)
    if metric == "cosine":
        x = (x / np.linalg.norm(x, axis=1)[:, None]).astype(np.float32).astype(float)
        xq = (xq / np.linalg.norm(xq, axis=1)[:, None]).astype(np.float32).astype(float)
    pairs = -np.square(xq[:, None] - x[None]) if metric == "l2" else xq[:, None] * x[None]
    return np.cumsum(pairs, axis=2)[:, :, -1].astype(np.float32)  # in order, as the kernel adds


def test_unknown_integers(tmp_path):
    with open_store(written(tmp_path / "s")) as store:
        for gone in (3, 150, 4000):
            with pytest.raises(UnknownIdError, match=f"expected ids that the store holds, got {gone}"):
                store.reconstruct(gone)
        assert store.delete([3, 150, 4000]) == 0
        assert store.reconstruct_batch([]).shape == (0, D_SMALL)


def test_a_reader_does_not_write_and_a_closed_store_answers_nothing(tmp_path):
    reader = open_store(written(tmp_path / "s"), read_only=True)
    for write in (
        lambda: reader.add(rows(1)),
        lambda: reader.upsert(rows(1), [1]),
        lambda: reader.delete([1]),
        reader.train,
        reader.compact,
    ):
        with pytest.raises(UnsupportedError, match="expected a store that this process opened to write"):
            write()
    assert repr(reader) == f"Store({str(tmp_path / 's')!r}, d=48, ntotal=325, metric='cosine')"
    reader.close()
    reader.close()
    for answer in (lambda: reader.search(queries(), 1), lambda: len(reader), reader.verify):
        with pytest.raises(InputError, match="expected an open store, got one that was closed"):
            answer()
    assert repr(reader) == "Store(closed)"
