"""Embedding collections 8 to 64 times smaller, searched fast on a plain CPU.

Everything public is here, but for ``lplr_index.frames`` and for what derives from another package's classes:
``lplr_index.estimators`` (scikit-learn's), ``lplr_index.langchain`` and ``lplr_index.llama_index``.
Names are loaded on first use, so that ``import lplr_index`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lplr_index.metric import METRIC_INNER_PRODUCT, METRIC_L2

if TYPE_CHECKING:
    from lplr_index import errors
    from lplr_index.approximations import Approximation
    from lplr_index.compiling import warmup
    from lplr_index.factorfiles import decode_factors, write_factors
    from lplr_index.factorization import bits_with_q, factorize, rank_for_budget
    from lplr_index.factors import Factorization, QPlusLR
    from lplr_index.factory import index_factory
    from lplr_index.index import IndexLPLR
    from lplr_index.interop import to_faiss
    from lplr_index.ivf import IndexIVFLPLR
    from lplr_index.refine import IndexRefineLPLR
    from lplr_index.semantic import semantic_search
    from lplr_index.storage import deserialize_index, read_index, serialize_index, verify_index, write_index
    from lplr_index.store import open_store
    from lplr_index.vectors import open_vectors, write_vectors

__version__ = "0.1.0"

__all__ = [
    "METRIC_INNER_PRODUCT",
    "METRIC_L2",
    "Approximation",
    "Factorization",
    "IndexIVFLPLR",
    "IndexLPLR",
    "IndexRefineLPLR",
    "QPlusLR",
    "bits_with_q",
    "decode_factors",
    "deserialize_index",
    "errors",
    "factorize",
    "index_factory",
    "open_store",
    "open_vectors",
    "rank_for_budget",
    "read_index",
    "semantic_search",
    "serialize_index",
    "to_faiss",
    "verify_index",
    "warmup",
    "write_factors",
    "write_index",
    "write_vectors",
]

_HOMES = {
    "Approximation": "approximations",
    "Factorization": "factors",
    "IndexIVFLPLR": "ivf",
    "IndexLPLR": "index",
    "IndexRefineLPLR": "refine",
    "QPlusLR": "factors",
    "bits_with_q": "factorization",
    "decode_factors": "factorfiles",
    "deserialize_index": "storage",
    "factorize": "factorization",
    "index_factory": "factory",
    "open_store": "store",
    "open_vectors": "vectors",
    "rank_for_budget": "factorization",
    "read_index": "storage",
    "semantic_search": "semantic",
    "serialize_index": "storage",
    "to_faiss": "interop",
    "verify_index": "storage",
    "warmup": "compiling",
    "write_factors": "factorfiles",
    "write_index": "storage",
    "write_vectors": "vectors",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("lplr_index.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'lplr_index' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lplr_index.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
