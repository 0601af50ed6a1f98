"""LoRANN: a reduced-rank regression of the scores in each cluster, whose factors have 4 or 8 bits an entry.

It cannot be trained on other rows than those it holds, so what it learns is part of what it stores of them, and a row
costs a share of everything. It takes no seed: what it finds differs between runs, by some tenths of a point of recall.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.errors import MissingDependencyError
from lplr_index.evaluation.offers import Contender, Skip, Wanted
from lplr_index.evaluation.peers.base import Peer, PeerIndex, as_ids

SIZES = ((16, 4), (32, 4), (64, 4), (32, 8), (64, 8))  # rank, bits: all it has
CLUSTERS = (16, 64)
SEARCHED = 16  # models of far clusters mislead: of 64, searching all finds half as much


class LorannIndex(PeerIndex):
    """Factors of a rank and so many bits for each of ``clusters`` clusters; rows come once, and are trained on.

    Parameters
    ----------
    d : int
        Dimension.
    metric : str
        Cosine, ip or l2.
    rank, nbits, clusters : int
        See ``SIZES`` and ``CLUSTERS``.

    Raises
    ------
    MissingDependencyError
        If lorann is not installed.
    """

    def __init__(self, d: int, metric: str, rank: int, nbits: int, clusters: int) -> None:
        super().__init__(d, metric)
        self._settings = (d, metric, rank, nbits, clusters)
        self._library = _lorann()
        self._index: Any = None
        self._originals_bytes = 0
        self.is_trained = True

    def train(self, x: FloatMatrix) -> None:
        """Do nothing with rows ``x`` (nt, d): adding is what trains."""

    def add(self, x: FloatMatrix, *, threads: int = 1) -> None:
        """Cluster rows (n, d), and fit."""
        self._first_rows(x)
        _, metric, rank, nbits, clusters = self._settings
        distance = self._library.L2 if metric == "l2" else self._library.IP
        self._index = self._library.LorannIndex(
            x, clusters, None, quantization_bits=nbits, rank=rank, distance=distance
        )
        self._index.build(approximate=False, n_threads=threads)
        self._originals_bytes = x.nbytes

    def search(self, x: FloatMatrix, k: int, *, threads: int = 1) -> tuple[FloatMatrix, IdArray]:
        """Return its distances and ids, both (nq, k)."""
        I, D = self._index.search(x, k, SEARCHED, points_to_rerank=0, return_distances=True, n_threads=threads)
        return D, as_ids(I)

    def save(self, path: Path) -> None:
        """Write LoRANN's own file."""
        self._index.save(str(path))

    def saved_bytes(self) -> int:
        """Return the size of its file but for the original rows in it, which are not needed here."""
        return super().saved_bytes() - self._originals_bytes

    def emptied(self) -> Self:
        """Return one of the same settings: there is no training to keep."""
        return type(self)(*self._settings)

    def row_bytes(self, xb: FloatMatrix) -> float:
        """Return what a row of ``xb`` (ntotal, d) costs: its share of everything."""
        return self.saved_bytes() / len(xb)


def _lorann() -> Any:
    """Return the package, which no extra brings, as it has to be compiled."""
    try:
        return importlib.import_module("lorann")
    except ImportError as err:
        raise MissingDependencyError(
            f"expected the package lorann, which pip install lorann brings, got {err}"
        ) from err


def _offers(wanted: Wanted) -> Iterator[Contender | Skip]:
    for clusters, (rank, nbits) in itertools.product(CLUSTERS, SIZES):
        name = f"lorann-{clusters}c-{rank}x{nbits}"
        if rank >= wanted.d:
            yield Skip(name, None, f"expected a dimension above its rank of {rank}, got {wanted.d}")
            continue
        note = f"{SEARCHED} of {clusters} clusters searched"
        build = partial(LorannIndex, wanted.d, wanted.metric, rank, nbits, clusters)
        yield Contender(f"lorann-{clusters}c", name, note, None, build)


PEER = Peer("lorann", "lorann", "lorann", "lorann", "LoRANN", _offers)
