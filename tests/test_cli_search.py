"""``lplr-index search``: what the index finds, on the terminal or in any of the formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands import run
from indexes import filled, in_lists, queries
from lplr_index import IndexLPLR, IndexRefineLPLR, open_vectors, write_index, write_vectors
from lplr_index.cli import cluster
from lplr_index.cli.results import FORMATS, write_results
from lplr_index.cli.search import BATCH, search_file
from lplr_index.cluster import build_store, machines


@pytest.fixture
def index(vectors, tmp_path, monkeypatch):
    """Give an index, which lies in x.lplr of the current folder, beside its queries q.npy."""
    monkeypatch.chdir(tmp_path)
    index = IndexLPLR(48, 2)
    index.train(vectors.xt)
    index.add(vectors.xb)
    write_index(index, "x.lplr")
    write_vectors("q.npy", vectors.xq)
    return index


def read_back(path):
    """Return D and I from a file of results; no D from one that has none."""
    suffix = Path(path).suffix
    if suffix == ".npz":
        with np.load(path) as archive:
            return archive["D"], archive["I"]
    if suffix == ".npy":
        return None, np.load(path)
    if suffix == ".ibin":
        raw = Path(path).read_bytes()
        nq, k = np.frombuffer(raw, "<u4", 2)
        assert len(raw) == 8 + 8 * nq * k
        ids = np.frombuffer(raw, "<i4", nq * k, 8).reshape(nq, k)
        return np.frombuffer(raw, "<f4", nq * k, 8 + 4 * nq * k).reshape(nq, k), ids
    if suffix == ".parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        return np.array(table["distances"].to_pylist(), np.float32), np.array(table["ids"].to_pylist())
    with pytest.importorskip("h5py").File(path) as file:
        return file["distances"][:], file["neighbors"][:]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_holds_what_the_index_finds(index, vectors, capsys, suffix):
    pytest.importorskip(FORMATS[suffix].module or "numpy")
    D, I = index.search(vectors.xq, 7)

    done = run(capsys, "search", "x.lplr", "q.npy", "-k", 7, "-o", f"o{suffix}")

    assert done.status == 0
    assert done.err == ""
    assert done.out.startswith(f"o{suffix}: 7 neighbours of 50 queries, ")
    distances, ids = read_back(f"o{suffix}")
    np.testing.assert_array_equal(ids, I)
    assert distances is None or distances.tobytes() == D.tobytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_results_are_the_same_bytes(index, vectors, suffix):
    pytest.importorskip(FORMATS[suffix].module or "numpy")
    D, I = index.search(vectors.xq, 3)

    write_results(f"a{suffix}", D, I)
    write_results(f"b{suffix}", D, I)

    assert Path(f"a{suffix}").read_bytes() == Path(f"b{suffix}").read_bytes()


def test_queries_are_read_in_batches_that_change_nothing(index, make_vectors):
    xq = make_vectors(BATCH + 5, 48, seed=3)
    write_vectors("many.fvecs", xq)
    told = []

    with open_vectors("many.fvecs") as source:
        D, I = search_file(index, source, 3, lambda *news: told.append(news), threads=1)

    expected_D, expected_I = index.search(xq, 3)
    np.testing.assert_array_equal(I, expected_I)
    np.testing.assert_array_equal(D, expected_D)
    assert told == [("searching", done, BATCH + 5) for done in (0, BATCH, BATCH + 5)]


def test_the_terminal_shows_the_first_few(index, vectors, capsys):
    D, I = index.search(vectors.xq, 10)

    lines = run(capsys, "search", "x.lplr", "q.npy").out.splitlines()

    assert len(lines) == 7
    for query in range(5):
        first = [f"{i} ({s:.4f})" for s, i in zip(D[query][:5], I[query][:5], strict=True)]
        assert lines[1 + query] == f"{query}: {'  '.join(first)}  ..."
    assert lines[6].startswith("45 more queries: -o FILE writes")


def test_json_holds_all_of_it(index, vectors, capsys):
    D, I = index.search(vectors.xq, 10)

    document = run(capsys, "search", "x.lplr", "q.npy", "--json").document

    assert (document["queries"], document["k"], document["metric"]) == (50, 10, "cosine")
    assert document["I"] == I.tolist()
    np.testing.assert_array_equal(np.array(document["D"], np.float32), D)


def test_more_neighbours_than_rows_are_padded_with_a_warning(index, capsys):
    done = run(capsys, "search", "x.lplr", "q.npy", "-k", 1003, "-o", "o.npz")

    assert done.status == 0
    assert done.err == "warning: k = 1003 is more than the 1000 rows of x.lplr: results are padded with id -1\n"
    D, I = read_back("o.npz")
    assert (I[:, 1000:] == -1).all()
    assert (I[:, :1000] >= 0).all()
    assert (D[:, 1000:] == -np.finfo(np.float32).max).all()
    assert run(capsys, "search", "x.lplr", "q.npy", "-k", 1003, "--quiet", "-o", "o.npz") == (0, "", "")


def test_an_empty_index_finds_nothing(index, capsys):
    index.reset()
    write_index(index, "none.lplr")

    done = run(capsys, "search", "none.lplr", "q.npy", "-k", 2)

    assert done.status == 0
    assert done.out.splitlines()[1] == "0: nothing"


def test_an_index_that_is_not_trained_is_refused(index, capsys):
    write_index(IndexLPLR(48), "new.lplr")

    assert run(capsys, "search", "new.lplr", "q.npy").complaint == (
        "expected a trained index, got one that needs train(x) first"
    )


@pytest.mark.parametrize("kind", ["ids.npy", "ids.txt", "mask.npy"])
def test_only_the_ids_of_the_filter_are_found(index, vectors, capsys, kind):
    allowed = np.arange(0, 1000, 7)
    np.save("ids.npy", allowed)
    np.save("mask.npy", np.isin(np.arange(1000), allowed))
    Path("ids.txt").write_text("\n".join(map(str, allowed)), "utf-8")

    assert run(capsys, "search", "x.lplr", "q.npy", "--filter-ids", kind, "-o", "o.npy").status == 0

    np.testing.assert_array_equal(np.load("o.npy"), index.search(vectors.xq, 10, filter=allowed)[1])


def test_a_query_of_length_zero_is_named_by_its_row(index, vectors, capsys):
    xq = np.concatenate([vectors.xq] * 6)
    xq[BATCH + 3] = 0
    np.save("zero.npy", xq)

    done = run(capsys, "search", "x.lplr", "zero.npy", "-o", "o.npz")

    assert done.status == 0
    assert done.err == (
        f"warning: 1 vectors in zero.npy have length zero, row {BATCH + 3} first; "
        "under cosine they score 0 with everything\n"
    )
    D, I = read_back("o.npz")
    assert D[BATCH + 3].tolist() == [0] * 10
    assert I[BATCH + 3].tolist() == list(range(10))  # all are equally near, and the lowest ids win


def test_ids_too_large_for_the_format_are_refused_before_the_search(index, capsys):
    index.add_with_ids(np.ones((1, 48)), [1 << 31])
    write_index(index, "large.lplr")

    assert run(capsys, "search", "large.lplr", "q.npy", "-o", "o.ibin").complaint == (
        "expected ids up to 2147483647 for o.ibin, got 2147483648"
    )
    assert run(capsys, "search", "large.lplr", "q.npy", "-o", "o.npy").status == 0


def test_threads_change_nothing(index, capsys):
    for threads in (1, 2):
        assert run(capsys, "search", "x.lplr", "q.npy", "--threads", threads, "-o", f"o{threads}.npz").status == 0

    assert Path("o1.npz").read_bytes() == Path("o2.npz").read_bytes()


def test_a_margin(index, vectors, capsys):
    for margin in (0.5, 4):
        assert run(capsys, "search", "x.lplr", "q.npy", "-o", "o.npz", "--margin", margin).status == 0
        for actual, each in zip(read_back("o.npz"), index.search(vectors.xq, 10, margin=margin), strict=True):
            np.testing.assert_array_equal(actual, each)
    done = run(capsys, "search", "x.lplr", "q.npy", "--margin", -1)
    assert done.complaint == "expected margin to be at least 0, got -1"


def test_candidates_of_a_second_look(index, vectors, capsys):
    refined = IndexRefineLPLR(index, originals=vectors.xb)
    write_vectors("x.npy", vectors.xb)
    write_index(IndexRefineLPLR(index, originals="x.npy"), "refined.lplr")

    for k_factor in (1, 2.5, 30):
        assert (
            run(capsys, "search", "refined.lplr", "q.npy", "-k", 7, "-o", "o.npz", "--k-factor", k_factor).status == 0
        )
        wanted = refined.search(vectors.xq, 7, k_factor=k_factor)
        for actual, each in zip(read_back("o.npz"), wanted, strict=True):
            np.testing.assert_array_equal(actual, each)
    done = run(capsys, "search", "refined.lplr", "q.npy", "--margin", 2)
    assert done.complaint == "expected --margin only for an index without a second stage, which refined.lplr has"
    done = run(capsys, "search", "x.lplr", "q.npy", "--k-factor", 2)
    assert done.complaint == "expected --k-factor only for an index with a second stage, which x.lplr lacks"
    assert run(capsys, "search", "refined.lplr", "q.npy", "--k-factor", 0.5).complaint == (
        "expected k_factor to be at least 1, got 0.5"
    )


class Here(machines.Here):
    """This process in the place of a Ray cluster."""

    def __init__(self, _address, workers=None):
        super().__init__(workers or 3)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_a_store_is_searched_as_one_index(index, vectors, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "RayMachines", Here)
    write_vectors("x.npy", vectors.xb)
    with open_vectors("x.npy") as source:
        index.reset()
        build_store(source, index, "folder", slice_rows=192)
    index.add(vectors.xb)
    D, I = index.search(vectors.xq, 9)
    np.savetxt("some.txt", np.arange(90, 500), fmt="%d")

    for how in ([], ["--ray", "auto"], ["--ray", "auto", "--workers", 1, "--threads", 2]):
        document = run(capsys, "search", "folder", "q.npy", "-k", 9, "--json", *how).document
        assert document["I"] == I.tolist()
        np.testing.assert_array_equal(np.array(document["D"], np.float32), D)
        some = run(capsys, "search", "folder", "q.npy", "--filter-ids", "some.txt", "--json", *how).document
        assert some["I"] == index.search(vectors.xq, 10, filter=np.arange(90, 500))[1].tolist()


REFUSED = [
    (["--workers", 2], "expected --workers only with --ray, got it alone"),
    (["--ray", "auto", "--margin", 5], "expected --margin or --ray, got both"),
    (["--ray", "auto", "--k-factor", 5], "expected --k-factor or --ray, got both"),
    (["--ray", "auto"], "expected a store, a folder with a manifest, got"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_a_cluster_cannot_do_is_refused(index, capsys, monkeypatch, options, words):
    monkeypatch.setattr(cluster, "RayMachines", Here)

    assert words in run(capsys, "search", "x.lplr", "q.npy", *options).complaint


def test_lists(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    index = in_lists(n=60)
    write_index(index, "lists.lplr")
    write_index(filled(n=5), "x.lplr")
    write_vectors("q.npy", queries(4))

    done = run(capsys, "search", "lists.lplr", "q.npy", "-k", 7, "-o", "o.npz", "--nprobe", 12)
    assert done.status == 0
    for actual, each in zip(read_back("o.npz"), index.search(queries(4), 7, nprobe=12), strict=True):
        np.testing.assert_array_equal(actual, each)
    assert run(capsys, "search", "x.lplr", "q.npy", "--nprobe", 2).complaint == (
        "expected --nprobe only for an index in lists, which x.lplr is not"
    )
    said = run(capsys, "info", "lists.lplr").out
    assert "lists         12, of which a search looks at 3" in said
    assert f"bytes a row   {index.code_size + 1}, 1 of them the number of its list" in said
