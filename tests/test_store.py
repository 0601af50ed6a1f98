"""A store answers as one index over the same rows does, whatever came and went, and says what it will not do."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest

from indexes import D_SMALL, queries, rows, training_rows
from lplr_index import METRIC_L2, IndexIVFLPLR, IndexLPLR, open_store
from lplr_index.errors import (
    InputError,
    LockedError,
    MissingDependencyError,
    NotAnIndexError,
    UnknownIdError,
    UnsupportedError,
    WriteError,
    ZeroVectorWarning,
)
from lplr_index.store import Store
from stores import LISTS, assert_same_results, names, plain_lists, small, twin, written, written_twin

# Before training


@pytest.mark.parametrize("nlist", LISTS)
@pytest.mark.parametrize("kind", ["int", "str"])
def test_it_trains_itself_when_there_are_enough_rows(tmp_path, nlist, kind):
    if nlist:
        pytest.importorskip("faiss")
    index = IndexIVFLPLR(D_SMALL, 2.0, nlist=nlist) if nlist else IndexLPLR(D_SMALL, 2.0)
    index.train(rows(330))
    index.add(rows(400))
    with small(tmp_path / "s", kind, trains=False, train_rows=330, nlist=nlist) as store:
        store.add(rows(300), names(range(300), kind))
        assert not store.is_trained
        store.add(rows(330)[300:], names(range(300, 330), kind))
        assert store.is_trained
        assert store.info()["raw_rows"] == 0
        store.add(rows(400)[330:], names(range(330, 400), kind))
        D, I = store.search(queries(), 20)
        np.testing.assert_array_equal(D, index.search(queries(), 20)[0])
        assert I.tolist() == [names(row, kind) for row in index.search(queries(), 20)[1].tolist()]
        assert store.info()["training"] == index.model.digest
        with pytest.raises(InputError, match="expected a store without training"):
            store.train()
    with open_store(tmp_path / "s") as store:
        np.testing.assert_array_equal(store.search(queries(), 20)[0], D)


@pytest.mark.parametrize("nlist", [*LISTS, 300])  # of which the number takes two bytes
def test_training_on_a_sample_packs_the_rows_there_are(tmp_path, nlist):
    index = twin(nlist=nlist)
    index.add(rows(100))
    with small(tmp_path / "s", trains=False, nlist=nlist) as store, plain_lists():
        store.add(rows(100))
        store.train(training_rows())
        assert_same_results(store, index)
        store.add(rows(150)[100:])
        index.add(rows(150)[100:])
        store.compact()
        assert_same_results(store, index)
        assert store.verify() == []


def test_lists_want_rows_to_train_on_and_no_queries(tmp_path):
    """So few rows as ``train_rows`` says do not train so many lists."""
    with small(tmp_path / "s", trains=False, train_rows=30, nlist=12) as store, plain_lists():
        store.add(rows(12 * 16 - 1))
        assert not store.is_trained
        with pytest.raises(InputError, match="expected no queries to train lists with"):
            store.train(queries=queries())
        store.add(rows(200)[199:])
        assert store.is_trained


def test_lists_need_faiss_to_be_trained_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with small(tmp_path / "s", trains=False, nlist=12) as store:
        store.add(rows(100))
        with pytest.raises(MissingDependencyError, match="faiss"):
            store.train()
        assert store.search(rows(3), 1)[1][:, 0].tolist() == [0, 1, 2]
    with open_store(written(tmp_path / "t", nlist=12)) as store:
        assert_same_results(store, written_twin(12))
        store.compact()
        store.add(rows(1))


def test_training_needs_rows(tmp_path):
    with small(tmp_path / "s", trains=False) as store, pytest.raises(InputError, match="expected at least one row"):
        store.train()


# What is not done


def test_an_id_that_is_held_is_not_added_again(tmp_path):
    with open_store(written(tmp_path / "s")) as store:
        before = store.search(queries(), 9)
        for ids, words in [
            ([1000, 17], "expected new ids, got 17, which the store already holds"),
            ([1000, 5], "got 5, which"),
            ([1000, 1000], "expected distinct ids, got 1000 twice"),
            ([1000, -1], "expected ids from 0 to"),
            ([1000], "expected 2 ids, got 1"),
            (["a", "b"], "expected ids to be a one-dimensional integer array"),
        ]:
            with pytest.raises(InputError, match=words):
                store.add(rows(2), ids)
        with pytest.raises(InputError, match="expected distinct ids, got 1 twice"):
            store.upsert(rows(2), [1, 1])
        with pytest.raises(InputError, match="expected ids to upsert, got none"):
            store.upsert(rows(2), None)
        with pytest.raises(InputError, match="expected x with 48 columns, got 47"):
            store.add(rows(2)[:, 1:])
        np.testing.assert_array_equal(store.search(queries(), 9), before)
        assert store.add(rows(2)).tolist() == [330, 331]


def test_strings_that_are_held_or_none(tmp_path):
    with open_store(written(tmp_path / "s", "str")) as store:
        for ids, words in [
            (["new", "row 17"], "expected new ids, got 'row 17', which the store already holds"),
            (["new", "new"], "expected distinct ids, got 'new' twice"),
            ([1, 2], "expected ids to be strings, as the store was made with, got 1"),
            (None, "expected ids, as the store was made for strings, got none"),
            (["new"], "expected 2 ids, got 1"),
            ("ab", "expected ids to be a list of strings, got str"),
            (["\ud800", "b"], "expected ids that UTF-8 can write"),
            (["a" * 70_000, "b"], "expected ids of at most 65536 bytes"),
        ]:
            with pytest.raises(InputError, match=words):
                store.add(rows(2), ids)
        assert store.add(rows(3), ["row 3", "", "ø" * 100]) == ["row 3", "", "ø" * 100]
        assert store.delete(["", "row 3", "row 3", "nobody"]) == 2
        with pytest.raises(UnknownIdError, match="expected ids that the store holds, got 'row 3'"):
            store.reconstruct_batch(["row 4", "row 3"])


@pytest.mark.parametrize("nlist", LISTS)
def test_nothing_is_added_where_nothing_is_given(tmp_path, nlist):
    with small(tmp_path / "s", nlist=nlist) as store:
        assert store.add(rows(1)[:0]).tolist() == []
        assert store.delete([]) == 0
        assert store.ntotal == 0
        D, I = store.search(queries(), 3)
        assert (I == -1).all()
        assert D.shape == (len(queries()), 3)


def test_zero_vectors_are_warned_of(tmp_path):
    x = rows(3).copy()
    x[1] = 0
    for trains in (True, False):
        with small(tmp_path / f"{trains}", trains=trains) as store:
            with pytest.warns(ZeroVectorWarning, match="1 of 3 vectors have length zero, row 1 first"):
                store.add(x)
            with pytest.warns(ZeroVectorWarning, match="1 of 1 vectors"):
                assert store.search(x[1:2], 1)[0].tolist() == [[0.0]]


def test_a_store_is_what_it_was_made_with(tmp_path):
    open_store(tmp_path / "s", D_SMALL, 2.0, "l2", seed=3).close()
    open_store(tmp_path / "s", D_SMALL, 2.0, METRIC_L2, ids="int", method="auto", seed=3).close()
    for options, words in [
        ({"d": 47}, "expected d = 48, which .* was made with, got 47"),
        ({"bits": 1.0}, "expected 2 bits, which .* was made with, got 1"),
        ({"metric": "ip"}, "expected metric = 'l2'"),
        ({"ids": "str"}, "expected ids = 'int'"),
        ({"method": "nq"}, "expected method = 'auto'"),
        ({"seed": 0}, "expected seed = 3"),
    ]:
        with pytest.raises(InputError, match=words):
            open_store(tmp_path / "s", **options)
    open_store(tmp_path / "s").close()  # and none of these has kept the lock


def test_lists_are_what_the_store_was_made_with(tmp_path):
    open_store(tmp_path / "s", D_SMALL, nlist=12).close()
    open_store(tmp_path / "flat", D_SMALL).close()
    for path, nlist, words in [
        ("s", 13, "expected nlist = 12, as .* was made, got 13"),
        ("flat", 12, "expected no nlist, as .* was made, got 12"),
    ]:
        with pytest.raises(InputError, match=words):
            open_store(tmp_path / path, nlist=nlist)
    with open_store(tmp_path / "s", nlist=12) as store, open_store(tmp_path / "flat") as flat:
        assert (store.nlist, store.nprobe, flat.nlist) == (12, 16, 0)
        assert repr(store).endswith("metric='cosine', nlist=12)")
        store.nprobe = 3
        assert store.nprobe == 3
        for wrong in (0, "all"):
            with pytest.raises(InputError, match="expected nprobe to be an integer"):
                store.nprobe = wrong
            with pytest.raises(InputError, match="expected nprobe to be an integer"):
                store.search(queries(), 1, nprobe=wrong)
        assert store.info()["lists"] == 12
        assert store.info()["list_bytes"] == 5
        assert store.info()["nprobe"] == 3
        assert (flat.info()["lists"], flat.info()["nprobe"], flat.info()["list_bytes"]) == (0, 0, 0)
        words = "expected nprobe only of a store with lists, which one made with nlist has, got it of Store"
        for asked in (
            lambda: flat.search(queries(), 1, nprobe=3),
            lambda: flat.range_search(queries(), 0.5, nprobe=3),
            lambda: flat.nprobe,
            lambda: setattr(flat, "nprobe", 3),
        ):
            with pytest.raises(InputError, match=words):
                asked()


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_store(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        open_store(tmp_path / "nothing", read_only=True)
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(NotAnIndexError, match="expected a store, a folder with a manifest, got"):
        open_store(tmp_path / "other", read_only=True)
    with pytest.raises(NotAnIndexError):
        open_store(tmp_path / "other" / "letter.txt")
    with pytest.raises(InputError, match=r"expected a new or an empty folder for a store, got .* letter.txt"):
        open_store(tmp_path / "other", 48)
    with pytest.raises(WriteError, match="cannot write"):
        open_store(tmp_path / "no" / "where", 48)
    for options, words in [
        ({"d": 0}, "expected d to be an integer from 1"),
        ({"d": 48, "bits": 0}, "expected bits to be a number above 0"),
        ({"d": 48, "metric": "hamming"}, "expected metric"),
        ({"d": 48, "ids": "uuid"}, "expected ids to be one of int, str, got 'uuid'"),
        ({"d": 48, "train_rows": 0}, "expected train_rows to be an integer >= 1, got 0"),
        ({"d": 48, "nlist": 0}, "expected nlist to be an integer from 1 to 65536, got 0"),
        ({"d": 48, "nlist": 65537}, "expected nlist to be an integer from 1 to 65536, got 65537"),
        ({"d": 48, "nlist": 12, "method": "nq"}, "expected no method but auto with nlist, got 'nq'"),
        ({"d": 48, "skip_damaged": True}, "expected skip_damaged together with read_only"),
    ]:
        with pytest.raises(InputError, match=words):
            open_store(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_there_is_one_writer(tmp_path):
    with open_store(written(tmp_path / "s")) as store:
        with pytest.raises(LockedError, match=rf"got one already: process {os.getpid()} since 20\d\d-"):
            open_store(tmp_path / "s")
        store.add(rows(1))
    open_store(tmp_path / "s").close()


def test_info(tmp_path):
    with open_store(written(tmp_path / "s")) as store:
        facts = store.info()
        sizes = {path.name: path.stat().st_size for path in (tmp_path / "s").iterdir()}
        assert facts["rows"] == 325
        assert facts["segment_bytes"] == sum(n for name, n in sizes.items() if name[:4] in {"segm", "live"})
        assert facts["model_bytes"] == sum(n for name, n in sizes.items() if name[:5] == "model")
        assert (facts["bits"], facts["code_bytes"], facts["trained"]) == (2.0, 12, True)
        assert facts["deleted_rows"] > 0
        assert facts["segments"] == len([name for name in sizes if name[:4] == "segm"])
        assert isinstance(store, Store)


# Many at once


@pytest.mark.parametrize("nlist", LISTS)
def test_threads_add_delete_and_search_at_once(tmp_path, short_journals, nlist):
    """Every search sees each call as a whole: of rows that come and go in pairs it finds both or none."""
    stop, wrong = threading.Event(), []
    with small(tmp_path / "s", nlist=nlist) as store:

        def write(first):
            x = rows(2)
            for i in range(first, first + 60):
                store.add(x, [2 * i, 2 * i + 1])
                if i % 3 == 0:
                    store.delete([2 * i, 2 * i + 1])
                if i % 3 == 1:
                    store.upsert(x, [2 * i, 2 * i + 1])

        def read():
            while not stop.is_set():
                I = store.search(rows(1), 2000, threads=1)[1][0]
                found = set(I[I >= 0].tolist())
                wrong.extend(i for i in found if i ^ 1 not in found)

        readers = [threading.Thread(target=read) for _ in range(2)]
        writers = [threading.Thread(target=write, args=(first,)) for first in (0, 1000, 2000)]
        for each in readers + writers:
            each.start()
        for each in writers:
            each.join()
        stop.set()
        for each in readers:
            each.join()
        assert wrong == []
        assert store.ntotal == 3 * 80
        assert store.verify() == []
        assert store.info()["merge_error"] is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_searches_what_its_parent_writes(tmp_path):
    index = written_twin()
    with open_store(written(tmp_path / "s")) as store:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                same = np.array_equal(store.search(queries(), 9, threads=1), index.search(queries(), 9, threads=1))
                os.read(read, 1)
                grown = store.ntotal
                try:
                    store.add(rows(1))
                except UnsupportedError:
                    os._exit(0 if same and grown == 326 else 1)
            finally:
                os._exit(2)
        store.add(rows(1))
        os.write(write, b".")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(LockedError):
            open_store(tmp_path / "s")  # the child that ended has not given away the lock
        store.add(rows(1))
        for end in (read, write):
            os.close(end)
