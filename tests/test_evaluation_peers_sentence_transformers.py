"""evaluation/peers/sentence_transformers.py without the package, of which torch is a large part."""

from __future__ import annotations

import types

import numpy as np
import pytest

from lplr_index.errors import MissingDependencyError
from lplr_index.evaluation.contenders import contenders
from lplr_index.evaluation.peers import base, sentence_transformers


@pytest.fixture
def quantization(monkeypatch):
    """Put in the place of its module one with the functions used, which remember what they were asked."""
    asked = []

    def quantize(x, precision, ranges=None):
        if precision.endswith("binary"):
            return np.packbits(x > 0, axis=-1)
        steps = (ranges[1] - ranges[0]) / 255
        return np.clip((x - ranges[0]) / steps, 0, 255).astype(np.uint8)

    def search(queries, *, corpus_embeddings=None, corpus_index=None, top_k, output_index=False, **options):
        asked.append(options | {"top_k": top_k})
        corpus = corpus_index if corpus_embeddings is None else corpus_embeddings
        hits = [[{"corpus_id": 1, "score": 0.5}, {"corpus_id": 0, "score": 0.25}][:top_k] for _ in queries]
        return (hits, 0.0, corpus) if output_index else (hits, 0.0)

    module = types.SimpleNamespace(
        quantize_embeddings=quantize, semantic_search_faiss=search, semantic_search_usearch=search, asked=asked
    )
    monkeypatch.setattr(sentence_transformers, "_quantization", lambda: module)
    return module


@pytest.mark.parametrize("precision", sentence_transformers.SEARCHES)
def test_its_search_rescores_with_the_float_query(quantization, make_vectors, precision, tmp_path):
    xt, xb, xq = np.split(make_vectors(260, 64), [100, 250])
    index = sentence_transformers.QuantizedEmbeddings(64, precision)
    index.train(xt)
    index.add(xb)
    D, I = index.search(xq, 3)

    assert I[7].tolist() == [1, 0, -1]
    assert D[7].tolist() == [0.5, 0.25, -np.inf]
    asked = quantization.asked[-1]
    assert (asked["corpus_precision"], asked["top_k"], asked["rescore"], asked["exact"]) == (precision, 3, True, True)
    assert asked["rescore_multiplier"] == 2
    if precision.endswith("int8"):
        np.testing.assert_array_equal(asked["ranges"], [xt.min(axis=0), xt.max(axis=0)])
    index.save(tmp_path / "codes")
    with (tmp_path / "codes").open("rb") as stream:
        np.testing.assert_array_equal(np.load(stream), index.codes)
    assert index.row_bytes(xb) == (64 if precision.endswith("int8") else 8)


def test_its_search_by_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(base, "is_installed", lambda _module: True)
    monkeypatch.setattr(sentence_transformers, "is_installed", lambda module: module == "faiss")
    found, skipped = contenders(48, [1.0], nt=1500, methods=[], peers=["sentence-transformers"])

    assert [each.name.rpartition("-")[2] for each in found] == ["ubinary", "uint8"]
    assert [(each.name.rpartition("-")[2], each.reason) for each in skipped] == [
        ("binary", "not installed: pip install usearch"),
        ("int8", "not installed: pip install usearch"),
    ]


def test_its_module_of_older_versions_is_found_too(monkeypatch):
    asked = []

    def require(module, extra):
        asked.append((module, extra))
        if "util" in module:
            raise MissingDependencyError("no")
        return module

    monkeypatch.setattr(sentence_transformers, "require", require)

    assert sentence_transformers._quantization() == "sentence_transformers.quantization"
    assert {extra for _, extra in asked} == {"text"}
