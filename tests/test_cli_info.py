"""``lplr-index info`` with vectors and queries; what it says without them is in test_cli.py."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from commands import run
from lplr_index import IndexLPLR, IndexRefineLPLR, write_index, write_vectors
from lplr_index.cli import info
from lplr_index.evaluation import break_down

GIVEN = ["--vectors", "x.npy", "--queries", "q.fvecs"]


@pytest.fixture
def folder(vectors, tmp_path, monkeypatch):
    """Give the current folder, with vectors, queries and an index of the vectors."""
    monkeypatch.chdir(tmp_path)
    write_vectors("x.npy", vectors.xb)
    write_vectors("q.fvecs", vectors.xq)
    write_index(an_index(vectors), "x.lplr")
    return tmp_path


def an_index(vectors, metric="cosine", **options):
    index = IndexLPLR(48, 2.0, metric, **options)
    index.train(vectors.xt)
    index.add(vectors.xb)
    return index


def expected(index, x, xq, **options):
    return json.loads(json.dumps(dataclasses.asdict(break_down(index, x, xq, name="x.lplr", **options))))


@pytest.mark.parametrize("method", ["auto", "lsvd"])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_the_breakdown_is_that_of_the_library(folder, vectors, capsys, metric, method):
    index = an_index(vectors, metric, method=method)
    write_index(index, "x.lplr")
    plain = run(capsys, "info", "x.lplr", "--json").document

    document = run(capsys, "info", "x.lplr", *GIVEN, "-k", 5, "--json").document

    assert document.pop("breakdown") == expected(index, vectors.xb, vectors.xq, k=5)
    assert document == plain


def test_the_table_follows_what_info_says_anyhow(folder, capsys):
    plain = run(capsys, "info", "x.lplr").out

    done = run(capsys, "info", "x.lplr", *GIVEN)

    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(plain)
    for said in ("recall@10", "rank", "L bits", "search", "R int8", "query int8", "1000 rows, 50 queries"):
        assert said in done.out.removeprefix(plain)


def test_of_many_rows_and_queries_some_are_read(folder, vectors, capsys, monkeypatch):
    monkeypatch.setattr(info, "MOST_ROWS", 70)
    monkeypatch.setattr(info, "MOST_QUERIES", 9)
    rows, asked = np.arange(70) * 999 // 69, np.arange(9) * 49 // 8

    document = run(capsys, "info", "x.lplr", *GIVEN, "--json").document

    index = an_index(vectors)
    assert document["breakdown"] == expected(index, vectors.xb[rows], vectors.xq[asked], rows=rows)


def test_rows_are_found_by_their_ids_where_some_were_removed(folder, vectors, capsys):
    index = an_index(vectors)
    index.remove_ids(np.arange(0, 1000, 3))
    write_index(index, "x.lplr")

    document = run(capsys, "info", "x.lplr", *GIVEN, "--json").document

    kept = np.setdiff1d(np.arange(1000), np.arange(0, 1000, 3))
    assert document["breakdown"] == expected(index, vectors.xb[kept], vectors.xq)


def test_ids_that_do_not_rise_are_found_too(folder, vectors, capsys):
    index = an_index(vectors)
    index.reset()
    order = np.random.default_rng(0).permutation(1000)[:600]
    index.add_with_ids(vectors.xb[order], order)
    write_index(index, "x.lplr")

    document = run(capsys, "info", "x.lplr", *GIVEN, "--json").document

    assert document["breakdown"] == expected(index, vectors.xb[order], vectors.xq)


def test_ids_that_name_no_rows_go_with_as_many_rows(folder, vectors, capsys):
    index = an_index(vectors)
    index.reset()
    index.add_with_ids(vectors.xb, np.arange(1000) + 10**6)
    write_index(index, "x.lplr")

    document = run(capsys, "info", "x.lplr", *GIVEN, "--json").document

    assert document["breakdown"] == expected(index, vectors.xb, vectors.xq)
    write_vectors("x.npy", vectors.xb[:999])
    assert run(capsys, "info", "x.lplr", *GIVEN).complaint == (
        "expected x.npy to have the 1000 rows of x.lplr, or one for each id, got 999 rows and the id 1000999"
    )


def test_of_two_stages_the_first_is_taken_apart(folder, vectors, capsys):
    index = IndexRefineLPLR(IndexLPLR(48, 2.0), refine_bits=2.0)
    index.train(vectors.xt)
    index.add(vectors.xb)
    write_index(index, "x.lplr")

    done = run(capsys, "info", "x.lplr", *GIVEN)
    document = run(capsys, "info", "x.lplr", *GIVEN, "--json").document

    assert document["breakdown"] == expected(index.base_index, vectors.xb, vectors.xq)
    assert done.out.splitlines()[-1] == "Of the first stage: the second ranks its candidates anew."


def test_matrices_of_larger_files_are_named(folder, vectors, capsys):
    np.savez("both.npz", rows=vectors.xb, asked=vectors.xq)
    named = ["--vectors", "both.npz", "--key", "rows", "--queries", "both.npz", "--query-key", "asked"]

    document = run(capsys, "info", "x.lplr", *named, "--json").document

    assert document == run(capsys, "info", "x.lplr", *GIVEN, "--json").document


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--vectors", "x.npy"], "expected --vectors and --queries together, got one of them"),
        (["--queries", "x.npy"], "expected --vectors and --queries together, got one of them"),
        (["--vectors", "none.npy", "--queries", "x.npy"], "none.npy"),
        (["--vectors", "other.npy", "--queries", "x.npy"], "expected the vectors that the index was made of, in the"),
        (["--vectors", "x.npy", "--queries", "narrow.npy"], "expected queries"),
        (["--vectors", "narrow.npy", "--queries", "x.npy"], "48"),
        ([*GIVEN, "-k", "0"], "expected k"),
    ],
)
def test_what_does_not_fit_is_refused(folder, vectors, capsys, options, words):
    write_vectors("other.npy", vectors.xb[::-1])
    write_vectors("narrow.npy", vectors.xb[:, :10])

    assert words in run(capsys, "info", "x.lplr", *options).complaint


def test_an_index_that_is_not_trained_has_no_errors(folder, capsys):
    write_index(IndexLPLR(48), "new.lplr")

    assert "train" in run(capsys, "info", "new.lplr", *GIVEN).complaint
