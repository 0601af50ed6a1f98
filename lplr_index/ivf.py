"""``IndexIVFLPLR``: packed rows in lists, of which a search looks at the nearest, as faiss's IndexIVF does."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index import probing, training
from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray, as_integer, as_number, joined
from lplr_index.blocks import Form
from lplr_index.coarse import MOST_LISTS, Coarse, number_bytes
from lplr_index.errors import InputError, NotTrainedError
from lplr_index.filters import row_mask
from lplr_index.index import IndexLPLR
from lplr_index.listmodel import ListModel
from lplr_index.lists import Lists
from lplr_index.metric import is_similarity
from lplr_index.model import Model
from lplr_index.settings import Settings
from lplr_index.threads import as_threads, available, run

NPROBE = 16  # lists that a search looks at, where nobody says how many
_DECODED_ROWS = 1 << 12  # rows whose float32 vectors are in memory at a time


class IndexIVFLPLR(IndexLPLR):
    """Nearest neighbours among the rows of a few lists: A ~ C[list] + 1 mu^T + L R, with L in a few bits a coordinate.

    Rows are dealt out to ``nlist`` lists by the nearest of as many centroids, which faiss's k-means finds, and what is
    packed is what the centroid leaves of a row. A search looks at the ``nprobe`` lists nearest to each query.

    Parameters
    ----------
    d : int
        Dimension of the vectors.
    bits : float
        Bits per coordinate of a row's code, as for ``IndexLPLR``. The number of its list, one to three bytes in a
        file and four in memory, comes in addition, as faiss's eight bytes for an id do.
    metric : {"cosine", "ip", "l2"} or int
        Similarity; faiss's METRIC_INNER_PRODUCT and METRIC_L2 are understood. Cosine normalises rows and queries.
    nlist : int
        Lists. Some four times the square root of the rows is usual; training wants some sixteen rows for each.
    nprobe : int
        Lists that a search looks at. faiss starts from 1.
    seed : int
        Same seed and data, same index, byte for byte.

    Attributes
    ----------
    nlist, nprobe
        As faiss has them; ``nprobe`` may be set at any time.
    d, ntotal, is_trained, metric_type, code_size
        As faiss has them.

    Raises
    ------
    InputError
        If an argument is out of range, or the budget leaves no room for codes.

    Notes
    -----
    Searches rank the rows of their lists exactly by their reconstruction, ties by lowest id; these are all rows where
    ``nprobe`` is ``nlist``. A list that cannot improve the results is passed over, which does not change them.
    Rows that were added wait for the next search, which sorts them into the lists.
    """

    __slots__ = ("_nlist", "_nprobe")

    def __init__(
        self,
        d: int,
        bits: float = 1.0,
        metric: str | int = "cosine",
        *,
        nlist: int = 1024,
        nprobe: int = NPROBE,
        seed: int = 0,
    ) -> None:
        self._nlist = as_integer(nlist, "nlist", least=1, most=MOST_LISTS)
        self.nprobe = nprobe
        super().__init__(d, bits, metric, seed=seed)

    @classmethod
    def of_lists(
        cls, settings: Settings, model: ListModel | None, rows: Lists | None, nlist: int, nprobe: int
    ) -> IndexIVFLPLR:
        """An index of parts that belong together."""
        index = cls.__new__(cls)
        index._settings, index._model, index._nlist, index.nprobe = settings, model, nlist, nprobe  # noqa: SLF001
        index.reset()
        if rows is not None:
            index._rows = rows  # noqa: SLF001
        return index

    @property
    def nlist(self) -> int:
        """How many lists."""
        return self._nlist

    @property
    def nprobe(self) -> int:
        """Lists that a search looks at, where it does not say; all where there are fewer."""
        return self._nprobe

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        self._nprobe = as_integer(value, "nprobe", least=1)

    @property
    def model(self) -> ListModel:
        """What training learned; raises NotTrainedError before ``train``."""
        if not isinstance(self._model, ListModel):
            raise NotTrainedError("expected a trained index, got one that needs train(x) first")
        return self._model

    @property
    def rows(self) -> Lists:
        """The packed rows and their ids."""
        return self._lists

    def sa_code_size(self) -> int:
        """Bytes of a row, as ``sa_encode`` gives it: the number of its list, then its code."""
        return number_bytes(self.nlist) + self.code_size

    def __repr__(self) -> str:
        state = f"ntotal={self.ntotal}" if self.is_trained else "not trained"
        about = f"d={self.d}, bits={self.bits:g}, metric={self.metric!r}, nlist={self.nlist}, nprobe={self.nprobe}"
        return f"IndexIVFLPLR({about}, {state})"

    def reset(self) -> None:
        """Remove all rows; the training stays."""
        self._rows = Lists(self._model.form if self._model else Form(), self.nlist)

    def search(
        self,
        x: npt.ArrayLike,
        k: int,
        *,
        nprobe: int | None = None,
        filter: Any = None,
        margin: float | None = None,
        threads: int | None = None,
        params: Any = None,
    ) -> tuple[FloatMatrix, IdArray]:
        """The k nearest rows of each query among those of its lists.

        Parameters
        ----------
        x : array_like of shape (nq, d)
            Queries.
        k : int
            Neighbours wanted.
        nprobe : int, optional
            Lists to look at; the index's own where None.
        filter : array_like of shape (ntotal,), bool, or (n,), integer, or faiss.IDSelector, optional
            Rows that may be returned: a mask over rows in the order they were added, ids, or a selector of ids.
        margin : None
            What ``IndexLPLR`` knows; lists make searches short.
        threads : int, optional
            Threads to use, each for queries of its own; all where None. The result does not depend on it.
        params : faiss.SearchParametersIVF or faiss.SearchParameters, optional
            Its nprobe is used, and its selector as filter.

        Returns
        -------
        D : ndarray of shape (nq, k), float32
            Similarities, largest first, or squared distances, smallest first; padded with the float32 extreme.
        I : ndarray of shape (nq, k), int64
            Ids; -1 where there are fewer than k rows. Ties go to the lowest id.

        Raises
        ------
        InputError
            If an argument has another shape or range.
        NotTrainedError
            Before ``train``.
        """
        k, threads = as_integer(k, "k", least=1), as_threads(threads)
        _expect_no_margin(margin)
        model, nprobe = self.model, self._probes(nprobe, params)
        mask = row_mask(filter, params, self.rows.ids)
        found = [probing.search(self.rows, model, xq, k, nprobe, mask, threads) for xq in self._query_batches(x)]
        return joined([self._distances(keys) for keys, _ in found]), joined([ids for _, ids in found])

    def range_search(
        self,
        x: npt.ArrayLike,
        radius: float,
        *,
        nprobe: int | None = None,
        filter: Any = None,
        margin: float | None = None,
        threads: int | None = None,
        params: Any = None,
    ) -> tuple[IdArray, npt.NDArray[np.float32], IdArray]:
        """All rows of its lists more similar than ``radius``, or at a smaller squared distance, of each query.

        Arguments as for ``search``.

        Returns
        -------
        lims : ndarray of shape (nq + 1,), int64
            The results of query i are ``lims[i]:lims[i + 1]`` of D and I.
        D : ndarray of shape (lims[-1],), float32
            Similarities or squared distances.
        I : ndarray of shape (lims[-1],), int64
            Ids, in the order of the rows.

        Raises
        ------
        InputError
            If an argument has another shape or range.
        """
        radius, threads = as_number(radius, "radius"), as_threads(threads)
        _expect_no_margin(margin)
        model, nprobe = self.model, self._probes(nprobe, params)
        mask = row_mask(filter, params, self.rows.ids)
        key = radius if is_similarity(self.metric_type) else -radius
        parts = []
        for xq in self._query_batches(x):
            parts += probing.range_search(self.rows, model, xq, key, nprobe, mask, threads)
        return self._ranges(parts)

    def _probes(self, nprobe: int | None, params: Any) -> int:
        """How many lists to look at."""
        if nprobe is not None and hasattr(params, "nprobe"):
            raise InputError("expected nprobe or params that have one, got both")
        wanted = getattr(params, "nprobe", self.nprobe) if nprobe is None else nprobe
        return min(as_integer(wanted, "nprobe", least=1), self.nlist)

    def _learned(self, sample: FloatMatrix, queries: FloatMatrix | None) -> Model:
        """What training finds in a sample (n, d); centroids leave nothing that queries (nq, d) could weigh."""
        if queries is not None:
            raise InputError("expected no queries to train lists with, got some")
        settings = self.settings
        coarse = Coarse.train(sample, self.nlist, settings.metric, settings.seed)
        return training.train_lists(sample, settings, coarse)

    def _append(self, codes: ByteMatrix, ids: IdArray | None) -> None:
        """Add rows' bytes (n, sa_code_size) under ids (n,) of the user's own, or under the next ones where None."""
        append_rows(self.rows, self.model, codes, ids)

    @property
    def _lists(self) -> Lists:
        rows = self._rows
        if not isinstance(rows, Lists):
            raise InputError(f"expected rows in lists, got {type(rows).__name__}")
        return rows


def _expect_no_margin(margin: float | None) -> None:
    """Raise InputError if there is one."""
    if margin is not None:
        raise InputError(f"expected no margin for an index in lists, got {margin!r}")


def append_rows(held: Lists, model: ListModel, codes: ByteMatrix, ids: IdArray | None) -> None:
    """Add rows' bytes (n, number_bytes + code_size) under ids (n,) of one's own, or under the next ones where None.

    Raises
    ------
    InputError
        As ``Lists.append``, or if a list is not there; nothing is added then.
    """
    lists = model.lists_of(codes)
    starts = range(0, len(codes), _DECODED_ROWS)
    found = run([partial(model.reach, codes[at : at + _DECODED_ROWS]) for at in starts], available())
    held.append(codes, ids)
    for at, (far, norms) in zip(starts, found, strict=True):
        held.widen(lists[at : at + _DECODED_ROWS], far, norms)
