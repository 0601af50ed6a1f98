"""Indexes of other packages, whichever of them are installed: one protocol, and bytes that are measured."""

from __future__ import annotations

import numpy as np
import pytest

from commands import without
from lplr_index.errors import InputError, MissingDependencyError, UnsupportedError
from lplr_index.evaluation.contenders import contenders
from lplr_index.evaluation.measure import evaluate, measure
from lplr_index.evaluation.peers import PEERS, PeerIndex, base, lorann, rabitqlib, sentence_transformers, turbovec
from lplr_index.evaluation.peers import usearch as usearch_peer
from lplr_index.evaluation.task import Task

OTHERS = [name for name in PEERS if name != "faiss"]
MARKS = {"sentence-transformers": pytest.mark.torch}
# Bytes that a row of 64 coordinates makes the file grow by; LoRANN's is a share of everything it has learnt.
SIZES = {
    "turbovec-2": 16 + 4,
    "turbovec-4": 32 + 4,
    "rabitqlib-1": 8 + 16,
    "rabitqlib-2": 16 + 24,
    "rabitqlib-3": 24 + 24,
    "rabitqlib-4": 32 + 24,
    "usearch-b1": 8,
    "usearch-i8": 64,
    "sentence-transformers-ubinary": 8,
    "sentence-transformers-binary": 8,
    "sentence-transformers-uint8": 64,
    "sentence-transformers-int8": 64,
}


class Halves(PeerIndex):
    """Rows as float16 behind a header of 100 bytes, in a file filled up to whole blocks of 32 rows."""

    def __init__(self, d):
        super().__init__(d, "cosine")
        self.rows = np.empty((0, d), np.float16)

    def train(self, _x):
        self.is_trained = True

    def add(self, x):
        self.rows = np.concatenate([self.rows, x.astype(np.float16)])
        self.ntotal = len(self.rows)

    def search(self, x, k, *, threads):
        self.threads = threads
        scores = x @ self.rows.T.astype(np.float32)
        I = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, I, axis=1), I

    def save(self, path):
        blocks = -(-len(self.rows) // 32)
        path.write_bytes(bytes(100) + bytes(blocks * 32 * self.d * 2))

    def emptied(self):
        return Halves(self.d)


@pytest.fixture(scope="module")
def split(make_vectors):
    """Give training rows, rows and queries of 64 dimensions, the least that all packages take."""
    x = make_vectors(2550, 64)
    return x[:1500], x[1500:2500], x[2500:]


def installed(name):
    """Return what the peer offers at 64 dimensions, or skip the test."""
    pytest.importorskip(PEERS[name].module)
    found, skipped = contenders(64, [1.0], nt=1500, methods=[], peers=[name])
    assert all("rank of 64" in each.reason for each in skipped)
    return found


@pytest.mark.parametrize("n", [5, 127, 1000])
def test_an_index_of_anybodys_own_is_measured(make_vectors, n):
    x = make_vectors(n + 20, 48)
    report = evaluate(Halves(48), x[:n], x[:n], x[n:], metric="cosine", k=3, threads=2)

    assert report.recall_at_k > 0.97
    assert report.file_bytes == 100 + -(-n // 32) * 32 * 96
    assert report.frobenius_error is None
    assert report.name == "Halves"
    if n >= 128:  # before, a row pays for what its block has left empty
        assert report.bytes_per_vector == 96


def test_threads_are_handed_to_who_takes_them(vectors):
    index = Halves(48)
    evaluate(index, *vectors, metric="cosine", threads=2, repeat=1)

    assert index.threads == 2


def test_rows_that_come_once_are_refused_the_second_time():
    index = Halves(4)
    index._first_rows(np.zeros((3, 4), np.float32))

    with pytest.raises(InputError, match="expected rows to be added once, got 2 for an index of 3"):
        index._first_rows(np.zeros((2, 4), np.float32))


def test_an_index_that_gives_no_rows_back_says_so():
    with pytest.raises(UnsupportedError, match="expected an index that gives rows back, got Halves"):
        Halves(4).reconstruct_n(0, 1)


def test_whole_blocks_are_set_apart():
    for n in (0, 127, 128, 1000, 6400):
        few = base.rows_apart(n)
        assert (n - few) % 64 == 0 or few == 0
        assert 0 < few < 128 or n < 128


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in OTHERS])
def test_what_is_installed_is_measured(split, name):
    task = Task.prepare(*split, metric="cosine", k=5)
    for contender in installed(name):
        report = measure(contender.build(), task, name=contender.name, repeat=1)
        # sentence-transformers multiplies codes that count from zero, which is not what their rows would give.
        assert (0.02 if "uint8" in contender.name else 0.2) < report.recall_at_k <= 1.0, contender.name
        assert report.file_bytes > report.n * report.bytes_per_vector / 2
        if name == "lorann":
            assert report.bytes_per_vector == report.file_bytes / report.n
        else:
            assert report.bytes_per_vector == SIZES[contender.name], contender.name
        assert contender.build() is not contender.build()


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in OTHERS])
def test_an_emptied_index_has_the_training_of_the_full_one(split, name):
    task = Task.prepare(*split, metric="cosine")
    for contender in installed(name):
        index = contender.build()
        if not index.is_trained:
            index.train(task.xt)
        index.add(task.xb)
        again = index.emptied()
        assert (again.ntotal, again.is_trained, again.d) == (0, True, 64)
        again.add(task.xb)
        # The clusters of one are random, the rotations of another, and the order of equals in usearch's graph.
        if name not in {"lorann", "rabitqlib"} and "by usearch" not in contender.notes:
            np.testing.assert_array_equal(again.search(task.xq, 10)[1], index.search(task.xq, 10)[1])
        assert index.ntotal == again.ntotal == len(task.xb)


def test_more_bits_find_more(split):
    task = Task.prepare(*split, metric="cosine")
    for name in ("turbovec", "rabitqlib", "usearch"):
        recalls = [measure(each.build(), task, name=each.name, repeat=1).recall_at_k for each in installed(name)]
        assert recalls == sorted(recalls), name
        assert recalls[-1] > 0.8, name


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_metrics_that_a_package_has_not_are_named(split, metric):
    task = Task.prepare(*split, metric=metric)
    names = [name for name in OTHERS if base.is_installed(PEERS[name].module) and name not in MARKS]
    found, skipped = contenders(64, [1.0], metric=metric, nt=1500, methods=[], peers=names)

    for each in found:
        assert measure(each.build(), task, name=each.name, repeat=1).recall_at_k > 0.2, each.name
    named = {each.name for each in skipped if "expected metric cosine" in each.reason}
    assert named == set(names) & ({"usearch", "turbovec"} if metric == "l2" else {"usearch"})


@pytest.mark.parametrize(
    ("make", "package"),
    [
        (lambda: turbovec.TurbovecIndex(8, "cosine", 2), "turbovec"),
        (lambda: rabitqlib.RabitqIndex(8, "cosine", 2, 4, 0), "rabitqlib"),
        (lambda: lorann.LorannIndex(8, "cosine", 16, 4, 16), "lorann"),
        (lambda: usearch_peer.UsearchIndex(8, "b1"), "usearch"),
        (lambda: sentence_transformers.QuantizedEmbeddings(8, "int8"), "sentence_transformers"),
    ],
)
def test_a_package_that_does_not_load_is_one_named_error(monkeypatch, make, package):
    without(monkeypatch, package)
    with pytest.raises(MissingDependencyError, match=f"expected the package {package}"):
        make()
