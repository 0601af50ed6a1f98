"""lplr_index for the runner of ann-benchmarks: this folder is its ``ann_benchmarks/algorithms/lplr``."""

from __future__ import annotations

import numpy as np

from lplr_index import IndexLPLR, IndexRefineLPLR, serialize_index
from lplr_index.settings import small_row_bits

try:
    from ann_benchmarks.algorithms.base.module import BaseANN
except ImportError:  # run.py needs no copy of ann-benchmarks
    BaseANN = object

METRICS = {"angular": "cosine", "euclidean": "l2", "ip": "ip"}


class LPLR(BaseANN):
    """Packed rows, scanned: all of every row, or the rest of those alone whose heads promise enough.

    Parameters
    ----------
    metric : {"angular", "euclidean", "ip"}
        As ann-benchmarks calls them.
    bits : float
        Bits a coordinate, everything that grows with the rows included; a row has eight bytes at least.
    """

    def __init__(self, metric: str, bits: float) -> None:
        self.metric, self.bits = METRICS[metric], float(bits)
        self.index = None
        self.options = {}
        self.found = np.empty((0, 0), np.int64)

    def fit(self, X: np.ndarray) -> None:
        """Train on the rows X (n, d), pack them, and search once: what is loaded at the first call is loaded then."""
        d = X.shape[1]
        self.index = self.made(IndexLPLR(d, max(self.bits, small_row_bits(d)), self.metric), X)
        self.bits = self.index.bits  # what it has: more on few coordinates, less where bytes are rounded down
        self.index.train(X)
        self.index.add(X)
        self.index.search(X[:1], 1, threads=1)

    def made(self, index: IndexLPLR, _X: np.ndarray) -> IndexLPLR | IndexRefineLPLR:
        """The index to fill with rows X (n, d)."""
        return index

    def set_query_arguments(self, margin: float) -> None:
        """Look at all of those rows alone that promise enough with this margin; of every row for 0."""
        self.options = {"margin": margin or None}

    def query(self, q: np.ndarray, n: int) -> np.ndarray:
        """Row numbers of the n rows nearest to q (d,), on one thread."""
        return held(self.index.search(q[None], n, threads=1, **self.options)[1][0])

    def batch_query(self, X: np.ndarray, n: int) -> None:
        """Find the n rows nearest to each of X (nq, d), on all threads."""
        self.found = self.index.search(X, n, **self.options)[1]

    def get_batch_results(self) -> list[np.ndarray]:
        """Row numbers that ``batch_query`` found, an array for each query."""
        return [held(ids) for ids in self.found]

    def get_memory_usage(self) -> float:
        """Kilobytes of the index, model and all, as its file has them; what else the process holds is not counted."""
        return 0.0 if self.index is None else self.nbytes() / 1024

    def nbytes(self) -> int:
        """Bytes of the index."""
        return len(serialize_index(self.index))

    def get_additional(self) -> dict[str, float]:
        """What is kept with the results: bytes a row."""
        return {"bytes_per_vector": self.index.code_size}

    def done(self) -> None:
        """Forget the index."""
        self.index = None

    def __str__(self) -> str:
        said = [f"bits={self.bits:g}", *(f"{name}={value}" for name, value in self.options.items() if value)]
        return f"{type(self).__name__}({', '.join(said)})"


class LPLRRefined(LPLR):
    """Packed rows find candidates, and the original vectors, which stay in memory beside them, rank these."""

    def __init__(self, metric: str, bits: float) -> None:
        super().__init__(metric, bits)
        self.originals = np.empty((0, 0), np.float32)

    def made(self, index: IndexLPLR, X: np.ndarray) -> IndexRefineLPLR:
        """The index to fill with rows X (n, d)."""
        self.originals = np.ascontiguousarray(X, np.float32)
        return IndexRefineLPLR(index, originals=self.originals)

    def set_query_arguments(self, k_factor: float) -> None:
        """So many candidates for each neighbour wanted."""
        self.options = {"k_factor": k_factor}

    def nbytes(self) -> int:
        """Bytes of the packed index and of the original vectors."""
        return len(serialize_index(self.index.base_index)) + self.originals.nbytes

    def get_additional(self) -> dict[str, float]:
        """What is kept with the results: bytes a row, those of the original vector included."""
        return {"bytes_per_vector": self.index.code_size + self.originals[0].nbytes}


def held(ids: np.ndarray) -> np.ndarray:
    """The row numbers among ids (k,): where there are fewer rows than were asked for, -1 stands for none."""
    return ids[ids >= 0]
