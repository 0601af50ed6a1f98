"""semantic.py: the signature, the order and the results of sentence-transformers' semantic_search."""

from __future__ import annotations

import inspect
import sys

import numpy as np
import pytest

from lplr_index import IndexLPLR, IndexRefineLPLR, open_store, semantic_search
from lplr_index.errors import InputError


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def ids_of(hits):
    return [[hit["corpus_id"] for hit in each] for each in hits]


def scores_of(hits):
    return np.array([[hit["score"] for hit in each] for each in hits])


def cos_sim(a, b):
    """A function of the name of sentence-transformers'; the name is all that is asked of it."""
    pytest.fail(f"expected nobody to call this, got {a!r} and {b!r}")


@pytest.fixture(scope="module")
def index(vectors):
    index = IndexLPLR(48, 2.0)
    index.train(vectors.xt)
    index.add(vectors.xb)
    return index


class Tensor:
    """What a tensor on a device with a gradient is to numpy: unreadable, until it is detached and on the CPU."""

    def __init__(self, a, where=("graph", "device"), dtype="torch.float32"):
        self.a, self.where, self.dtype = a, where, dtype

    def detach(self):
        return Tensor(self.a, [each for each in self.where if each != "graph"], self.dtype)

    def cpu(self):
        return Tensor(self.a, [each for each in self.where if each != "device"], self.dtype)

    def float(self):
        return Tensor(self.a, self.where)

    def __array__(self, dtype=None, copy=None):
        if self.where or self.dtype != "torch.float32":
            raise TypeError(f"on {self.where}, {self.dtype}")
        return self.a


def test_results_of_an_index_are_those_of_its_search(index, vectors):
    D, I = index.search(vectors.xq, 7)

    hits = semantic_search(vectors.xq, index, top_k=7)

    assert ids_of(hits) == I.tolist()
    assert scores_of(hits).tolist() == D.astype(float).tolist()
    assert {type(value) for hit in hits[0] for value in hit.values()} == {int, float}


def test_scores_are_those_of_the_reconstruction(index, vectors):
    exact = unit(vectors.xq).astype(np.float64) @ index.reconstruct_n().T.astype(np.float64)
    order = np.argsort(-exact, axis=1, kind="stable")[:, :10]

    hits = semantic_search(vectors.xq, index)

    np.testing.assert_allclose(scores_of(hits), np.take_along_axis(exact, order, axis=1), atol=1e-6)
    assert (np.diff(scores_of(hits), axis=1) <= 0).all()


@pytest.mark.parametrize(("score", "bits"), [(None, 1.0), ("dot_score", 1.0), ("euclidean_sim", 2.0)])
def test_an_array_is_ranked_and_scored_by_itself(vectors, score, bits):
    rows, xq = vectors.xb.astype(np.float64), vectors.xq.astype(np.float64)
    exact = {
        None: unit(xq) @ unit(rows).T,
        "dot_score": xq @ rows.T,
        "euclidean_sim": -np.linalg.norm(xq[:, None] - rows, axis=2),
    }[score]

    hits = semantic_search(vectors.xq, vectors.xb, score_function=score, bits=bits)

    found = np.array(ids_of(hits))
    np.testing.assert_allclose(scores_of(hits), np.take_along_axis(exact, found, axis=1), atol=1e-4)
    true = np.argsort(-exact, axis=1)[:, :10]
    assert np.mean([len(set(few) & set(right)) for few, right in zip(found, true, strict=True)]) > 9.5


def test_an_index_answers_by_its_own_metric(vectors):
    index = IndexLPLR(48, 2.0, "l2")
    index.train(vectors.xt)
    index.add(vectors.xb)

    hits = semantic_search(vectors.xq, index, score_function="euclidean_sim")

    D, I = index.search(vectors.xq, 10)
    assert ids_of(hits) == I.tolist()
    np.testing.assert_allclose(scores_of(hits), -np.sqrt(D), rtol=1e-6)
    assert hits == semantic_search(vectors.xq, index)
    with pytest.raises(InputError, match="expected the score of the index, whose metric is l2, got that of cosine"):
        semantic_search(vectors.xq, index, score_function=cos_sim)


def test_chunks_change_nothing(index, vectors):
    expected = semantic_search(vectors.xq, index)

    assert semantic_search(vectors.xq, index, 7, 13, 10, cos_sim, threads=1) == expected
    assert semantic_search(list(vectors.xq), index, query_chunk_size=1) == expected


def test_one_query_is_a_batch_of_one(index, vectors):
    assert semantic_search(vectors.xq[3], index, top_k=2) == semantic_search(vectors.xq[3:4], index, top_k=2)
    assert semantic_search(vectors.xq[:0], index) == []


def test_there_are_no_more_results_than_rows(index, vectors):
    some = semantic_search(vectors.xq[:2], index, top_k=10, filter=np.array([5, 11]))

    assert [sorted(ids) for ids in ids_of(some)] == [[5, 11], [5, 11]]
    empty = IndexLPLR(48, 2.0)
    empty.train(vectors.xt)
    assert semantic_search(vectors.xq[:2], empty) == [[], []]
    assert semantic_search(vectors.xq[:2], vectors.xb[:0]) == [[], []]
    assert [len(hits) for hits in semantic_search(vectors.xq[:2], vectors.xb[:4])] == [4, 4]


def test_a_second_stage_is_an_index_too(index, vectors):
    refined = IndexRefineLPLR(index, originals=vectors.xb)

    hits = semantic_search(vectors.xq, refined)

    assert ids_of(hits) == refined.search(vectors.xq, 10)[1].tolist()


def test_a_store_is_an_index_too_and_has_ids_of_its_own(vectors, tmp_path):
    with open_store(tmp_path / "store", 48, ids="str") as store:
        store.add(vectors.xb[:5], list("abcde"))

        hits = semantic_search(vectors.xb[:2], store, top_k=9)

        assert ids_of(hits) == [row.tolist()[:5] for row in store.search(vectors.xb[:2], 9)[1]]
        assert [each[0]["corpus_id"] for each in hits] == ["a", "b"]


@pytest.mark.parametrize("dtype", ["torch.float32", "torch.bfloat16"])
def test_tensors_come_from_their_device(index, vectors, dtype):
    expected = semantic_search(vectors.xq, index)

    assert semantic_search(Tensor(vectors.xq, dtype=dtype), index) == expected
    assert semantic_search([Tensor(row, dtype=dtype) for row in vectors.xq], index) == expected


def test_it_takes_neither_torch_nor_sentence_transformers(index, vectors, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)

    assert len(semantic_search(vectors.xq[:1], index, score_function=cos_sim)[0]) == 10


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"top_k": 0}, "expected top_k to be an integer >= 1, got 0"),
        ({"query_chunk_size": 0}, "expected query_chunk_size to be an integer >= 1, got 0"),
        ({"corpus_chunk_size": 1.5}, "expected corpus_chunk_size to be an integer >= 1, got 1.5"),
        ({"score_function": "manhattan"}, "to be cos_sim, dot_score or euclidean_sim, got 'man"),
        ({"score_function": np.dot}, "to be cos_sim, dot_score or euclidean_sim, got <"),
        ({"corpus_embeddings": np.ones(3)}, r"expected an index or corpus_embeddings of shape \(n, d\), got shape"),
        ({"corpus_embeddings": "posts.lplr"}, r"expected an index or corpus_embeddings of shape \(n, d\), got shape"),
        ({"query_embeddings": np.ones((2, 3))}, "expected x with 48 columns, got 3"),
        ({"query_embeddings": [[1.0], [1.0, 2.0]]}, "expected query_embeddings to be an array of numbers"),
    ],
)
def test_what_is_wrong_is_said(index, vectors, asked, message):
    with pytest.raises(InputError, match=message):
        semantic_search(**{"query_embeddings": vectors.xq, "corpus_embeddings": index, **asked})


@pytest.mark.torch
def test_the_signature_is_sentence_transformers():
    util = pytest.importorskip("sentence_transformers").util
    theirs = list(inspect.signature(util.semantic_search).parameters.values())
    ours = list(inspect.signature(semantic_search).parameters.values())

    assert [each.name for each in theirs] == [each.name for each in ours[: len(theirs)]]
    assert [each.default for each in theirs[:-1]] == [each.default for each in ours[: len(theirs) - 1]]
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in ours[len(theirs) :])


@pytest.mark.torch
@pytest.mark.parametrize("name", ["cos_sim", "dot_score", "euclidean_sim"])
def test_results_are_sentence_transformers(vectors, name):
    torch = pytest.importorskip("torch")
    util = pytest.importorskip("sentence_transformers").util
    queries, corpus = (torch.tensor(each) for each in (vectors.xq, vectors.xb))
    score = getattr(util, name)

    theirs = util.semantic_search(queries, corpus, score_function=score)
    ours = semantic_search(queries.requires_grad_(), corpus, score_function=score, bits=2.0)

    shared = [
        {hit["corpus_id"]: hit["score"] for hit in true if hit["corpus_id"] in {one["corpus_id"] for one in mine}}
        for mine, true in zip(ours, theirs, strict=True)
    ]
    assert np.mean([len(each) for each in shared]) > 9.5
    for mine, scores in zip(ours, shared, strict=True):
        found = {hit["corpus_id"]: hit["score"] for hit in mine}
        assert {key: found[key] for key in scores} == pytest.approx(scores, abs=1e-4)


@pytest.mark.torch
def test_over_reconstructions_both_find_the_same(index, vectors):
    util = pytest.importorskip("sentence_transformers").util

    # Lengths of reconstructions are one as far as a row's gain can tell: cos_sim would make them one.
    theirs = util.semantic_search(unit(vectors.xq), index.reconstruct_n(), top_k=20, score_function=util.dot_score)
    ours = semantic_search(vectors.xq, index, top_k=20, score_function=util.cos_sim)

    assert ids_of(ours) == ids_of(theirs)
    np.testing.assert_allclose(scores_of(ours), scores_of(theirs), atol=1e-6)
