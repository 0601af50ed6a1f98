"""cluster/searching.py: what workers find together is what one index finds, bit by bit."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from clusters import Shuffled, one_index, same, store
from lplr_index import IndexIVFLPLR, IndexLPLR, open_store, write_vectors
from lplr_index.cluster import ClusterStore
from lplr_index.cluster.machines import Here
from lplr_index.cluster.searching import Part, open_part
from lplr_index.cluster.slices import Slice
from lplr_index.errors import (
    ChecksumError,
    InputError,
    NotAnIndexError,
    UnknownIdError,
    UnsupportedError,
    ZeroVectorWarning,
)
from lplr_index.store.following import Follower
from stores import plain_lists


@pytest.fixture(scope="module", params=["cosine", "ip", "l2"])
def built(request, tmp_path_factory, vectors):
    """Give one index, and the store of the same rows in 15 segments, a third of which are there three times."""
    here = tmp_path_factory.mktemp("search")
    x = np.concatenate([vectors.xb[:400], vectors.xb[:200], vectors.xb[400:], vectors.xb[:200]])
    write_vectors(here / "x.npy", x)
    index = one_index(here / "x.npy", IndexLPLR(48, 1, request.param))
    return index, store(here / "x.npy", IndexLPLR(48, 1, request.param), here / "folder", slice_rows=97)


@pytest.mark.parametrize("workers", [1, 2, 5, 100])
@pytest.mark.parametrize("k", [1, 10, 300, 2000])
def test_distances_and_ids_are_those_of_one_index(built, vectors, workers, k):
    one, folder = built
    index = ClusterStore(folder, Shuffled(workers, k))

    D, I = index.search(vectors.xq, k)

    assert same((D, I), one.search(vectors.xq, k))
    assert index.workers == min(workers, 15)
    ties = D[:, 1:] == D[:, :-1]
    assert k == 1 or ties.any()  # rows that are there three times
    assert (I[:, 1:][ties & (I[:, 1:] >= 0)] > I[:, :-1][ties & (I[:, 1:] >= 0)]).all()


@pytest.mark.parametrize("workers", [1, 3])
def test_lists_are_looked_at_by_all_workers(vectors, tmp_path, workers):
    write_vectors(tmp_path / "x.npy", vectors.xb)
    with plain_lists():
        one = one_index(tmp_path / "x.npy", IndexIVFLPLR(48, 1, nlist=12))
        folder = store(tmp_path / "x.npy", IndexIVFLPLR(48, 1, nlist=12), tmp_path / "f", slice_rows=97)
    with open_store(folder) as grown:
        grown.add(vectors.xb[:20])
        grown.delete([3, 500, 1001])
    one.add(vectors.xb[:20])
    one.remove_ids([3, 500, 1001])
    index = ClusterStore(folder, Shuffled(workers, 0))

    assert index.nlist == 12
    for nprobe in (1, 4, 12):
        assert same(index.search(vectors.xq, 30, nprobe=nprobe), one.search(vectors.xq, 30, nprobe=nprobe))
    index.nprobe = one.nprobe = 2
    assert same(index.search(vectors.xq, 30), one.search(vectors.xq, 30))
    some = np.arange(0, 1000, 3)
    assert same(index.search(vectors.xq, 30, filter=some), one.search(vectors.xq, 30, filter=some))


def test_lists_of_a_store_without_them_are_refused(built, vectors):
    _, folder = built
    with pytest.raises(InputError, match="expected nprobe only of a store with lists"):
        ClusterStore(folder, Here(2)).search(vectors.xq, 1, nprobe=2)


def test_filters_are_those_of_one_index(built, vectors):
    one, folder = built
    index = ClusterStore(folder, Here(4))
    for allowed in (np.arange(90, 500), np.array([3, 10**6]), np.empty(0, np.int64)):
        assert same(index.search(vectors.xq, 20, filter=allowed), one.search(vectors.xq, 20, filter=allowed))


def test_ids_of_ones_own_come_back(vectors, tmp_path, rng):
    ids = rng.permutation(10_000)[:1000]
    write_vectors(tmp_path / "x.npy", vectors.xb)
    one = one_index(tmp_path / "x.npy", IndexLPLR(48, 1), ids=ids)
    index = ClusterStore(store(tmp_path / "x.npy", IndexLPLR(48, 1), tmp_path / "f", slice_rows=96, ids=ids), Here(3))

    assert same(index.search(vectors.xq, 20), one.search(vectors.xq, 20))
    assert same(index.search(vectors.xq, 20, filter=ids[:50]), one.search(vectors.xq, 20, filter=ids[:50]))
    assert index.info()["next_id"] == ids.max() + 1
    assert index.info()["workers"] == 3


@pytest.mark.parametrize("kind", ["int", "str"])
def test_any_store_may_be_searched_with_what_its_journal_adds_and_kills(vectors, tmp_path, kind):
    with open_store(tmp_path / "grown", 48, 1, ids=kind, train_rows=None) as grown:
        for start in range(0, 900, 300):
            ids = [*range(start, start + 300)]
            grown.add(vectors.xb[start : start + 300], ids if kind == "int" else [f"row {i}" for i in ids])
            if start == 300:
                grown.train()
        gone = [5, 310, 650]
        grown.delete(gone if kind == "int" else [f"row {i}" for i in gone])
        grown.compact()
        grown.add(vectors.xb[900:], [*range(900, 1000)] if kind == "int" else [f"row {i}" for i in range(900, 1000)])
        grown.delete([7, 950] if kind == "int" else ["row 7", "row 950"])

        index = ClusterStore(tmp_path / "grown", Here(2))

        assert index.ids == kind
        assert index.ntotal == grown.ntotal == 995
        assert same(index.search(vectors.xq, 2000), grown.search(vectors.xq, 2000))


def test_a_store_without_segments_has_no_workers(vectors, tmp_path):
    with open_store(tmp_path / "raw", 48) as raw:
        assert ClusterStore(tmp_path / "raw", Here(2)).search(vectors.xq, 2)[1].tolist() == [[-1, -1]] * 50
        raw.add(vectors.xb[:100])
        index = ClusterStore(tmp_path / "raw", Here(2))

        assert index.workers == 0
        assert same(index.search(vectors.xq, 5), raw.search(vectors.xq, 5))


def test_it_is_an_index(built, vectors):
    one, folder = built
    index = ClusterStore(folder, Here(3))

    assert (index.d, index.ntotal, index.metric, index.code_size) == (48, 1400, one.metric, one.code_size)
    assert len(index) == 1400
    assert np.array_equal(index.reconstruct_batch([5, 1399]), one.reconstruct_batch([5, 1399]))
    assert np.array_equal(index.assign(vectors.xq, 3), one.assign(vectors.xq, 3))
    with pytest.raises(UnknownIdError):
        index.reconstruct(1400)


def test_no_queries_are_no_answers(built):
    _, folder = built

    D, I = ClusterStore(folder, Here(3)).search(np.empty((0, 48), np.float32), 4)

    assert D.shape == I.shape == (0, 4)


def test_what_cannot_be_searched_is_refused_here(built, vectors):
    class Selector:
        def is_member(self, _id):
            return True

    _, folder = built
    index = ClusterStore(folder, Here(3))
    for x, k, how in [(vectors.xq, 0, {}), (vectors.xq[:, :5], 1, {}), (vectors.xq, 1, {"filter": [True]})]:
        with pytest.raises(InputError):
            index.search(x, k, **how)
    with pytest.raises(UnsupportedError, match="got a selector"):
        index.search(vectors.xq, 1, filter=Selector())


def test_a_query_of_length_zero_is_named_once(built):
    one, folder = built
    index, xq = ClusterStore(folder, Here(3)), np.zeros((2, 48), np.float32)
    if one.metric != "cosine":
        index.search(xq, 1)
        return

    with pytest.warns(ZeroVectorWarning) as warned:
        index.search(xq, 1)
    assert len(warned) == 1


def test_workers_compare_every_byte_when_they_open(built, tmp_path):
    _, folder = built
    copy = shutil.copytree(folder, tmp_path / "copy")
    manifest = Follower(copy).now().manifest
    path = copy / manifest.segments[6].file.name
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)

    with pytest.raises(ChecksumError, match=path.name):
        ClusterStore(copy, Here(3))
    assert open_part(Part(str(copy), manifest, Slice(0, 6), 1), None) == 6 * 97


def test_a_folder_of_others_is_refused(tmp_path):
    with pytest.raises(NotAnIndexError):
        ClusterStore(tmp_path, Here())
