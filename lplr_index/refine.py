"""``IndexRefineLPLR``: a second look at the best rows of an ``IndexLPLR``, as faiss's IndexRefine takes it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import (
    ByteMatrix,
    FloatMatrix,
    IdArray,
    as_array,
    as_codes,
    as_ids,
    as_integer,
    as_number,
    as_rows,
    row_chunks,
    warn_of_zeros,
)
from lplr_index.contract import Index
from lplr_index.errors import InputError, NotTrainedError
from lplr_index.filters import select
from lplr_index.index import IndexLPLR
from lplr_index.metric import is_similarity
from lplr_index.originals import Originals
from lplr_index.reranking import check_originals, refined_keys, refined_vectors
from lplr_index.residuals import Residuals
from lplr_index.rows import Rows
from lplr_index.settings import Settings
from lplr_index.threads import as_threads, run
from lplr_index.training import sample_rows

_ENCODED_ROWS = 1 << 13  # rows encoded by one task


class IndexRefineLPLR(Index):
    """Two stages: ``base_index`` finds k * k_factor candidates, of which the k best by better vectors are returned.

    Better vectors are either reconstructions that a second code refines, A ~ 1 mu^T + L R + Q, stored beside the rows
    of the base in ``refine_bits`` bits a coordinate; or the original vectors, in their file, at no bytes at all.

    Parameters
    ----------
    base_index : IndexLPLR
        The first stage, which belongs to this index from now on: add and remove rows here only.
        Empty for residuals; with originals it may hold rows.
    refine_bits : float, optional
        Bits per coordinate of the residual code, up to 8.
    originals : str, os.PathLike or array_like of shape (n, d), optional
        The original vectors: what ``open_vectors`` opens, or an array that stays where it is.
        **The id of a row is its row number in them.**
    key : str, optional
        Which matrix of a file of originals that holds several.
    k_factor : float
        Candidates per result wanted, at least 1. faiss starts from 1, where only the order of the results can improve.

    Attributes
    ----------
    base_index : IndexLPLR
        The first stage.
    refine : Residuals or Originals
        The second stage.
    d, ntotal, is_trained, metric_type, code_size, k_factor
        As faiss has them; ``code_size`` is the bytes of a row in both stages.

    Raises
    ------
    InputError
        If both or none of ``refine_bits`` and ``originals`` are given, one is out of range, or the rows that the base
        holds are not those of the originals.
    VectorFileError
        If the originals cannot be opened.
    """

    __slots__ = ("_k_factor", "base_index", "refine")

    def __init__(
        self,
        base_index: IndexLPLR,
        *,
        refine_bits: float | None = None,
        originals: Any = None,
        key: str | None = None,
        k_factor: float = 4.0,
    ) -> None:
        if not isinstance(base_index, IndexLPLR):
            raise InputError(f"expected an IndexLPLR as base_index, got {type(base_index).__name__}")
        if (refine_bits is None) == (originals is None):
            raise InputError(f"expected refine_bits or originals, got {'none' if originals is None else 'both'}")
        self.base_index, self.k_factor = base_index, k_factor
        self.refine: Residuals | Originals
        if refine_bits is not None:
            self.refine = Residuals.of_bits(base_index.d, refine_bits)
            _ = self._checked
            return
        self.refine = Originals(originals, key)
        if self.refine.d != base_index.d:
            raise InputError(f"expected {base_index.d} columns, as the base has, got {self.refine.d} in {self.refine}")
        check_originals(base_index, self.refine, base_index.rows.ids.all(), base_index.rows.codes_at)

    @classmethod
    def restored(cls, base_index: IndexLPLR, refine: Residuals | Originals, k_factor: float) -> IndexRefineLPLR:
        """An index of parts that belong together."""
        index = cls.__new__(cls)
        index.base_index, index.refine, index.k_factor = base_index, refine, k_factor
        return index

    @property
    def d(self) -> int:
        """Dimension of the vectors."""
        return self.base_index.d

    @property
    def ntotal(self) -> int:
        """Rows held."""
        return self.base_index.ntotal

    @property
    def is_trained(self) -> bool:
        """Whether rows can be added."""
        return self.base_index.is_trained and (isinstance(self.refine, Originals) or self.refine.model is not None)

    @property
    def metric(self) -> str:
        """``"cosine"``, ``"ip"`` or ``"l2"``."""
        return self.base_index.metric

    @property
    def code_size(self) -> int:
        """Bytes of a row in both stages."""
        return self.base_index.code_size + self.refine.code_size

    def sa_code_size(self) -> int:
        """Bytes of a row in both stages, as ``sa_encode`` gives it."""
        return self.base_index.sa_code_size() + self.refine.code_size

    @property
    def settings(self) -> Settings:
        """What the base index was asked to be."""
        return self.base_index.settings

    @property
    def rows(self) -> Rows:
        """The base index's packed rows and their ids."""
        return self.base_index.rows

    @property
    def k_factor(self) -> float:
        """Candidates per result wanted, where a search does not say."""
        return self._k_factor

    @k_factor.setter
    def k_factor(self, value: float) -> None:
        self._k_factor = _as_factor(value)

    def __repr__(self) -> str:
        return f"IndexRefineLPLR({self.base_index!r}, {self.refine!r}, k_factor={self.k_factor:g})"

    # Building

    def train(self, x: npt.ArrayLike) -> None:
        """Learn both codes from rows like those to be added.

        Parameters
        ----------
        x : array_like of shape (n, d)
            The sample; of more than 65,536 rows a seeded choice is used.

        Raises
        ------
        InputError
            If x is not such a matrix, or the index already holds rows.
        """
        sample = sample_rows(as_array(x), self.settings.seed)
        self.base_index.train(sample)
        if isinstance(self.refine, Residuals):
            rows, _ = as_rows(sample, self.d, cosine=self.metric == "cosine")
            model = self.base_index.model
            self.refine.train(rows, model.decode(model.encode(rows)), self.metric, self.settings.seed)

    def add(self, x: npt.ArrayLike, *, threads: int | None = None) -> None:
        """Add rows x (n, d); their ids count on from the largest so far.

        Raises
        ------
        InputError
            If x is not such a matrix, an id is wrong, given twice or already held, or x is not what the originals hold
            under these numbers; nothing is added then.
        """
        self._add(self.sa_encode(x, threads=threads), None)

    def add_with_ids(self, x: npt.ArrayLike, ids: npt.ArrayLike, *, threads: int | None = None) -> None:
        """Add rows x (n, d) under ids (n,) int64 of your own; with originals, their row numbers. Raises as ``add``."""
        codes = self.sa_encode(x, threads=threads)
        self._add(codes, as_ids(ids, len(codes)))

    def add_sa_codes(self, codes: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> None:
        """Add rows as ``sa_encode`` of an index with the same training gave them, (n, sa_code_size) uint8."""
        if not self.is_trained:
            raise NotTrainedError("expected a trained index, got one that needs train(x) first")
        rows = as_codes(codes, self.sa_code_size())
        self._add(rows, None if ids is None else as_ids(ids, len(rows)))

    def remove_ids(self, sel: Any) -> int:
        """Remove rows by ids, a mask over rows or a faiss.IDSelector; returns how many. The others keep their ids."""
        gone = select(sel, self.rows.ids)
        if gone.any():
            if isinstance(refine := self._checked, Residuals):
                refine.keep(~gone)
            self.base_index.remove_ids(gone)
        return int(gone.sum())

    def reset(self) -> None:
        """Remove all rows; the training stays."""
        self.base_index.reset()
        if isinstance(self.refine, Residuals):
            self.refine.reset()

    # Searching

    def search(
        self,
        x: npt.ArrayLike,
        k: int,
        *,
        k_factor: float | None = None,
        filter: Any = None,
        threads: int | None = None,
        params: Any = None,
    ) -> tuple[FloatMatrix, IdArray]:
        """The k best rows of each query by refined score, of the k * k_factor best by the base's.

        Parameters
        ----------
        x : array_like of shape (nq, d)
            Queries.
        k : int
            Neighbours wanted.
        k_factor : float, optional
            Candidates per neighbour, at least 1; the index's own where None.
        filter : array_like of shape (ntotal,), bool, or (n,), integer, or faiss.IDSelector, optional
            Rows that may be returned: a mask over rows, ids, or a selector of ids.
        threads : int, optional
            Threads to use; all where None. The result does not depend on it.
        params : faiss.IndexRefineSearchParameters or faiss.SearchParameters, optional
            Its k_factor is used, and its selector, or that of its base_index_params, as filter.

        Returns
        -------
        D : ndarray of shape (nq, k), float32
            Similarities, largest first, or squared distances, smallest first; padded with the float32 extreme.
        I : ndarray of shape (nq, k), int64
            Ids; -1 where there are fewer than k rows. Ties go to the lowest id.

        Raises
        ------
        InputError, NotTrainedError
            If an argument has another shape or range, or before ``train``.
        VectorFileError
            If the originals cannot be read.
        """
        k, threads = as_integer(k, "k", least=1), as_threads(threads)
        factor, inner = self._options(k_factor, params)
        depth = max(1, int(min(min(k, self.ntotal) * factor, self.ntotal)))
        xq = as_array(x)
        _, candidates = self.base_index.search(xq, depth, filter=filter, threads=threads, params=inner)
        there = candidates >= 0
        keys = np.full(candidates.shape, -np.inf, np.float32)
        keys[there] = refined_keys(self.base_index, self._checked, xq, np.nonzero(there)[0], candidates[there], threads)
        order = np.lexsort((candidates, -keys), axis=1)[:, :k]
        padding = ((0, 0), (0, k - order.shape[1]))
        D = np.pad(np.take_along_axis(keys, order, axis=1), padding, constant_values=-np.inf)
        I = np.pad(np.take_along_axis(candidates, order, axis=1), padding, constant_values=-1)
        return self._distances(D), I

    def range_search(
        self, x: npt.ArrayLike, radius: float, *, filter: Any = None, threads: int | None = None, params: Any = None
    ) -> tuple[IdArray, npt.NDArray[np.float32], IdArray]:
        """The rows that are within ``radius`` by the base and by refined score too, of each query.

        A row that the base places outside is not looked at: what is found is right, but not all that is there.

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
        _, inner = self._options(None, params)
        xq = as_array(x)
        lims, _, I = self.base_index.range_search(xq, radius, filter=filter, threads=threads, params=inner)
        which = np.repeat(np.arange(len(lims) - 1), np.diff(lims))
        D = self._distances(refined_keys(self.base_index, self._checked, xq, which, I, threads))
        sign = 1 if is_similarity(self.metric_type) else -1
        inside = sign * D.astype(np.float64) > sign * radius
        counts = np.bincount(which[inside], minlength=len(lims) - 1)
        return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]), D[inside], I[inside]

    # Rows back

    def reconstruct_n(self, n0: int = 0, ni: int = -1) -> FloatMatrix:
        """Vectors (ni, d) of ``ni`` rows from the ``n0``-th row held on; all the rest where ni is -1."""
        n0 = as_integer(n0, "n0", most=self.ntotal)
        ni = self.ntotal - n0 if ni == -1 else as_integer(ni, "ni", most=self.ntotal - n0)
        return self.reconstruct_batch(self.rows.ids.all()[n0 : n0 + ni])

    def reconstruct_batch(self, key: npt.ArrayLike) -> FloatMatrix:
        """Vectors (n, d) of rows by id (n,): refined reconstructions, or originals, of length one under cosine.

        Raises
        ------
        UnknownIdError
            If the index does not hold one of them.
        VectorFileError
            If the originals cannot be read.
        """
        _ = self.base_index.model
        return refined_vectors(self.base_index, self._checked, as_ids(key))

    def sa_encode(self, x: npt.ArrayLike, *, threads: int | None = None) -> ByteMatrix:
        """The bytes (n, sa_code_size) uint8 of rows x (n, d), of both stages one after the other; nothing is added."""
        model = self.base_index.model

        def encode(start: int, chunk: Any) -> tuple[ByteMatrix, IdArray]:
            rows, zeros = as_rows(chunk, self.d, cosine=self.metric == "cosine", first_row=start)
            codes = model.encode(rows)
            if isinstance(self.refine, Residuals):
                codes = np.concatenate([codes, self.refine.encode(rows, model.decode(codes))], axis=1)
            return codes, zeros

        tasks = [partial(encode, *chunk) for chunk in row_chunks(x, _ENCODED_ROWS)]
        parts = run(tasks, as_threads(threads))
        codes = np.concatenate([codes for codes, _ in parts])
        warn_of_zeros(np.concatenate([zeros for _, zeros in parts]), len(codes))
        return codes

    def sa_decode(self, codes: npt.ArrayLike) -> FloatMatrix:
        """Reconstructions (n, d) float32 of rows' bytes (n, sa_code_size) uint8."""
        model = self.base_index.model
        first, second = self._split(as_codes(codes, self.sa_code_size()))
        x_hat = model.decode(first)
        return self.refine.decode(second, x_hat) if isinstance(self.refine, Residuals) else x_hat

    def _add(self, codes: ByteMatrix, ids: IdArray | None) -> None:
        """Add rows of both stages' bytes (n, code_size), or nothing."""
        first, second = self._split(codes)
        refine = self._checked
        if isinstance(refine, Originals):
            numbers = self.rows.ids.fresh(len(codes)) if ids is None else ids
            check_originals(self.base_index, refine, numbers, first.__getitem__)
        self.base_index.add_sa_codes(first, ids)
        if isinstance(refine, Residuals):
            refine.append(second)

    def _split(self, codes: ByteMatrix) -> tuple[ByteMatrix, ByteMatrix]:
        """The bytes of the first and of the second stage, (n, either code_size)."""
        size = self.base_index.sa_code_size()
        return np.ascontiguousarray(codes[:, :size]), np.ascontiguousarray(codes[:, size:])

    @property
    def _checked(self) -> Residuals | Originals:
        """The second stage; raises InputError unless every row of the base has a residual, and no other."""
        if isinstance(self.refine, Residuals) and (n := self.refine.store.ntotal) != self.ntotal:
            raise InputError(
                f"expected residuals of all {self.ntotal} rows of base_index, got {n}: rows go in here only"
            )
        return self.refine

    def _options(self, k_factor: float | None, params: Any) -> tuple[float, Any]:
        """The k_factor and the base's parameters that were asked for."""
        if not hasattr(params, "k_factor"):
            return self.k_factor if k_factor is None else _as_factor(k_factor), params
        if k_factor is not None:
            raise InputError("expected k_factor or params that have one, got both")
        inside = getattr(params.base_index_params, "sel", None) is not None
        return _as_factor(params.k_factor), params.base_index_params if inside else params


AnyIndex = IndexLPLR | IndexRefineLPLR


def _as_factor(value: Any) -> float:
    """Return ``value`` as a float of at least 1; raise InputError if it is none."""
    factor = as_number(value, "k_factor")
    if factor < 1:
        raise InputError(f"expected k_factor to be at least 1, got {factor:g}")
    return factor
