"""cluster/building.py: the codes are those of one index, however rows are cut, and whoever does the work, and twice."""

from __future__ import annotations

import numpy as np
import pytest

from clusters import Shuffled, everything, one_index, same, store
from lplr_index import IndexIVFLPLR, IndexLPLR, index_factory, open_store, open_vectors, write_vectors
from lplr_index.building import ZeroRows
from lplr_index.cluster import building
from lplr_index.cluster.building import build_store, encode_slice, gather, take_rows
from lplr_index.cluster.machines import Here
from lplr_index.cluster.slices import Source
from lplr_index.errors import InputError, VectorFileError, WriteError, ZeroVectorWarning
from lplr_index.storage import serialize_index
from lplr_index.vectors.base import draw_rows
from stores import plain_lists

CASES = [
    ({"bits": 2}, {}),
    ({"bits": 1, "metric": "l2", "seed": 5}, {"train_rows": 300}),
    ({"bits": 4, "metric": "ip", "method": "lplr"}, {"train_rows": 999}),
]


@pytest.fixture
def x(vectors, tmp_path):
    """Give the file of 1000 rows."""
    write_vectors(tmp_path / "x.npy", vectors.xb)
    return tmp_path / "x.npy"


@pytest.fixture
def source(x):
    with open_vectors(x) as file:
        return Source.of(file, None)


@pytest.mark.parametrize(("index", "how"), CASES)
@pytest.mark.parametrize(("workers", "slice_rows"), [(1, 5000), (2, 500), (5, 17), (3, 333)])
def test_all_segments_are_the_one_index_bit_by_bit(x, tmp_path, index, how, workers, slice_rows):
    expected = everything(one_index(x, IndexLPLR(48, **index), **how))

    machines = Shuffled(workers, seed=slice_rows)
    folder = store(x, IndexLPLR(48, **index), tmp_path / "folder", machines, slice_rows=slice_rows, **how)

    assert same(everything(folder), expected)
    with open_store(folder, read_only=True) as opened:
        assert opened.info()["segments"] == -(-1000 // slice_rows)
        assert opened.verify() == []


@pytest.mark.parametrize(("workers", "slice_rows"), [(1, 5000), (2, 500), (5, 17), (3, 333)])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_segments_in_lists_are_the_one_index_bit_by_bit(x, vectors, tmp_path, metric, workers, slice_rows):
    with plain_lists():
        one = one_index(x, IndexIVFLPLR(48, 2, metric, nlist=12), train_rows=400)
        index, machines = IndexIVFLPLR(48, 2, metric, nlist=12), Shuffled(workers, seed=slice_rows)
        folder = store(x, index, tmp_path / "folder", machines, slice_rows=slice_rows, train_rows=400)

    assert same(everything(folder), everything(one))
    with open_store(folder) as opened:
        assert opened.info()["segments"] == -(-1000 // slice_rows)
        assert opened.nlist == 12
        assert opened.verify() == []
        for nprobe in (1, 3, 12):
            assert same(opened.search(vectors.xq, 20, nprobe=nprobe), one.search(vectors.xq, 20, nprobe=nprobe))
        opened.add(vectors.xq)
        one.add(vectors.xq)
        assert same(opened.search(vectors.xq, 20), one.search(vectors.xq, 20))


def test_files_of_several_kinds_are_one_matrix(vectors, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    for number, rows in enumerate(np.split(vectors.xb, [10, 500, 512])):
        write_vectors(parts / f"part_{number}.npy", rows)
    expected = everything(one_index(parts, IndexLPLR(48, 2), train_rows=400))

    folder = store(parts, IndexLPLR(48, 2), tmp_path / "folder", Shuffled(3, 0), slice_rows=200, train_rows=400)

    assert same(everything(folder), expected)


def test_ids_of_ones_own_are_those_of_the_one_index(x, tmp_path, rng):
    ids = rng.permutation(5000)[:1000]
    expected = everything(one_index(x, IndexLPLR(48, 2), ids=ids))

    folder = store(x, IndexLPLR(48, 2), tmp_path / "folder", Shuffled(2, 3), slice_rows=320, ids=ids)

    assert same(everything(folder), expected)


@pytest.mark.parametrize("workers", [1, 2, 7, 5000])
@pytest.mark.parametrize("size", [1, 999, 1000])
def test_the_sample_is_that_of_one_process_whoever_reads_it(x, source, workers, size):
    with open_vectors(x) as file:
        expected = file.sample(size, 11)

    rows = draw_rows(source.n, size, 11)
    sample = gather(source, rows, Shuffled(workers, size), lambda *_: None)

    assert np.array_equal(sample, expected)
    assert np.array_equal(take_rows(source, rows), expected)


def test_a_trained_index_is_taken_as_it_is(x, vectors, tmp_path):
    index = IndexLPLR(48, 2)
    index.train(vectors.xt)
    stages = set()

    folder = store(x, index, tmp_path / "folder", progress=lambda stage, _done, _total: stages.add(stage))

    assert stages == {"adding"}
    assert everything(folder)[0] == index.model.digest
    assert index.ntotal == 0


def test_progress_counts_every_row_once(x, tmp_path):
    seen = []

    store(x, IndexLPLR(48), tmp_path / "f", slice_rows=320, progress=lambda *what: seen.append(what), train_rows=100)

    sampled = [done for stage, done, total in seen if stage == "sampling" and total == 100]
    added = [done for stage, done, total in seen if stage == "adding" and total == 1000]
    assert sampled == [0, 25, 50, 75, 100]
    assert added == [0, 320, 640, 960, 1000]
    assert ("training", 0, 0) in seen


def test_encoding_twice_is_the_same_file(x, source, vectors, tmp_path):
    index = IndexLPLR(48, 2)
    index.train(vectors.xt)
    shared = (serialize_index(index).tobytes(), source, str(tmp_path))

    first = encode_slice(shared, 4, 100, 200, None)
    path = tmp_path / first.written.entry.file.name
    data = path.read_bytes()

    assert encode_slice(shared, 4, 100, 200, None) == first
    assert path.read_bytes() == data
    assert (first.written.entry.rows, first.written.last) == (100, 199)


def test_chunks_of_a_slice_change_nothing(x, source, vectors, tmp_path, monkeypatch):
    index = IndexLPLR(48, 2)
    index.train(vectors.xt)
    shared = (serialize_index(index).tobytes(), source, str(tmp_path))
    whole = encode_slice(shared, 0, 0, 1000, np.arange(1000)[::-1])

    monkeypatch.setattr(building, "chunk_rows", lambda _d: 77)

    assert encode_slice(shared, 0, 0, 1000, np.arange(1000)[::-1]) == whole


def test_rows_of_length_zero_are_named_once(vectors, tmp_path):
    x = vectors.xb.copy()
    x[[40, 41, 777]] = 0
    write_vectors(tmp_path / "x.npy", x)

    with pytest.warns(ZeroVectorWarning, match="3 vectors in .* have length zero, row 40 first") as warned:
        store(tmp_path / "x.npy", IndexLPLR(48), tmp_path / "folder", Shuffled(2, 1), slice_rows=100)
    assert len(warned) == 1

    store(tmp_path / "x.npy", IndexLPLR(48, metric="ip"), tmp_path / "ip", slice_rows=100)


def test_zero_rows_add_up_in_any_order():
    parts = [ZeroRows(), ZeroRows(2, 30), ZeroRows(1, 7)]

    assert parts[0] + parts[1] + parts[2] == parts[2] + (parts[1] + parts[0]) == ZeroRows(3, 7)
    assert ZeroRows.among(range(10, 13), np.eye(3, 2, dtype=np.float32)) == ZeroRows(1, 12)


def test_a_row_that_is_not_finite_is_named_by_its_number_and_nothing_stays(vectors, tmp_path):
    x = vectors.xb.copy()
    x[612, 3] = np.nan
    np.save(tmp_path / "x.npy", x)

    with pytest.raises(VectorFileError, match="got nan in row 612, column 3"):
        store(tmp_path / "x.npy", IndexLPLR(48), tmp_path / "folder", Shuffled(2, 1), slice_rows=100, train_rows=50)
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy"]


def test_what_lost_workers_left_is_not_published(x, tmp_path):
    class Losing(Here):
        def map(self, function, shared, calls):
            if function is encode_slice:
                (tmp_path / shared[2] / ".0123456789abcdef.tmp").write_bytes(b"half of a segment")
            yield from super().map(function, shared, calls)

    folder = store(x, IndexLPLR(48), tmp_path / "folder", Losing())

    assert not list(folder.glob(".*"))
    assert len(list(folder.iterdir())) == 4  # manifest, model, journal, segment


def test_a_worker_with_another_training_is_refused_and_nothing_stays(x, vectors, tmp_path):
    other = IndexLPLR(48, 2)
    other.train(vectors.xt)

    class Confused(Here):
        def map(self, function, shared, calls):
            for number, done in super().map(function, shared, calls):
                if function is encode_slice and number == 2:
                    yield number, function((serialize_index(other).tobytes(), *shared[1:]), *calls[number])
                else:
                    yield number, done

    with pytest.raises(InputError, match=r"of the training \w+ to merge, got segment-00000004 of \w+"):
        store(x, IndexLPLR(48, 2), tmp_path / "folder", Confused(), slice_rows=200)
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy"]


def test_what_cannot_be_built_is_refused_before_anything_is_read(x, vectors, tmp_path, monkeypatch):
    full = IndexLPLR(48)
    full.train(vectors.xt)
    full.add(vectors.xb)
    taken = tmp_path / "taken"
    taken.mkdir()
    monkeypatch.setattr(Source, "open", None)
    cases = [
        (IndexLPLR(47), {}, InputError, "to have 47 columns"),
        (index_factory(48, "LPLR1.0,Refine(LPLR2.0)"), {}, InputError, "without a second stage"),
        (full, {}, InputError, "empty index to build a store, got one that holds 1000 rows"),
        (IndexLPLR(48), {"ids": [1, 2]}, InputError, "expected 1000 ids"),
        (IndexLPLR(48), {"train_rows": 0}, InputError, "train_rows"),
        (IndexLPLR(48), {"slice_rows": 0}, InputError, "rows of a slice"),
    ]
    with open_vectors(x) as file:
        for index, how, error, words in cases:
            with pytest.raises(error, match=words):
                build_store(file, index, tmp_path / "folder", **how)
        with pytest.raises(WriteError, match="a name that is free"):
            build_store(file, IndexLPLR(48), taken)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["taken", "x.npy"]


def test_what_was_built_goes_on_growing(x, vectors, tmp_path):
    one = one_index(x, IndexLPLR(48, 2))
    folder = store(x, IndexLPLR(48, 2), tmp_path / "folder", slice_rows=300)
    one.add(vectors.xq)

    with open_store(folder) as opened:
        ids = opened.add(vectors.xq)
        opened.compact()
        assert same(opened.search(vectors.xt[:20], 15), one.search(vectors.xt[:20], 15))
    assert ids.tolist() == list(range(1000, 1050))
