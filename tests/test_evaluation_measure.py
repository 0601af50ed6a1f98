"""One index, measured: faiss's and ours by the same function, and what it reports is what is known to be true."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lplr_index import storage
from lplr_index.errors import InputError, UnsupportedError
from lplr_index.evaluation.measure import TIMED_QUERIES, evaluate, measure, saved_bytes
from lplr_index.evaluation.task import Task
from lplr_index.index import IndexLPLR
from lplr_index.metric import METRICS, metric_type
from lplr_index.settings import METHODS

faiss = pytest.importorskip("faiss")

D_VECTORS = 48
TIMES = ("train_s", "add_s", "search_s")


@pytest.fixture(scope="module")
def labels(vectors):
    """Labels that neighbours share more often than not: which of a few coordinates is largest."""
    return vectors.xb[:, :5].argmax(axis=1), vectors.xq[:, :5].argmax(axis=1)


def measured(index, vectors, labels=None, **options):
    names = dict(zip(("labels", "query_labels"), labels, strict=True)) if labels else {}
    return evaluate(index, *vectors, **{"metric": "cosine", "repeat": 1, **names, **options})


def without_times(report):
    return dataclasses.replace(report, **dict.fromkeys(TIMES))


# faiss's indexes


@pytest.mark.parametrize("metric", METRICS)
def test_an_exact_index_is_exact(vectors, labels, metric):
    index = faiss.IndexFlat(D_VECTORS, metric_type(metric))
    report = measured(index, vectors, labels, metric=metric)

    assert report.recall_at_1 == report.recall_at_k == report.overlap == 1.0
    assert report.frobenius_error == 0.0
    assert report.bytes_per_vector == 4 * D_VECTORS
    assert report.bits_per_coordinate == 32.0
    assert report.file_bytes == len(faiss.serialize_index(index))
    assert 0 < report.exact_accuracy == report.accuracy < 1
    assert 0 < report.exact_weighted_f1 == report.weighted_f1 < 1
    assert (report.n, report.nt, report.nq, report.d, report.k) == (1000, 1500, 50, D_VECTORS, 10)
    assert (report.name, report.family, report.metric) == ("IndexFlat", "IndexFlat", metric)


@pytest.mark.parametrize(
    ("description", "expected"),
    [("SQ8", 48), ("SQ4", 24), ("PQ12np", 12), ("PQ24x4fs", 12), ("RR,RaBitQ", 6 + 8), ("SQfp16", 96)],
)
def test_bytes_per_vector_are_those_known(vectors, description, expected):
    report = measured(faiss.index_factory(D_VECTORS, description, faiss.METRIC_INNER_PRODUCT), vectors)

    assert report.bytes_per_vector == expected
    assert report.bits_per_coordinate == pytest.approx(8 * expected / D_VECTORS)
    assert 1000 * expected <= report.file_bytes


@pytest.mark.parametrize("n", [1, 100, 127, 128, 129, 1000])
def test_a_last_block_that_is_not_full_is_no_cost_of_a_row(vectors, n):
    index = faiss.IndexPQFastScan(D_VECTORS, 24, 4, faiss.METRIC_INNER_PRODUCT)  # stores blocks of 32 rows
    index.train(vectors.xt)
    index.add(vectors.xb[:n])
    before = faiss.serialize_index(index).tobytes()
    size, growth = saved_bytes(index, vectors.xb[:n])

    assert size == len(before)
    assert growth == (12 if n >= 128 else -(-n // 32) * 32 * 12 / n)
    assert faiss.serialize_index(index).tobytes() == before


def test_a_worse_index_measures_worse(vectors, labels):
    coarse, fine = (measured(faiss.index_factory(D_VECTORS, key, 0), vectors, labels) for key in ("PQ2x4np", "SQ8"))

    for name in ("recall_at_1", "recall_at_k", "overlap", "accuracy"):
        assert 0 < getattr(coarse, name) < getattr(fine, name) <= 1
    assert 0 < fine.frobenius_error < 0.05 < coarse.frobenius_error < 1


# Ours


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("metric", METRICS)
def test_ours_is_measured_as_theirs(vectors, labels, method, metric):
    index = IndexLPLR(D_VECTORS, bits=4, metric=metric, method=method)
    report = measured(index, vectors, labels, metric=metric)

    # The header is padded to 64 bytes, and is longer where numbers in it have more digits.
    assert report.bytes_per_vector == pytest.approx(index.code_size, abs=64 / 800)
    assert report.file_bytes == len(storage.serialize_index(index))
    assert report.recall_at_k > 0.3
    assert 0 < report.frobenius_error < 1
    assert report.name == "IndexLPLR"
    assert report.train_s > 0
    assert report.add_s > 0
    assert report.search_s > 0


def test_recall_is_that_of_the_rows_found(vectors):
    index = IndexLPLR(D_VECTORS, bits=2)
    report = measured(index, vectors)
    exact = faiss.IndexFlatIP(D_VECTORS)
    xb, xq = vectors.xb.copy(), vectors.xq.copy()
    faiss.normalize_L2(xb)
    faiss.normalize_L2(xq)
    exact.add(xb)
    found, truth = index.search(xq, 10)[1], exact.search(xq, 10)[1]
    shares = [len(set(a) & set(b)) / 10 for a, b in zip(found, truth, strict=True)]

    assert 0.5 < np.mean(shares) < 1
    assert report.recall_at_k == pytest.approx(np.mean(shares))
    assert report.recall_at_1 == pytest.approx((found[:, 0] == truth[:, 0]).mean())


# What comes built, and what shares a task


@pytest.mark.parametrize(
    "make", [lambda: IndexLPLR(D_VECTORS, bits=2), lambda: faiss.index_factory(D_VECTORS, "SQ4", 0)]
)
def test_an_index_that_comes_built_is_taken_as_it_is(vectors, labels, make):
    built = make()
    fresh = measured(built, vectors, labels)
    again = evaluate(
        built, None, *vectors[1:], metric="cosine", repeat=1, labels=labels[0], query_labels=labels[1], name=fresh.name
    )

    assert (again.train_s, again.add_s, again.nt) == (None, None, 0)
    assert without_times(again) == dataclasses.replace(without_times(fresh), nt=0)


def test_indexes_that_share_a_task_are_measured_as_alone(vectors, labels):
    task = Task.prepare(*vectors, metric="cosine", labels=labels[0], query_labels=labels[1])
    shared = measure(
        faiss.index_factory(D_VECTORS, "SQ4", 0),
        task,
        name="four",
        family="grids",
        notes="flat",
        requested_bits=4.0,
        repeat=1,
    )
    alone = measured(faiss.index_factory(D_VECTORS, "SQ4", 0), vectors, labels, name="four")

    assert (shared.family, shared.notes, shared.requested_bits) == ("grids", "flat", 4.0)
    assert without_times(shared) == dataclasses.replace(
        without_times(alone), family="grids", notes="flat", requested_bits=4.0
    )


def test_labels_may_be_words(vectors, labels):
    words = np.array(["ash", "birch", "cedar", "date", "elm"])
    report = measured(faiss.IndexFlatIP(D_VECTORS), vectors, [words[each] for each in labels])

    assert report.accuracy == measured(faiss.IndexFlatIP(D_VECTORS), vectors, labels).accuracy


def test_without_labels_there_is_no_vote(vectors):
    report = measured(faiss.IndexFlatIP(D_VECTORS), vectors)

    assert (report.accuracy, report.weighted_f1, report.exact_accuracy, report.exact_weighted_f1) == (None,) * 4


def test_fewer_rows_than_neighbours(vectors):
    report = measured(faiss.IndexFlatIP(D_VECTORS), (vectors.xt, vectors.xb[:4], vectors.xq))

    assert report.recall_at_k == report.overlap == 1.0


def test_an_index_that_cannot_give_rows_back_has_no_error(vectors):
    class Mute(faiss.IndexFlatIP):
        def reconstruct_n(self, *_):
            raise RuntimeError("reconstruct not implemented for this type of index")

    assert measured(Mute(D_VECTORS), vectors).frobenius_error is None


# Threads and times


@pytest.mark.parametrize("threads", [1, 2])
def test_faiss_has_the_threads_given_and_gets_its_own_back(vectors, threads):
    seen = []

    class Watched(faiss.IndexFlatIP):
        def search(self, x, k):
            seen.append((faiss.omp_get_max_threads(), len(x)))
            return super().search(x, k)

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        xq = np.tile(vectors.xq, (8, 1))
        report = measured(Watched(D_VECTORS), (vectors.xt, vectors.xb, xq), threads=threads, repeat=2)
        after = faiss.omp_get_max_threads()
    finally:
        faiss.omp_set_num_threads(before)

    assert seen == [(threads, 400), (threads, TIMED_QUERIES), (threads, TIMED_QUERIES)]
    assert after == 3
    assert (report.threads, report.repeat) == (threads, 2)


def test_ours_is_told_how_many_threads_to_use(vectors):
    seen = []

    class Watched(IndexLPLR):
        def add(self, x, *, threads=None):
            seen.append(("add", threads))
            super().add(x, threads=threads)

        def search(self, x, k, *, threads=None):
            seen.append(("search", threads))
            return super().search(x, k, threads=threads)

    measured(Watched(D_VECTORS, bits=2), vectors, threads=2)

    assert seen == [("add", 2), ("search", 2), ("search", 2)]


# What does not fit


@pytest.mark.parametrize(
    ("index", "changes", "message"),
    [
        (faiss.IndexFlatIP(47), {}, "expected an index of dimension 48, got one of 47"),
        (faiss.IndexFlatL2(48), {}, "expected an index of metric_type 0 for cosine, got 1"),
        (faiss.IndexFlatIP(48), {"metric": "l2"}, "expected an index of metric_type 1 for l2, got 0"),
        (faiss.index_factory(48, "SQ8", 0), {"xt": None}, "expected training rows"),
        (faiss.IndexFlatIP(48), {"xb": np.zeros((0, 48))}, "expected xb with at least one row"),
        (faiss.IndexFlatIP(48), {"xq": np.zeros((5, 47))}, "expected xq with 48 columns"),
        (faiss.IndexFlatIP(48), {"labels": np.zeros(1000)}, "expected labels of both"),
        (faiss.IndexFlatIP(48), {"labels": [1], "query_labels": np.zeros(50)}, "expected 1000 labels and 50"),
        (faiss.IndexFlatIP(48), {"repeat": 0}, "expected repeat to be"),
        (faiss.IndexFlatIP(48), {"threads": 0}, "expected threads to be"),
    ],
)
def test_what_does_not_fit_is_named(vectors, index, changes, message):
    arguments = {"metric": "cosine", **vectors._asdict(), **changes}

    with pytest.raises(InputError, match=message):
        evaluate(index, **arguments)


def test_an_index_with_other_rows_is_refused(vectors):
    index = faiss.IndexFlatIP(D_VECTORS)
    index.add(vectors.xb[:7])

    with pytest.raises(InputError, match="no rows or the 1000 of xb, got 7"):
        measured(index, vectors)


def test_an_index_nobody_can_save_is_refused(vectors):
    class Stranger:
        d, ntotal, is_trained, metric_type = D_VECTORS, 0, True, 0

        def add(self, x):
            self.ntotal = len(x)

        def search(self, x, k):
            return np.zeros((len(x), k), np.float32), np.zeros((len(x), k), np.int64)

    with pytest.raises(UnsupportedError, match=r"expected an index of lplr_index or faiss.*Stranger"):
        measured(Stranger(), vectors)
