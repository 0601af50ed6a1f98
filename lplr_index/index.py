"""``IndexLPLR``: an index with faiss's contract over rows of a few bits a coordinate."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index import scanning, training
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
    joined,
    row_chunks,
    warn_of_zeros,
)
from lplr_index.blocks import Form
from lplr_index.contract import Index
from lplr_index.errors import InputError, NotTrainedError
from lplr_index.filters import row_mask, select
from lplr_index.metric import is_similarity, parse_metric
from lplr_index.model import Model
from lplr_index.rows import Rows
from lplr_index.settings import Settings
from lplr_index.threads import as_threads, run

_ENCODED_ROWS = 1 << 10  # rows encoded by one task: what it has in memory at a time stays in caches
_QUERIES = 1 << 10  # queries prepared at a time: some 25 kB of tables each


class IndexLPLR(Index):
    """Nearest neighbours over packed rows: A ~ 1 mu^T + L R, with L in a few bits a coordinate.

    Parameters
    ----------
    d : int
        Dimension of the vectors.
    bits : float
        Bits per coordinate a row may cost, everything that grows with the rows included: floor(bits * d / 8) bytes.
        Up to 8; below 8 dimensions up to what eight bytes a row are.
    metric : {"cosine", "ip", "l2"} or int
        Similarity; faiss's METRIC_INNER_PRODUCT and METRIC_L2 are understood. Cosine normalises rows and queries.
    method : {"auto", "lplr", "lsvd", "dsvd", "nq"}
        How rows are coded; ``auto`` ranks best, the others are the paper's.
    rank : int, optional
        Columns of L for the paper's methods; from ``bits`` where None.
    nbits : int, optional
        Bits per entry of L for the paper's methods, 1 to 8; 4 (8 above 4 bits per coordinate) where None.
    nbits_R : int
        Bits per entry of R for the paper's methods.
    seed : int
        Same seed and data, same index, byte for byte.

    Attributes
    ----------
    d, ntotal, is_trained, metric_type, code_size
        As faiss has them.

    Raises
    ------
    InputError
        If an argument is out of range, or the budget leaves no room for codes.

    Notes
    -----
    Searches rank exactly by the reconstruction of the rows, ties by lowest id: results do not depend on threads,
    batches or instruction sets. Under cosine a vector of length zero scores zero with everything (a row of the paper's
    methods, which have no gain: what its code is worth), and a warning names it.
    Ids count up from zero and cost nothing; ids of your own, or removing rows, cost eight bytes a row besides ``bits``.
    """

    __slots__ = ("_model", "_rows", "_settings")

    def __init__(
        self,
        d: int,
        bits: float = 1.0,
        metric: str | int = "cosine",
        method: str = "auto",
        *,
        rank: int | None = None,
        nbits: int | None = None,
        nbits_R: int = 8,
        seed: int = 0,
    ) -> None:
        self._settings = Settings.of(d, bits, parse_metric(metric), method, rank, nbits, nbits_R, seed)
        self._model: Model | None = None
        self.reset()

    @property
    def d(self) -> int:
        """Dimension of the vectors."""
        return self._settings.d

    @property
    def ntotal(self) -> int:
        """Rows held."""
        return len(self._rows)

    @property
    def is_trained(self) -> bool:
        """Whether rows can be added."""
        return self._model is not None

    @property
    def metric(self) -> str:
        """``"cosine"``, ``"ip"`` or ``"l2"``."""
        return self._settings.metric

    @property
    def method(self) -> str:
        """How rows are coded."""
        return self._settings.method

    @property
    def code_size(self) -> int:
        """Bytes of a row."""
        return self._settings.code_size

    @property
    def model(self) -> Model:
        """What training learned; raises NotTrainedError before ``train``."""
        if self._model is None:
            raise NotTrainedError("expected a trained index, got one that needs train(x) first")
        return self._model

    def __repr__(self) -> str:
        state = f"ntotal={self.ntotal}" if self.is_trained else "not trained"
        return f"IndexLPLR(d={self.d}, bits={self.bits:g}, metric={self.metric!r}, method={self.method!r}, {state})"

    # Building

    def train(self, x: npt.ArrayLike, queries: npt.ArrayLike | None = None) -> None:
        """Learn mu, R and the code from rows like those to be added.

        Parameters
        ----------
        x : array_like of shape (n, d)
            The sample; of more than 65,536 rows a seeded choice is used.
        queries : array_like of shape (nq, d), optional
            Queries like those to come, for ``auto``, where they are not like the rows: a caption among images, a
            question among answers. Errors are weighed by their second moment (CALDERA's calibration, Saha et al. 2024),
            as far as it finds more neighbours of such queries that were held out. Some hundred will do; of more
            than 65,536 a seeded choice is used.

        Raises
        ------
        InputError
            If x or queries is not such a matrix, there are fewer than two queries, queries are given to a method
            that does not know them, or the index already holds rows.
        """
        if self.ntotal:
            raise InputError(
                f"expected an empty index to train, got one that holds {self.ntotal} rows; reset() it first"
            )
        sample, zeros = self._door(training.sample_rows(as_array(x), self._settings.seed))
        del x  # as large as the sample, where nobody else holds it
        warn_of_zeros(zeros, len(sample))
        asked = None if queries is None else training.sample_queries(queries, self._settings)
        self._model = self._learned(sample, asked)
        self.reset()

    def add(self, x: npt.ArrayLike, *, threads: int | None = None) -> None:
        """Add rows x (n, d); their ids count on from the largest so far."""
        self._append(self.sa_encode(x, threads=threads), None)

    def add_with_ids(self, x: npt.ArrayLike, ids: npt.ArrayLike, *, threads: int | None = None) -> None:
        """Add rows x (n, d) under ids (n,) int64 of your own.

        Raises
        ------
        InputError
            If an id is negative, given twice or already held; nothing is added then.
        """
        codes = self.sa_encode(x, threads=threads)
        self._append(codes, as_ids(ids, len(codes)))

    def add_sa_codes(self, codes: npt.ArrayLike, ids: npt.ArrayLike | None = None) -> None:
        """Add rows as ``sa_encode`` of an index with the same training gave them, (n, sa_code_size) uint8."""
        _ = self.model
        rows = as_codes(codes, self.sa_code_size())
        self._append(rows, None if ids is None else as_ids(ids, len(rows)))

    def merge_from(self, other: IndexLPLR, add_id: int = 0) -> None:
        """Move the rows of ``other`` here; it is empty afterwards.

        Rows that counted their ids from zero count on here, as in faiss; ids of one's own keep their value plus add_id.

        Raises
        ------
        InputError
            If the two were not trained alike, or an id is held by both.
        """
        if type(other) is not type(self) or other is self:
            raise InputError(f"expected another {type(self).__name__} to merge, got {other!r}")
        if other.model.digest != self.model.digest:
            raise InputError("expected an index with the same training, got one whose codes mean something else")
        numbers = other.rows.ids.stored + as_integer(add_id, "add_id", least=-(2**62), most=2**62)
        self._append(other.rows.codes(0, len(other)), numbers if len(numbers) else None)
        other.reset()

    def remove_ids(self, sel: Any) -> int:
        """Remove rows by ids, a mask over rows or a faiss.IDSelector; returns how many. The others keep their ids."""
        gone = select(sel, self._rows.ids)
        if gone.any():
            self._rows.keep(~gone)
        return int(gone.sum())

    def reset(self) -> None:
        """Remove all rows; the training stays."""
        self._rows = Rows.none(self._model.form if self._model else Form())

    # Searching

    def search(
        self,
        x: npt.ArrayLike,
        k: int,
        *,
        filter: Any = None,
        margin: float | None = None,
        threads: int | None = None,
        params: Any = None,
    ) -> tuple[FloatMatrix, IdArray]:
        """The k nearest rows of each query.

        Parameters
        ----------
        x : array_like of shape (nq, d)
            Queries.
        k : int
            Neighbours wanted.
        filter : array_like of shape (ntotal,), bool, or (n,), integer, or faiss.IDSelector, optional
            Rows that may be returned: a mask over rows, ids, or a selector of ids.
        margin : float, optional
            Look at the whole code of those rows alone whose head promises enough: which would be among the k best if
            the rest added what it adds on average and so many standard deviations more. With 5, one neighbour in ten
            thousand is missed, and rows of 192 bytes take two thirds of the time. All rows are ranked where None.
        threads : int, optional
            Threads to use; all where None. The result does not depend on it.
        params : faiss.SearchParameters, optional
            Its selector is used as filter.

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
        margin = None if margin is None else as_number(margin, "margin", least=0)
        allowed = self._allowed(filter, params)
        D, I = [], []
        for xq in self._query_batches(x):  # 1. the door
            asked = scanning.prepare(self.model, xq, threads)  # 2. projection: y = R q, and its tables
            keys, ids = scanning.search(  # 3. scan, 4. top-k
                self._rows, self.model, asked, k, allowed, threads, margin
            )
            D.append(self._distances(keys))
            I.append(ids)
        return joined(D), joined(I)

    def range_search(
        self,
        x: npt.ArrayLike,
        radius: float,
        *,
        filter: Any = None,
        margin: float | None = None,
        threads: int | None = None,
        params: Any = None,
    ) -> tuple[IdArray, npt.NDArray[np.float32], IdArray]:
        """All rows more similar than ``radius``, or at a smaller squared distance, of each query.

        Arguments as for ``search``; with a ``margin``, rows are looked at whose head promises as much as ``radius``.

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
        margin = None if margin is None else as_number(margin, "margin", least=0)
        allowed = self._allowed(filter, params)
        key = radius if is_similarity(self.metric_type) else -radius
        parts = []
        for xq in self._query_batches(x):
            asked = scanning.prepare(self.model, xq, threads)
            parts += scanning.range_search(self._rows, self.model, asked, key, allowed, threads, margin)
        return self._ranges(parts)

    # Rows back

    def reconstruct_n(self, n0: int = 0, ni: int = -1) -> FloatMatrix:
        """Reconstructions (ni, d) of ``ni`` rows from the ``n0``-th row held on; all the rest where ni is -1."""
        n0 = as_integer(n0, "n0", most=self.ntotal)
        ni = self.ntotal - n0 if ni == -1 else as_integer(ni, "ni", most=self.ntotal - n0)
        return self.sa_decode(self._rows.codes(n0, ni))

    def reconstruct_batch(self, key: npt.ArrayLike) -> FloatMatrix:
        """Reconstructions (n, d) of rows by id (n,).

        Raises
        ------
        UnknownIdError
            If the index does not hold one of them.
        """
        model = self.model
        return model.decode(self._rows.codes_of(as_ids(key)))

    def sa_encode(self, x: npt.ArrayLike, *, threads: int | None = None) -> ByteMatrix:
        """The bytes (n, sa_code_size) uint8 of rows x (n, d); nothing is added."""
        model = self.model

        def encode(start: int, chunk: Any) -> tuple[ByteMatrix, IdArray]:
            rows, zeros = self._door(chunk, start)
            return model.encode(rows), zeros

        tasks = [partial(encode, *chunk) for chunk in row_chunks(x, _ENCODED_ROWS)]
        parts = run(tasks, as_threads(threads))
        codes = np.concatenate([codes for codes, _ in parts])
        warn_of_zeros(np.concatenate([zeros for _, zeros in parts]), len(codes))
        return codes

    def sa_decode(self, codes: npt.ArrayLike) -> FloatMatrix:
        """Reconstructions (n, d) float32 of rows' bytes (n, sa_code_size) uint8."""
        model = self.model
        return model.decode(as_codes(codes, self.sa_code_size()))

    @classmethod
    def restored(cls, settings: Settings, model: Model | None, rows: Rows | None) -> IndexLPLR:
        """An index of parts that belong together; rows (ntotal, code_size) and ids are taken as they are."""
        index = cls.__new__(cls)
        index._settings, index._model = settings, model  # noqa: SLF001 - a constructor
        index.reset()
        if rows is not None:
            index._rows = rows  # noqa: SLF001
        return index

    @property
    def settings(self) -> Settings:
        """What the index was asked to be."""
        return self._settings

    @property
    def rows(self) -> Rows:
        """The packed rows and their ids."""
        return self._rows

    def _learned(self, sample: FloatMatrix, queries: FloatMatrix | None) -> Model:
        """What training finds in a sample (n, d), and queries (nq, d) or None."""
        return training.train(sample, self._settings, queries)

    def _append(self, codes: ByteMatrix, ids: IdArray | None) -> None:
        """Add rows' bytes (n, sa_code_size) under ids (n,) of the user's own, or under the next ones where None."""
        self._rows.append(codes, ids)

    def _door(self, x: Any, first_row: int = 0) -> tuple[FloatMatrix, IdArray]:
        return as_rows(x, self.d, cosine=self.metric == "cosine", first_row=first_row)

    def _query_batches(self, x: npt.ArrayLike) -> Iterator[FloatMatrix]:
        zeros, n = [], 0
        for start, chunk in row_chunks(x, _QUERIES):
            rows, more = self._door(chunk, start)
            zeros.append(more)
            n += len(rows)
            yield rows
        warn_of_zeros(joined(zeros), n)

    def _allowed(self, filter: Any, params: Any) -> scanning.Filter:
        mask = row_mask(filter, params, self._rows.ids)
        return scanning.no_filter() if mask is None else scanning.pack_filter(mask)
