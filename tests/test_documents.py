"""documents.py: documents and vectors agree, whatever interrupts a change, and filters find what Python would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from lplr_index.document_table import DocumentTable
from lplr_index.documents import Documents
from lplr_index.errors import FormatError, InputError, LockedError, MissingFileError, WriteError

D = 12


def names(n, first=0):
    return [f"doc-{number}" for number in range(first, first + n)]


def metadatas(n):
    return [{"number": number, "even": number % 2 == 0, "letter": "abc"[number % 3]} for number in range(n)]


def filled(documents, vectors):
    n = len(vectors)
    documents.put(names(n), [f"text {number}" for number in range(n)], metadatas(n), vectors)
    return documents


@pytest.fixture
def rows(rng):
    return rng.standard_normal((40, D)).astype(np.float32)


@pytest.fixture
def documents(tmp_path, rows):
    with_rows = filled(Documents(tmp_path / "posts"), rows)
    yield with_rows
    with_rows.close()


def found(documents, x, k=5, **options):
    return [each.id for each, _ in documents.search(x, k, **options)]


def nearest(rows, x, numbers, k=5):
    """What comparing all rows finds."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    chosen = np.array(sorted(numbers))
    return [f"doc-{chosen[place]}" for place in np.argsort(-unit[chosen] @ x, kind="stable")[:k]]


# What goes in comes out


def test_documents_come_back_in_the_order_of_the_ids(documents):
    some = documents.get(["doc-7", "nobody", "doc-2"])

    assert [(each.id, each.content, each.metadata["number"]) for each in some] == [
        ("doc-7", "text 7", 7),
        ("doc-2", "text 2", 2),
    ]
    assert len(documents) == 40


def test_the_nearest_are_found(documents, rows, rng):
    for x in rng.standard_normal((5, D)).astype(np.float32):
        hits = documents.search(x, 5)

        assert [each.id for each, _ in hits] == nearest(rows, x, range(40))
        scores = [score for _, score in hits]
        assert scores == sorted(scores, reverse=True)


def test_a_document_takes_the_place_of_one_with_its_id(documents, rows):
    documents.put(["doc-3"], ["other"], [{}], -rows[3:4])

    assert documents.get(["doc-3"])[0][2:] == ("other", {})
    assert len(documents) == documents.vectors.ntotal == 40
    assert found(documents, -rows[3], 1) == ["doc-3"]
    assert "doc-3" not in found(documents, rows[3], 20)


def test_of_one_id_given_twice_the_last_counts(tmp_path, rows):
    documents = Documents(tmp_path / "new")
    documents.put(["a", "b", "a"], ["1", "2", "3"], [{}] * 3, rows[:3])

    assert [each.content for each in documents.get(["a", "b"])] == ["3", "2"]
    assert found(documents, rows[2], 1) == ["a"]
    assert documents.vectors.ntotal == 2
    documents.close()


def test_removed_documents_are_gone(documents, rows):
    documents.remove(["doc-1", "nobody", "doc-2"])

    assert documents.get(["doc-1", "doc-2"]) == []
    assert len(documents) == documents.vectors.ntotal == 38
    assert found(documents, rows[1], 40)[0] != "doc-1"

    documents.clear()

    assert (len(documents), documents.vectors.ntotal, found(documents, rows[0])) == (0, 0, [])


def test_an_empty_folder_finds_nothing(tmp_path, rows):
    documents = Documents(tmp_path / "deep" / "new")

    assert documents.search(rows[0], 3) == documents.select() == documents.get(["a"]) == []
    assert documents.vectors_of([]).shape == (0, 1)
    documents.put([], [], [], [])
    documents.remove(["a"])
    documents.clear()
    assert documents.vectors is None
    documents.close()


@pytest.mark.parametrize("train_rows", [None, 25])
def test_a_folder_outlives_the_process(tmp_path, rows, train_rows):
    documents = filled(Documents(tmp_path / "posts", train_rows=train_rows), rows)
    before = documents.search(rows[4], 6, equal={"letter": "b"})
    documents.close()

    again = Documents(tmp_path / "posts", bits=2.0)

    assert again.vectors.is_trained == (train_rows is not None)
    assert again.search(rows[4], 6, equal={"letter": "b"}) == before
    again.put(["new"], [""], [{}], rows[:1] * 2)
    assert len(again) == again.vectors.ntotal == 41
    again.close()


def test_what_is_kept_of_vectors_is_given(documents, rows):
    kept = documents.vectors_of(documents.get(["doc-5", "doc-1"]))

    expected = rows[[5, 1]] / np.linalg.norm(rows[[5, 1]], axis=1, keepdims=True)
    np.testing.assert_allclose(kept, expected, rtol=1e-6)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_other_metrics(tmp_path, rows, metric):
    documents = filled(Documents(tmp_path / "posts", metric=metric), rows)
    exact = rows @ rows[0] if metric == "ip" else -((rows - rows[0]) ** 2).sum(axis=1)

    hits = documents.search(rows[0], 4)

    assert [each.id for each, _ in hits] == [f"doc-{row}" for row in np.argsort(-exact)[:4]]
    np.testing.assert_allclose([score for _, score in hits], abs(np.sort(-exact)[:4]), atol=1e-4)
    assert documents.metric == metric
    documents.close()


def test_without_a_path_the_folder_goes_with_the_object(rows):
    documents = filled(Documents(), rows)
    path = documents.path
    assert found(documents, rows[9], 1) == ["doc-9"]

    documents.close()
    del documents

    assert not path.exists()


# Filters


def test_filters_find_the_nearest_of_those_that_pass(documents, rows, rng):
    x = rng.standard_normal(D).astype(np.float32)
    even = [number for number in range(40) if number % 2 == 0]

    assert found(documents, x, equal={"even": True}) == nearest(rows, x, even)
    assert found(documents, x, equal={"even": True, "letter": "b"}) == nearest(
        rows, x, [number for number in even if number % 3 == 1]
    )
    assert found(documents, x, accept=lambda each: each.metadata["number"] > 30) == nearest(rows, x, range(31, 40))
    assert found(documents, x, ids=["doc-3", "nobody", "doc-4"]) == nearest(rows, x, [3, 4])
    assert found(documents, x, ids=["doc-3", "doc-4"], equal={"even": True}) == ["doc-4"]
    assert found(documents, x, equal={"even": "perhaps"}) == found(documents, x, ids=[]) == []


# Interruptions


def test_a_change_that_fails_leaves_everything_as_it_was(documents, rows, monkeypatch):
    before = documents.search(rows[3], 40)
    with monkeypatch.context() as patch:
        patch.setattr(documents.vectors.__class__, "upsert", refuse)
        with pytest.raises(WriteError):
            documents.put(["doc-3", "new"], ["", ""], [{}, {}], rows[:2])

    assert documents.search(rows[3], 40) == before
    documents.put(["new"], [""], [{}], rows[:1])
    assert len(documents) == documents.vectors.ntotal == 41


def refuse(*args, **kwargs):
    raise WriteError("the disk is full")


@pytest.mark.parametrize("step", ["insert", "sweep"])
def test_vectors_without_documents_are_not_found_and_go_when_the_folder_is_opened(tmp_path, rows, monkeypatch, step):
    documents = filled(Documents(tmp_path / "posts"), rows)
    with monkeypatch.context() as patch:
        if step == "sweep":
            patch.setattr(documents.vectors.__class__, "delete", refuse)
        else:
            patch.setattr(DocumentTable, "put", refuse)
        with pytest.raises(WriteError):
            documents.put(["doc-3", "new"], ["other", "other"], [{}, {}], -rows[3:5])

    kept = documents.get(["doc-3"])[0].content
    assert kept == ("other" if step == "sweep" else "text 3")
    assert documents.vectors.ntotal > len(documents)
    expected = ["new"] if step == "sweep" else nearest(rows, -rows[4], range(40), 1)
    assert found(documents, -rows[4], 1) == expected
    assert len(found(documents, rows[3], 40)) == 40
    documents.close()

    again = Documents(tmp_path / "posts")

    assert again.vectors.ntotal == len(again)
    assert found(again, -rows[4], 1) == expected
    again.close()


CHILD = """
import sys, numpy as np
from lplr_index.documents import Documents
documents = Documents(sys.argv[1], train_rows=300)
first = int(sys.argv[2])
for number in range(first, first + 1000):
    vector = np.random.default_rng(number % 50).standard_normal((1, 12))
    documents.put([f"doc-{number % 50}"], [str(number)], [{}], vector)
    print(number, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX does")
def test_what_was_said_to_be_there_is_there_after_a_kill(tmp_path):
    acknowledged = 0
    for turn in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "posts"), str(acknowledged)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(20 + 7 * turn):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
        acknowledged = int(rest.split()[-1]) if rest.split() else acknowledged

        documents = Documents(tmp_path / "posts")
        for number in range(max(0, acknowledged - 49), acknowledged + 1):
            x = np.random.default_rng(number % 50).standard_normal(12)
            (record, score), *_ = documents.search(x, 1)
            assert record.id == f"doc-{number % 50}"
            assert int(record.content) in {number, number + 50}  # the next may have been written and not been said
            assert score == pytest.approx(1, abs=1e-6)
        assert documents.vectors.ntotal == len(documents)
        documents.close()


# Other processes and threads


def test_a_reader_follows_the_writer(tmp_path, rows):
    documents = Documents(tmp_path / "posts")
    reader = Documents(tmp_path / "posts", read_only=True)
    assert found(reader, rows[0]) == []

    filled(documents, rows)
    assert found(reader, rows[6], 1) == ["doc-6"]
    documents.remove(["doc-6"])

    assert found(reader, rows[6], 1) != ["doc-6"]
    with pytest.raises((WriteError, TypeError)):
        reader.put(["a"], [""], [{}], rows[:1])
    reader.close()
    documents.close()


def test_there_is_one_writer(documents, rows, tmp_path):
    with pytest.raises(LockedError):
        Documents(tmp_path / "posts")


def test_threads_may_search_and_change(documents, rows):
    errors = []

    def work(number):
        try:
            for turn in range(5):
                documents.put([f"own-{number}"], [str(turn)], [{}], rows[number : number + 1])
                assert len(documents.search(rows[number], 10)) == 10
                documents.remove([f"own-{number}"])
        except Exception as err:  # noqa: BLE001 - it is looked at below
            errors.append(err)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert errors == []
    assert len(documents) == documents.vectors.ntotal == 40


def test_searches_go_on_while_a_change_waits(documents, rows, monkeypatch):
    began, may_end = threading.Event(), threading.Event()
    upsert = documents.vectors.__class__.upsert

    def slow(*args, **kwargs):
        began.set()
        may_end.wait(30)
        return upsert(*args, **kwargs)

    monkeypatch.setattr(documents.vectors.__class__, "upsert", slow)
    change = threading.Thread(target=documents.put, args=(["new"], [""], [{}], rows[:1]))
    change.start()
    try:
        assert began.wait(30)
        assert len(documents.search(rows[0], 40, equal={"even": True})) == 20
    finally:
        may_end.set()
        change.join()
    assert len(documents) == 41


# What is wrong


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            (["a"], ["", ""], [{}], [[1.0] * D]),
            r"expected as many ids, texts, metadata and vectors, got \[1, 2, 1, 1\]",
        ),
        ((["a"], [""], [{}], [[1.0]]), "columns"),
        (([7], [""], [{}], [[1.0] * D]), "expected ids that are strings, got 7"),
        (([["a"]], [""], [{}], [[1.0] * D]), r"expected ids that are strings, got \['a'\]"),
        (([""], [""], [{}], [[1.0] * D]), "expected ids that are strings, got ''"),
        ((["a"], ["\udc80"], [{}], [[1.0] * D]), r"expected text that UTF-8 can hold, got '\\udc80'"),
        (
            (["a"], [""], [{"b": {1}}], [[1.0] * D]),
            "expected metadata that JSON can hold, got some that it cannot: .*set",
        ),
        ((["a"], [""], [{"b": float("nan")}], [[1.0] * D]), "expected metadata that JSON can hold"),
        ((["a"], [""], [{}], [[float("nan")] * D]), "expected finite float32 numbers, got nan in row 0"),
    ],
)
def test_what_is_wrong_is_said(documents, rows, asked, message):
    with pytest.raises(InputError, match=message):
        documents.put(*asked)
    assert len(documents) == 40


def test_a_folder_is_what_it_was_made_to_be(tmp_path, rows):
    filled(Documents(tmp_path / "posts", bits=8.0, metric="l2"), rows).close()

    for asked in ({"bits": 4.0}, {"metric": "cosine"}):
        with pytest.raises(InputError, match=r"which .* was made with"):
            Documents(tmp_path / "posts", **asked)
    with pytest.raises(InputError, match="metric"):
        Documents(tmp_path / "other", metric="manhattan")


def test_a_folder_that_is_none(tmp_path, documents):
    with pytest.raises(MissingFileError, match=r"expected documents in .*nowhere, got no documents\.sqlite there"):
        Documents(tmp_path / "nowhere", read_only=True)
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot make the folder"):
        Documents(tmp_path / "file")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "documents.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(FormatError, match=r"documents\.sqlite: file is not a database"):
        Documents(tmp_path / "damaged")


def test_a_closed_folder_says_so(tmp_path, rows):
    documents = filled(Documents(tmp_path / "posts"), rows)
    documents.close()

    with pytest.raises(InputError, match="closed"):
        documents.get(["doc-1"])
    with pytest.raises(InputError, match="closed"):
        documents.search(rows[0], 1)
