"""LlamaIndex's vector store over packed vectors: a folder of nodes that outlives the process.

This module needs llama-index-core, which nothing else does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from lplr_index.document_table import Record
from lplr_index.documents import Documents
from lplr_index.errors import InputError, MissingDependencyError, UnsupportedError

try:
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.indices.query.embedding_utils import get_top_k_mmr_embeddings
    from llama_index.core.schema import BaseNode
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        FilterCondition,
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import (
        build_metadata_filter_fn,
        metadata_dict_to_node,
        node_to_metadata_dict,
    )
except ImportError as err:
    raise MissingDependencyError(
        f'expected llama-index-core 0.14 or newer, which pip install "lplr_index[llama-index]" brings, got {err}'
    ) from err

_NODE = ("_node_content", "_node_type")  # what metadata_dict_to_node makes a node of
_MMR_FACTOR = 4  # nodes that are fetched for each that is wanted, where they are to differ


class LPLRVectorStore(BasePydanticVectorStore):
    """Nodes in a folder, found by vectors of a few bits a coordinate.

    Parameters
    ----------
    path : str or os.PathLike, optional
        The folder, made if it is missing. Where None, a temporary one, which goes when this object does.
    bits : float, optional
        Bits a coordinate of a packed vector; of a new folder 2 where None.
    metric : {"cosine", "ip", "l2"}, optional
        Similarity; of a new folder cosine where None.
    train_rows : int, optional
        Nodes at which vectors are packed, 10,000 where None. Fewer are kept as they are and searched exactly.
    read_only : bool
        Only search; another process may write meanwhile.

    Raises
    ------
    InputError, LockedError, FormatError, WriteError
        As ``Documents`` raises them.

    Notes
    -----
    What is added or deleted is on the disk when the call returns: ``persist`` has nothing to do. Queries are of the
    modes DEFAULT and MMR. Filters are LlamaIndex's own, nested ones included.
    """

    stores_text: bool = True
    path: str | None = None
    _documents: Documents = PrivateAttr()

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        bits: float | None = None,
        metric: str | None = None,
        train_rows: int | None = None,
        read_only: bool = False,
    ) -> None:
        super().__init__(path=None if path is None else os.fspath(path))
        self._documents = Documents(path, bits=bits, metric=metric, train_rows=train_rows, read_only=read_only)

    @classmethod
    def class_name(cls) -> str:
        """What LlamaIndex calls the class."""
        return "LPLRVectorStore"

    @property
    def client(self) -> Documents:
        """The folder of documents."""
        return self._documents

    # Nodes

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes, which must have embeddings, in the place of those that have their ids; returns the ids."""
        ids, contents, metadatas = [], [], []
        for node in nodes:
            metadata = node_to_metadata_dict(node, flat_metadata=False)
            ids.append(node.node_id)
            contents.append(json.dumps([metadata.pop(name) for name in _NODE]))
            metadatas.append(metadata)
        self._documents.put(ids, contents, metadatas, [node.get_embedding() for node in nodes])
        return ids

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """The nodes that have these ids, in their order, or all, as far as the filters let them pass."""
        return [_node(each) for each in self._chosen(node_ids, filters)]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document."""
        self._documents.remove([each.id for each in self._documents.select({"ref_doc_id": ref_doc_id})])

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes that have these ids, or all, as far as the filters let them pass."""
        self._documents.remove([each.id for each in self._chosen(node_ids, filters)])

    def clear(self) -> None:
        """Delete all nodes."""
        self._documents.clear()

    def persist(self, persist_path: str = "", fs: Any = None) -> None:
        """Do nothing: all is on the disk.

        Raises
        ------
        InputError
            If the store has no path, and its folder goes when it does.
        """
        if self.path is None:
            raise InputError("expected a store that was made with a path, got one in a temporary folder")

    def close(self) -> None:
        """Let go of the folder, which another process may write to then."""
        self._documents.close()

    # Searching

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes nearest to an embedding, with their similarities; under L2, squared distances with a minus.

        Raises
        ------
        InputError
            If there is no embedding.
        UnsupportedError
            If the mode is neither DEFAULT nor MMR, or a filter cannot be told.
        """
        if query.query_embedding is None:
            raise InputError("expected a query with an embedding, got one without")
        if query.mode not in {VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR}:
            raise UnsupportedError(f"expected the mode default or mmr, got {query.mode.value}")
        k, mmr = query.similarity_top_k, query.mode == VectorStoreQueryMode.MMR
        found = self._documents.search(
            query.query_embedding,
            k * _MMR_FACTOR if mmr else k,
            equal=_equal(query.filters),
            accept=_accept(query.filters, query.doc_ids),
            ids=query.node_ids or None,  # retrievers give an empty list where they mean all
        )
        sign = -1 if self._documents.metric == "l2" else 1
        scores = {each.id: (each, sign * score) for each, score in found}
        if mmr and found:
            threshold = kwargs.get("mmr_threshold", query.mmr_threshold)
            vectors = self._documents.vectors_of([each for each, _ in found]).tolist()
            _, chosen = get_top_k_mmr_embeddings(
                query.query_embedding,
                vectors,
                similarity_top_k=k,
                embedding_ids=[each.id for each, _ in found],
                mmr_threshold=threshold,
            )
            scores = {each: scores[each] for each in chosen}
        return VectorStoreQueryResult(
            nodes=[_node(each) for each, _ in scores.values()],
            similarities=[score for _, score in scores.values()],
            ids=list(scores),
        )

    # Inside

    def _chosen(self, node_ids: list[str] | None, filters: MetadataFilters | None) -> list[Record]:
        """The documents of these ids, in their order, or all, as far as the filters let them pass."""
        return self._documents.select(_equal(filters), _accept(filters, None), node_ids)


def _node(record: Record) -> BaseNode:
    return metadata_dict_to_node(dict(zip(_NODE, json.loads(record.content), strict=True)))


def _equal(filters: MetadataFilters | None) -> dict[str, Any]:
    """The metadata that must be equal for filters to let a node pass, which SQLite can look for."""
    if filters is None or filters.condition not in {None, FilterCondition.AND}:
        return {}
    return {
        each.key: each.value
        for each in filters.filters
        if isinstance(each, MetadataFilter) and each.operator == FilterOperator.EQ and each.value is not None
    }


def _accept(filters: MetadataFilters | None, doc_ids: list[str] | None) -> Callable[[Record], bool] | None:
    """What tells the nodes that filters let pass, and that are of one of these documents; None where all are."""
    passes = _passes(filters)
    if not doc_ids:
        return passes
    documents = set(doc_ids)
    return lambda each: each.metadata.get("ref_doc_id") in documents and (passes is None or passes(each))


def _passes(filters: MetadataFilters | None) -> Callable[[Record], bool] | None:
    """LlamaIndex's own filter function, of filters that may hold others."""
    if filters is None or not filters.filters:
        return None
    parts = [
        _passes(each) or (lambda _: True) if isinstance(each, MetadataFilters) else _single(each)
        for each in filters.filters
    ]
    if filters.condition == FilterCondition.OR:
        return lambda record: any(part(record) for part in parts)
    if filters.condition == FilterCondition.NOT:
        return lambda record: not any(part(record) for part in parts)
    return lambda record: all(part(record) for part in parts)


def _single(each: MetadataFilter) -> Callable[[Record], bool]:
    """LlamaIndex's function for one filter."""
    of_record = build_metadata_filter_fn(lambda record: record.metadata, MetadataFilters(filters=[each]))

    def passes(record: Record) -> bool:
        try:
            return bool(of_record(record))
        except (TypeError, ValueError) as err:
            raise UnsupportedError(
                f"expected a filter that suits the metadata of {record.id}, got {each}: {err}"
            ) from err

    return passes
