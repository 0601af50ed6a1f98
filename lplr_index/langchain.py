"""LangChain's vector store over packed vectors: a folder of documents that outlives the process.

``LPLRVectorStore`` passes LangChain's own suite for vector stores, ``langchain-tests``. This module needs
langchain-core, which nothing else does.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lplr_index.document_table import Record
from lplr_index.documents import Documents
from lplr_index.errors import InputError, MissingDependencyError

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import run_in_executor
    from langchain_core.vectorstores import VectorStore
    from langchain_core.vectorstores.utils import maximal_marginal_relevance
except ImportError as err:
    raise MissingDependencyError(
        f'expected langchain-core 0.3.63 or newer, which pip install "lplr_index[langchain]" brings, got {err}'
    ) from err

DocumentFilter = Mapping[str, Any] | Callable[[Document], bool]
"""Metadata that documents must have, value by value, or a function that tells which may be found."""


class LPLRVectorStore(VectorStore):
    """Documents in a folder, found by vectors of a few bits a coordinate.

    Parameters
    ----------
    embedding : Embeddings
        What makes vectors of texts.
    path : str or os.PathLike, optional
        The folder, made if it is missing. Where None, a temporary one, which goes when this object does.
    bits : float, optional
        Bits a coordinate of a packed vector; of a new folder 2 where None.
    metric : {"cosine", "ip", "l2"}, optional
        Similarity; of a new folder cosine where None.
    train_rows : int, optional
        Documents at which vectors are packed, 10,000 where None. Fewer are kept as they are and searched exactly.
    read_only : bool
        Only search; another process may write meanwhile.

    Raises
    ------
    InputError, LockedError, FormatError, WriteError
        As ``Documents`` raises them.

    Notes
    -----
    What is added or deleted is on the disk when the call returns. Searches take ``filter=``: a dict of metadata that
    must be equal, or a function of a document. Metadata are what JSON can hold.
    """

    def __init__(
        self,
        embedding: Embeddings,
        path: str | os.PathLike[str] | None = None,
        *,
        bits: float | None = None,
        metric: str | None = None,
        train_rows: int | None = None,
        read_only: bool = False,
    ) -> None:
        self._embedding = embedding
        self.documents = Documents(path, bits=bits, metric=metric, train_rows=train_rows, read_only=read_only)

    @property
    def embeddings(self) -> Embeddings:
        """What makes vectors of texts."""
        return self._embedding

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> LPLRVectorStore:
        """A store of these texts; what else is given goes to the class."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> LPLRVectorStore:
        """``from_texts``, with an embedding that is waited for."""
        store: LPLRVectorStore = await run_in_executor(None, lambda: cls(embedding, **kwargs))
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    # Documents

    def add_documents(self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any) -> list[str]:
        """Add documents, in the place of those that have their ids; who has none gets one. Returns the ids."""
        return self._put(documents, ids, self._embedding.embed_documents([each.page_content for each in documents]))

    async def aadd_documents(self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any) -> list[str]:
        """``add_documents``, with an embedding that is waited for."""
        vectors = await self._embedding.aembed_documents([each.page_content for each in documents])
        given: list[str] = await run_in_executor(None, self._put, documents, ids, vectors)
        return given

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Delete documents by id, those that are not there passed over; all of them where ``ids`` is None."""
        if ids is None:
            self.documents.clear()
        else:
            self.documents.remove(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents that have these ids, in the order of the ids."""
        return [_document(each) for each in self.documents.get(ids)]

    def close(self) -> None:
        """Let go of the folder, which another process may write to then."""
        self.documents.close()

    # Searching

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: DocumentFilter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The k documents nearest to a vector, each with its similarity, or under L2 its squared distance."""
        return [(_document(each), score) for each, score in self._nearest(embedding, k, filter)]

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
        """The k documents nearest to a text, each with its similarity, or under L2 its squared distance."""
        return self.similarity_search_with_score_by_vector(self._embedding.embed_query(query), k, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """``similarity_search_with_score``, with an embedding that is waited for."""
        vector = await self._embedding.aembed_query(query)
        by_vector = self.similarity_search_with_score_by_vector
        found: list[tuple[Document, float]] = await run_in_executor(None, by_vector, vector, k, **kwargs)
        return found

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """The k documents nearest to a vector."""
        return [each for each, _ in self.similarity_search_with_score_by_vector(embedding, k, **kwargs)]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The k documents nearest to a text."""
        return [each for each, _ in self.similarity_search_with_score(query, k, **kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """``similarity_search``, with an embedding that is waited for."""
        return [each for each, _ in await self.asimilarity_search_with_score(query, k, **kwargs)]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: DocumentFilter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Of the fetch_k documents nearest to a vector, k that are near to it and far from each other.

        ``lambda_mult`` says which counts: the one at 1, the other at 0.
        """
        found = [each for each, _ in self._nearest(embedding, fetch_k, filter)]
        if not found:
            return []
        kept = list(self.documents.vectors_of(found))
        chosen = maximal_marginal_relevance(np.asarray(embedding, np.float32), kept, lambda_mult, k)
        return [_document(found[each]) for each in chosen]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Of the fetch_k documents nearest to a text, k that are near to it and far from each other."""
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, **kwargs)

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """``max_marginal_relevance_search``, with an embedding that is waited for."""
        vector = await self._embedding.aembed_query(query)
        by_vector = self.max_marginal_relevance_search_by_vector
        found: list[Document] = await run_in_executor(None, by_vector, vector, k, fetch_k, lambda_mult, **kwargs)
        return found

    # Inside

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """What makes of a score one from 0 to 1: similarities are cut off, distances of unit vectors turned round."""
        if self.documents.metric == "l2":
            return lambda score: max(0.0, self._euclidean_relevance_score_fn(math.sqrt(max(score, 0.0))))
        return lambda score: min(max(score, 0.0), 1.0)

    def _nearest(self, vector: list[float], k: int, filter: DocumentFilter | None) -> list[tuple[Record, float]]:
        if filter is None or isinstance(filter, Mapping):
            return self.documents.search(vector, k, equal=filter)
        if not callable(filter):
            raise InputError(f"expected filter to be a dict of metadata or a function of a document, got {filter!r}")
        return self.documents.search(vector, k, accept=lambda each: filter(_document(each)))

    def _put(self, documents: list[Document], ids: list[str] | None, vectors: Any) -> list[str]:
        if ids is not None and len(ids) != len(documents):
            raise InputError(f"expected as many ids as documents, got {len(ids)} and {len(documents)}")
        given = [each.id for each in documents] if ids is None else ids
        names = [each or str(uuid.uuid4()) for each in given]
        texts, metadatas = ([getattr(each, name) for each in documents] for name in ("page_content", "metadata"))
        self.documents.put(names, texts, metadatas, vectors)
        return names


def _document(record: Record) -> Document:
    return Document(id=record.id, page_content=record.content, metadata=record.metadata)
