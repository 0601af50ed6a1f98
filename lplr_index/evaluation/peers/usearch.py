"""usearch's two quantized kinds of number, signs (b1) and bytes (i8), with every row compared.

usearch is a graph over such rows. Its own search of all rows, ``usearch.index.search(..., exact=True)``, finds all
that the graph could, and so the graph is neither built nor counted: some 150 bytes a row more in its file.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.errors import UnsupportedError
from lplr_index.evaluation.offers import Contender, Skip, Wanted
from lplr_index.evaluation.peers.base import Peer, PeerIndex, as_ids
from lplr_index.extras import require

KINDS = {"b1": "hamming", "i8": "ip"}
_NOTES = {"b1": "queries are signs too, all rows compared", "i8": "queries are bytes too, all rows compared"}
_LARGEST = 127


class UsearchIndex(PeerIndex):
    """The rows as usearch keeps them in one of its ``KINDS``; under cosine.

    Parameters
    ----------
    d : int
        Dimension.
    kind : str
        ``"b1"`` or ``"i8"``.

    Raises
    ------
    MissingDependencyError
        If usearch is not installed.
    UnsupportedError
        If it is one that compares some of the signs only, as 2.26.2 does in this search.
    """

    def __init__(self, d: int, kind: str) -> None:
        super().__init__(d, "cosine")
        self._kind = kind
        self._library = require("usearch.index", "peers")
        self.codes = self._encoded(np.empty((0, d), np.float32))
        self.is_trained = True
        if kind == "b1":
            self._check_signs()

    def train(self, x: FloatMatrix) -> None:
        """Do nothing with rows ``x`` (nt, d): there is nothing to learn."""

    def add(self, x: FloatMatrix) -> None:
        """Add rows (n, d)."""
        self.codes = np.concatenate([self.codes, self._encoded(x)])
        self.ntotal = len(self.codes)

    def search(self, x: FloatMatrix, k: int, *, threads: int = 1) -> tuple[FloatMatrix, IdArray]:
        """Return its distances and ids, both (nq, k)."""
        found = self._search(self.codes, self._encoded(x), k, threads=threads)
        return np.atleast_2d(found.distances), np.atleast_2d(as_ids(found.keys))

    def save(self, path: Path) -> None:
        """Write the rows as they are kept, as an array of NumPy."""
        with path.open("wb") as stream:
            np.save(stream, self.codes)

    def emptied(self) -> Self:
        """Return one of the same kind."""
        return type(self)(self.d, self._kind)

    def _search(self, codes: npt.NDArray[Any], queries: npt.NDArray[Any], k: int, threads: int = 1) -> Any:
        """Compare all rows with all queries, both encoded."""
        kind = {"dtype": "b1"} if self._kind == "b1" else {}
        return self._library.search(codes, queries, k, KINDS[self._kind], exact=True, threads=threads, **kind)

    def _check_signs(self) -> None:
        """Find out whether a row and its opposite differ in all signs."""
        row = np.ones((1, self.d), np.float32)
        differ = self._search(self._encoded(row), self._encoded(-row), 1).distances.item()
        if differ != self.d:
            raise UnsupportedError(
                f"expected a usearch that compares {self.d} signs, as 2.26.4 does, got one that compares {differ:g}"
            )

    def _encoded(self, x: FloatMatrix) -> npt.NDArray[Any]:
        """Return rows (n, d) as usearch's index would keep them: signs in bytes, or 127 times the row, cut off."""
        return np.packbits(x > 0, axis=1) if self._kind == "b1" else (_LARGEST * x).astype(np.int8)


def _offers(wanted: Wanted) -> Iterator[Contender | Skip]:
    if wanted.metric != "cosine":
        yield Skip("usearch", None, f"expected metric cosine, for it keeps no lengths, got {wanted.metric}")
        return
    for kind in KINDS:
        build = partial(UsearchIndex, wanted.d, kind)
        yield Contender("usearch", f"usearch-{kind}", _NOTES[kind], None, build)


PEER = Peer("usearch", "usearch", "usearch", '"lplr_index[peers]"', "usearch b1 and i8", _offers)
