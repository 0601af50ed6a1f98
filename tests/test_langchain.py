"""langchain.py: LangChain's own suite for vector stores, and what is ours alone."""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.guests

documents = pytest.importorskip("langchain_core.documents")
embeddings = pytest.importorskip("langchain_core.embeddings")
suites = pytest.importorskip("langchain_tests.integration_tests")

from lplr_index import langchain  # noqa: E402
from lplr_index.errors import InputError, MissingDependencyError  # noqa: E402

Document, LPLRVectorStore = documents.Document, langchain.LPLRVectorStore


class Letters(embeddings.Embeddings):
    """A text as how often it has each letter, so that similar words are near."""

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [0.1 + text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]


class TestSuite(suites.VectorStoreIntegrationTests):
    """What LangChain asks of a vector store, at once and asynchronously; rows stay as they are."""

    @pytest.fixture
    def vectorstore(self, tmp_path):
        store = LPLRVectorStore(self.get_embeddings(), tmp_path / "store")
        yield store
        store.close()


class TestSuitePacked(suites.VectorStoreIntegrationTests):
    """The same of a store that packs its rows from the second on."""

    @pytest.fixture
    def vectorstore(self, tmp_path):
        store = LPLRVectorStore(self.get_embeddings(), tmp_path / "store", train_rows=2)
        yield store
        store.close()


WORDS = ["stone", "onset", "notes", "apple", "apples", "maple", "river", "rival"]


@pytest.fixture
def store(tmp_path):
    made = LPLRVectorStore.from_texts(
        WORDS, Letters(), [{"length": len(word)} for word in WORDS], ids=WORDS, path=tmp_path / "words"
    )
    yield made
    made.close()


def ids(found):
    return [each.id for each in found]


def test_the_nearest_are_found_with_their_similarity(store):
    vectors = np.array(Letters().embed_documents(WORDS))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    query = np.array(Letters().embed_query("apple"))

    hits = store.similarity_search_with_score("apple", k=3)

    assert [(each.id, each.page_content, each.metadata) for each, _ in hits] == [
        (word, word, {"length": len(word)}) for word in ("apple", "apples", "maple")
    ]
    exact = unit[[3, 4, 5]] @ query / np.linalg.norm(query)
    assert [score for _, score in hits] == pytest.approx(exact, abs=1e-6)
    assert ids(store.similarity_search("apple", k=3)) == ids(store.similarity_search_by_vector(query.tolist(), k=3))
    assert ids(asyncio.run(store.asimilarity_search("apple", k=3))) == ["apple", "apples", "maple"]


def test_filters_are_metadata_or_functions(store):
    assert ids(store.similarity_search("apple", k=1, filter={"length": 6})) == ["apples"]
    assert ids(store.similarity_search("apple", k=2, filter=lambda each: "v" in each.page_content)) == [
        "rival",
        "river",
    ]
    assert store.similarity_search("apple", filter={"length": 99}) == []
    assert ids(asyncio.run(store.asimilarity_search("apple", k=1, filter={"length": 6}))) == ["apples"]
    with pytest.raises(InputError, match="expected filter to be a dict of metadata or a function of a document, got 6"):
        store.similarity_search("apple", filter=6)


def test_relevance_is_from_zero_to_one(store, tmp_path):
    hits = store.similarity_search_with_relevance_scores("apple", k=8)
    far = LPLRVectorStore.from_texts(WORDS, Letters(), metric="l2", path=tmp_path / "l2")

    assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)
    assert hits[0][1] == pytest.approx(1)
    assert all(0 <= score <= 1 for _, score in hits + far.similarity_search_with_relevance_scores("apple", k=8))
    assert far.similarity_search_with_score("apple", k=1)[0][1] == pytest.approx(0, abs=1e-4)
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9})
    assert "apple" in ids(retriever.invoke("apple"))
    assert "river" not in ids(retriever.invoke("apple"))
    far.close()


def test_results_that_differ(store):
    near = ids(store.max_marginal_relevance_search("notes", k=2, fetch_k=8, lambda_mult=1.0))
    apart = ids(store.max_marginal_relevance_search("notes", k=2, fetch_k=8, lambda_mult=0.0))

    assert set(near) <= {"stone", "onset", "notes"}
    assert len({"stone", "onset", "notes"} & set(apart)) == 1
    assert ids(asyncio.run(store.amax_marginal_relevance_search("notes", k=2, fetch_k=8, lambda_mult=0.0))) == apart
    assert ids(store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "fetch_k": 8}).invoke("notes"))
    assert store.max_marginal_relevance_search("notes", filter={"length": 99}) == []


def test_a_folder_outlives_the_process(store, tmp_path):
    expected = store.similarity_search_with_score("apple", k=8)
    store.close()

    again = LPLRVectorStore(Letters(), tmp_path / "words")

    assert again.similarity_search_with_score("apple", k=8) == expected
    assert again.add_texts(["pear"], [{"new": True}]) != again.add_texts(["pear"])
    assert len(again.documents) == 10
    again.close()


def test_documents_are_replaced_and_deleted(store):
    store.add_documents([Document(id="stone", page_content="rivers")])

    assert ids(store.similarity_search("river", k=2)) == ["river", "stone"]
    assert store.get_by_ids(["stone"]) == [Document(id="stone", page_content="rivers")]
    assert store.delete(["stone", "nobody"])
    assert store.get_by_ids(["stone"]) == []
    assert asyncio.run(store.adelete())
    assert store.similarity_search("river") == []


def test_without_a_path_all_goes_with_the_object():
    made = asyncio.run(LPLRVectorStore.afrom_texts(WORDS, Letters(), ids=WORDS))

    assert isinstance(made.embeddings, Letters)
    assert ids(made.similarity_search("river", k=1)) == ["river"]
    made.close()


def test_as_many_ids_as_documents(store):
    with pytest.raises(InputError, match="expected as many ids as documents, got 1 and 2"):
        store.add_documents([Document(page_content="a"), Document(page_content="b")], ids=["one"])


def test_without_langchain_the_module_says_what_brings_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "lplr_index.langchain")
    monkeypatch.setitem(sys.modules, "langchain_core.documents", None)

    with pytest.raises(MissingDependencyError, match=r'pip install "lplr_index\[langchain\]" brings'):
        __import__("lplr_index.langchain")
