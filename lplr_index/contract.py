"""What every index answers to in the same way, said once: the part of faiss's contract that follows from the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_integer
from lplr_index.metric import metric_type, worst_distance


class Index(ABC):
    """An index of vectors, of which ``IndexLPLR`` and ``IndexRefineLPLR`` are the two kinds."""

    __slots__ = ()

    @property
    @abstractmethod
    def d(self) -> int:
        """Dimension of the vectors."""

    @property
    @abstractmethod
    def ntotal(self) -> int:
        """Rows held."""

    @property
    @abstractmethod
    def metric(self) -> str:
        """``"cosine"``, ``"ip"`` or ``"l2"``."""

    @property
    @abstractmethod
    def code_size(self) -> int:
        """Bytes of a row."""

    @abstractmethod
    def search(self, x: npt.ArrayLike, k: int) -> tuple[FloatMatrix, IdArray]:
        """Scores and ids (nq, k) of the k nearest rows of queries x (nq, d)."""

    @abstractmethod
    def reconstruct_batch(self, key: npt.ArrayLike) -> FloatMatrix:
        """Vectors (n, d) of rows by id (n,)."""

    @property
    def metric_type(self) -> int:
        """METRIC_INNER_PRODUCT, for cosine too, or METRIC_L2."""
        return metric_type(self.metric)

    def sa_code_size(self) -> int:
        """Bytes of a row, as ``sa_encode`` gives it."""
        return self.code_size

    @property
    def bits(self) -> float:
        """Bits per coordinate of a row."""
        return 8 * self.code_size / self.d

    def __len__(self) -> int:
        return self.ntotal

    def assign(self, x: npt.ArrayLike, k: int = 1) -> IdArray:
        """Ids (nq, k) of the k nearest rows."""
        return self.search(x, k)[1]

    def search_and_reconstruct(
        self, x: npt.ArrayLike, k: int, **options: Any
    ) -> tuple[FloatMatrix, IdArray, npt.NDArray[np.float32]]:
        """``search`` and the vectors (nq, k, d) of what it found; NaN where a result is missing."""
        D, I = self.search(x, k, **options)
        x_hat = np.full((*I.shape, self.d), np.nan, np.float32)
        x_hat[I >= 0] = self.reconstruct_batch(I[I >= 0])
        return D, I, x_hat

    def reconstruct(self, key: int) -> npt.NDArray[np.float32]:
        """The vector (d,) of the row with this id; raises as ``reconstruct_batch``."""
        x_hat: npt.NDArray[np.float32] = self.reconstruct_batch([as_integer(key, "id")])[0]
        return x_hat

    def _distances(self, keys: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Keys as faiss reports them: similarities, squared distances, extremes for what is missing."""
        worst = worst_distance(self.metric_type)
        return np.maximum(keys, worst) if worst < 0 else np.minimum(-keys, worst)

    def _ranges(
        self, parts: list[tuple[npt.NDArray[np.float32], IdArray]]
    ) -> tuple[IdArray, npt.NDArray[np.float32], IdArray]:
        """What a range search returns, of the keys (n,) and ids (n,) that each query found."""
        lims = np.concatenate([[0], np.cumsum([len(ids) for _, ids in parts], dtype=np.int64)])
        D = np.concatenate([np.empty(0, np.float32), *(self._distances(keys) for keys, _ in parts)])
        return lims, D, np.concatenate([np.empty(0, np.int64), *(ids for _, ids in parts)])
