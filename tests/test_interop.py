"""interop.py: the same rows in faiss's own index, where it has one that is exact."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

from indexes import filled, queries, rows
from lplr_index import IndexLPLR, to_faiss
from lplr_index.errors import MissingDependencyError, NotTrainedError, UnsupportedError

SUPPORTED = [
    (metric, method, nbits)
    for method in ("lplr", "lsvd", "dsvd", "nq")
    for nbits in (4, 8)
    for metric in ("cosine", "ip", "l2")
    if metric != "l2" or method == "nq"
]


def build(metric, method, nbits, *, n=300, ids=None, rank=9, d=48):
    options = {} if method == "nq" else {"rank": rank, "nbits_R": 8}
    index = IndexLPLR(d, metric=metric, method=method, nbits=nbits, **options)
    index.train(rows(1000)[:, :d])
    if ids is None:
        index.add(rows(n)[:, :d])
    else:
        index.add_with_ids(rows(n)[:, :d], ids)
    return index


def check_same(ours, theirs, xq, k):
    D, I = ours.search(xq, k)
    their_D, their_I = theirs.search(xq, k)
    largest = np.abs(D[I >= 0]).max(initial=1e-9)
    # A norm of ours has two bytes, theirs is the sum of the decoded row's squares.
    tolerance = (3e-3 if ours.metric == "l2" else 1e-4) * largest
    np.testing.assert_allclose(D, their_D, atol=tolerance)
    clear = (np.abs(np.diff(D, axis=1, prepend=np.inf)) > 2 * tolerance) & (
        np.abs(np.diff(D, axis=1, append=-np.inf)) > 2 * tolerance
    )
    np.testing.assert_array_equal(I[clear], their_I[clear])
    assert clear[:, 0].mean() > 0.3
    overlap = np.mean([len(set(a) & set(b)) / k for a, b in zip(I, their_I, strict=True)])
    assert overlap > 0.9


@pytest.mark.parametrize(("metric", "method", "nbits"), SUPPORTED)
def test_faiss_gives_the_same_results(metric, method, nbits):
    faiss = pytest.importorskip("faiss")
    ours = build(metric, method, nbits)

    theirs = to_faiss(ours)

    assert isinstance(theirs, faiss.Index)
    assert (theirs.d, theirs.ntotal, theirs.is_trained, theirs.metric_type) == (48, 300, True, ours.metric_type)
    check_same(ours, theirs, queries(), 10)


@pytest.mark.parametrize("method", ["lsvd", "nq"])
@pytest.mark.parametrize("nbits", [4, 8])
def test_faiss_holds_the_same_rows(method, nbits):
    faiss = pytest.importorskip("faiss")
    ours = build("ip", method, nbits, d=47)

    theirs = to_faiss(ours)

    if method == "nq":
        np.testing.assert_allclose(theirs.reconstruct_n(0, 300), ours.reconstruct_n(), atol=1e-4)
    codes = theirs if method == "nq" else faiss.downcast_index(theirs.index)
    assert codes.code_size == -(-(47 if method == "nq" else 9) * nbits // 8)


@pytest.mark.parametrize(("metric", "method"), [("cosine", "lplr"), ("ip", "lsvd"), ("l2", "nq")])
def test_ids_go_along(metric, method):
    pytest.importorskip("faiss")
    ids = np.random.default_rng(0).permutation(2**40 + np.arange(300))
    ours = build(metric, method, 8, ids=ids)
    ours.remove_ids(ids[::5])

    theirs = to_faiss(ours)

    assert theirs.ntotal == 240
    check_same(ours, theirs, queries(), 10)
    assert set(theirs.search(queries(1), 240)[1][0]) == set(ours.rows.ids.all())


def test_rows_are_found_there_by_their_ids():
    pytest.importorskip("faiss")
    ids = np.random.default_rng(0).permutation(2**40 + np.arange(300))
    ours = build("ip", "nq", 8, ids=ids)

    theirs = to_faiss(ours)

    for number in ids[:3].tolist():
        np.testing.assert_allclose(theirs.reconstruct(number), ours.reconstruct(number), atol=1e-4)
    assert theirs.remove_ids(ids[:3]) == 3


@pytest.mark.parametrize("metric", ["cosine", "ip"])
def test_more_rows_may_be_added_there(metric):
    """Codes are nearest levels here, the cell a value lies in there: most columns agree, and so do the neighbours."""
    pytest.importorskip("faiss")
    ours = build(metric, "nq", 8, n=0)
    theirs = to_faiss(ours)
    assert theirs.ntotal == 0

    theirs.add(rows(300))
    ours.add(rows(300))

    check_same(ours, theirs, queries(), 10)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (
            lambda: filled(n=3),
            "expected uniform columns of 4 or 8 bits without gain, which faiss has, got method 'auto'",
        ),
        (lambda: filled("ip", "lplr-3", n=3), "got method 'lplr' with 3 bits"),
        (lambda: filled("cosine", "nq-1", n=3), "got method 'nq' with 1 bits"),
        (lambda: filled("l2", "lplr-4", n=3), "expected cosine or ip, or nq under L2, got L2 with the R of 'lplr'"),
        (lambda: filled("l2", "lsvd-8", n=3), "expected cosine or ip, or nq under L2, got L2 with the R of 'lsvd'"),
    ],
)
def test_what_faiss_has_no_equal_of(index, message):
    pytest.importorskip("faiss")

    with pytest.raises(UnsupportedError, match=message) as caught:
        to_faiss(index())
    assert isinstance(caught.value, TypeError)


def test_an_index_without_training():
    pytest.importorskip("faiss")

    with pytest.raises(NotTrainedError):
        to_faiss(IndexLPLR(48, 4.0, "ip", "nq"))


def test_without_faiss(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)

    with pytest.raises(
        MissingDependencyError, match=r'expected the package faiss, which pip install "lplr_index\[eval\]"'
    ):
        to_faiss(filled("ip", "nq-4", n=3))


@pytest.mark.parametrize("ids", [None, np.arange(300) + 7])
def test_it_outlives_what_it_was_made_of(ids):
    pytest.importorskip("faiss")
    ours = build("cosine", "lsvd", 4, ids=ids)
    theirs = to_faiss(ours)
    expected = theirs.search(queries(), 5)[1]
    del ours
    gc.collect()

    np.testing.assert_array_equal(theirs.search(queries(), 5)[1], expected)
