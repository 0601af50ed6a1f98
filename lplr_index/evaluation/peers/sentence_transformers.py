"""sentence-transformers' ``quantize_embeddings``, searched as its documentation says.

Its unsigned codes are searched by its ``semantic_search_faiss``, the signed ones by its ``semantic_search_usearch``:
the best 2 k rows of the quantized query are ranked once more by the query itself against the rows as dequantized.
(As uint8 that first ranking is by inner products of codes that count from zero, which loses much; int8 fares better.)
What is counted is what ``quantize_embeddings`` returns, which is less than what the searches hold in memory: faiss's
flat index keeps uint8 as float32, usearch keeps a graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.errors import MissingDependencyError
from lplr_index.evaluation.offers import Contender, Skip, Wanted
from lplr_index.evaluation.peers.base import Peer, PeerIndex, is_installed, not_installed
from lplr_index.extras import require

SEARCHES = {"ubinary": "faiss", "uint8": "faiss", "binary": "usearch", "int8": "usearch"}
_MULTIPLIER = 2  # the default of its searches


class QuantizedEmbeddings(PeerIndex):
    """Rows in one of the precisions of ``quantize_embeddings``; under cosine; rows come once.

    Parameters
    ----------
    d : int
        Dimension.
    precision : str
        One of ``SEARCHES``.

    Raises
    ------
    MissingDependencyError
        If sentence-transformers is not installed, or does not load.
    """

    def __init__(self, d: int, precision: str) -> None:
        super().__init__(d, "cosine")
        self._precision = precision
        self._library = _quantization()
        self.ranges: FloatMatrix | None = None
        self.codes: npt.NDArray[Any] = np.empty(0, np.uint8)
        self._index: Any = None

    def train(self, x: FloatMatrix) -> None:
        """Take the least and the largest of each coordinate of ``x`` (nt, d); there is nothing to learn for signs."""
        if self._precision.endswith("int8"):
            self.ranges = np.vstack([x.min(axis=0), x.max(axis=0)])
        self.is_trained = True

    def add(self, x: FloatMatrix) -> None:
        """Quantize rows (n, d), and hand them to the library's search, which makes an index of them."""
        self._first_rows(x)
        self.codes = self._library.quantize_embeddings(x, precision=self._precision, ranges=self.ranges)
        self._index = self._search(x[:1], 1, corpus_embeddings=self.codes, output_index=True)[2]

    def search(self, x: FloatMatrix, k: int) -> tuple[FloatMatrix, IdArray]:
        """Return its rescored similarities and ids, both (nq, k)."""
        found = self._search(x, k, corpus_index=self._index)[0]
        D = np.full((len(x), k), -np.inf, np.float32)
        I = np.full((len(x), k), -1, np.int64)
        for row, hits in enumerate(found):
            D[row, : len(hits)] = [hit["score"] for hit in hits]
            I[row, : len(hits)] = [hit["corpus_id"] for hit in hits]
        return D, I

    def save(self, path: Path) -> None:
        """Write the codes, and the ranges where there are any, as arrays of NumPy."""
        with path.open("wb") as stream:
            np.save(stream, self.codes)
            if self.ranges is not None:
                np.save(stream, self.ranges)

    def emptied(self) -> Self:
        """Return one of the same ranges."""
        found = type(self)(self.d, self._precision)
        found.ranges, found.is_trained = self.ranges, self.is_trained
        return found

    def _search(self, x: FloatMatrix, k: int, **corpus: Any) -> Any:
        search = getattr(self._library, f"semantic_search_{SEARCHES[self._precision]}")
        return search(
            x,
            corpus_precision=self._precision,
            top_k=k,
            ranges=self.ranges,
            rescore=True,
            rescore_multiplier=_MULTIPLIER,
            exact=True,
            **corpus,
        )


def _quantization() -> Any:
    """Return the module where its quantization is: of sentence-transformers 6, or of older ones."""
    try:
        return require("sentence_transformers.util.quantization", "text")
    except MissingDependencyError:
        return require("sentence_transformers.quantization", "text")


def _offers(wanted: Wanted) -> Iterator[Contender | Skip]:
    if wanted.metric != "cosine":
        yield Skip("sentence-transformers", None, f"expected metric cosine, which it is made for, got {wanted.metric}")
        return
    for precision, search in SEARCHES.items():
        name = f"sentence-transformers-{precision}"
        if is_installed(search):
            note = f"its search by {search}, the best {_MULTIPLIER}k ranked by the float query"
            build = partial(QuantizedEmbeddings, wanted.d, precision)
            yield Contender(f"sentence-transformers by {search}", name, note, None, build)
        else:
            yield not_installed(name, search)


PEER = Peer(
    "sentence-transformers",
    "sentence-transformers",
    "sentence_transformers",
    '"lplr_index[text]"',
    "sentence-transformers' quantize_embeddings",
    _offers,
)
