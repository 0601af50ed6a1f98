"""rabitqlib, the RaBitQ authors' own library: an inverted file, here with every list searched.

Its k-means takes a seed, its random rotation takes none: what it finds differs between runs, by some tenths of a point
of recall.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.evaluation.offers import Contender, Skip, Wanted
from lplr_index.evaluation.peers.base import Peer, PeerIndex, as_ids
from lplr_index.extras import require

NBITS = (1, 2, 3, 4)
CLUSTERS = 64
_LEAST_DIMENSION = 64
_BLOCK_COPIES, _SAMPLE_ROWS = 32, 256


class RabitqIndex(PeerIndex):
    """Codes of ``nbits`` bits a coordinate of what the nearest of ``clusters`` centroids leaves; rows come once.

    Parameters
    ----------
    d : int
        Dimension, at least 64.
    metric : str
        Cosine, ip or l2.
    nbits : int
        1 to 9.
    clusters : int
        Lists, all of which are searched.
    seed : int
        Of k-means.

    Raises
    ------
    MissingDependencyError
        If rabitqlib is not installed.
    """

    def __init__(self, d: int, metric: str, nbits: int, clusters: int, seed: int) -> None:
        super().__init__(d, metric)
        self._settings = (d, metric, nbits, clusters, seed)
        self._library = require("rabitqlib", "peers")
        self._index: Any = None

    def train(self, x: FloatMatrix) -> None:
        """Find centroids of rows ``x`` (nt, d)."""
        d, _, _, clusters, seed = self._settings
        means = self._library.RaBitQKMeans(d, clusters, seed=seed)
        means.train(x)
        self.centroids = np.ascontiguousarray(means.centroids)
        self.is_trained = True

    def add(self, x: FloatMatrix, *, threads: int = 1) -> None:
        """Encode rows (n, d), each in the list of its nearest centroid."""
        self._first_rows(x)
        d, metric, nbits, clusters, _ = self._settings
        centroids = self.centroids
        nearest = np.argmax(x @ centroids.T - (centroids**2).sum(axis=1) / 2, axis=1).astype(np.uint32)
        rule = "l2" if metric == "l2" else "ip"
        self._index = self._library.IvfIndex(d, len(x), clusters, nbits, metric=rule)
        self._index.build(x, centroids, nearest, num_threads=threads)

    def search(self, x: FloatMatrix, k: int, *, threads: int = 1) -> tuple[FloatMatrix, IdArray]:
        """Return its distances and ids, both (nq, k)."""
        clusters = self._settings[3]
        I, D = self._index.search(x, k, nprobe=clusters, high_accuracy=True, num_threads=threads)
        return D, as_ids(I)

    def save(self, path: Path) -> None:
        """Write rabitqlib's own file."""
        self._index.save(str(path))

    def emptied(self) -> Self:
        """Return one with the same centroids."""
        found = type(self)(*self._settings)
        found.centroids, found.is_trained = self.centroids, True
        return found

    def row_bytes(self, xb: FloatMatrix) -> float:
        """Return by how much a row of ``xb`` (ntotal, d) makes the file grow.

        Lists are filled up to whole blocks of 32 rows, so rows are saved once and with 32 copies of each.
        """
        some = xb[:_SAMPLE_ROWS]
        sizes = []
        for copies in (1, 1 + _BLOCK_COPIES):
            index = self.emptied()
            index.add(np.tile(some, (copies, 1)))
            sizes.append(index.saved_bytes())
        return (sizes[1] - sizes[0]) / (_BLOCK_COPIES * len(some))


def _offers(wanted: Wanted) -> Iterator[Contender | Skip]:
    if wanted.d < _LEAST_DIMENSION:
        yield Skip("rabitqlib", None, f"expected a dimension of at least {_LEAST_DIMENSION}, got {wanted.d}")
        return
    clusters = min(CLUSTERS, wanted.nt)
    for nbits in NBITS:
        build = partial(RabitqIndex, wanted.d, wanted.metric, nbits, clusters, wanted.seed)
        yield Contender("rabitqlib", f"rabitqlib-{nbits}", f"{clusters} clusters, all searched", None, build)


PEER = Peer("rabitqlib", "rabitqlib", "rabitqlib", '"lplr_index[peers]"', "rabitqlib", _offers)
