"""Rows that lie in the order of their numbers: vectors, before training, or codes."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index import asking, scanning
from lplr_index.arrays import FloatMatrix, IdArray, as_rows
from lplr_index.blocks import Blocks, BlockStore
from lplr_index.ids import IdMap
from lplr_index.model import Model
from lplr_index.rows import Rows
from lplr_index.scanning import Filter
from lplr_index.store.arrangement import (
    Arranged,
    Arrangement,
    Asked,
    Growing,
    Merge,
    Scored,
    Section,
    Woven,
    grown,
    numbered,
)
from lplr_index.store.keys import Numbers
from lplr_index.store.living import bits
from lplr_index.threads import run

_PAIRS = 1 << 16  # of a query and a vector, scored by a task


def _data(rows: Arranged, some: IdArray) -> npt.NDArray[Any]:
    return rows.data(some)


# Vectors


class Vectors(Arrangement["VectorRows"]):
    """Float32 rows of d dimensions as they came, compared exactly; ``squared`` where by squared distance."""

    digest, version, dtype, dtypes = None, 3, "<f4", {"vectors": "<f4"}

    def __init__(self, d: int, *, cosine: bool, squared: bool) -> None:
        self.width, self._cosine, self._squared = d, cosine, squared

    def shapes(self, n: int) -> dict[str, tuple[int, ...]]:
        """The shape (n, d) of rows."""
        return {"vectors": (n, self.width)}

    def read(self, arrays: dict[str, npt.NDArray[Any]], n: int, *, whole: bool) -> VectorRows:  # noqa: ARG002
        """As ``Arrangement.read``, of arrays such as (n, d)."""
        return VectorRows(arrays["vectors"], cosine=self._cosine)

    def growing(self) -> Growing:
        """No rows yet."""
        return _GrowingVectors(self.width, cosine=self._cosine)

    def sections(self, data: npt.NDArray[Any]) -> list[Section]:
        """The section of rows (n, d)."""
        return [self.section("vectors", len(data), [data])]

    def merged(self, merge: Merge[VectorRows]) -> list[Section]:
        """The section of the rows of a merge."""
        return [self.section("vectors", merge.n, merge.pieces(_data))]

    def asked(self, xq: FloatMatrix, nprobe: int, threads: int) -> Asked[VectorRows]:  # noqa: ARG002
        """Queries xq (nq, d) as they are."""
        return _AskedExactly(xq, squared=self._squared)


class VectorRows(Arranged):
    """Vectors (n, d) float32, and as a search compares them, where that is known already."""

    def __init__(self, vectors: FloatMatrix, door: FloatMatrix | None = None, *, cosine: bool) -> None:
        self.n, self._vectors, self._cosine = len(vectors), vectors, cosine
        if door is not None:
            self.door = door

    @cached_property
    def door(self) -> FloatMatrix:
        """The vectors (n, d) as a search compares them, of length one under cosine; in memory once they are asked for.

        Raises
        ------
        InputError
            If they are no vectors, which ``verify`` would have found.
        """
        d = self._vectors.shape[1]
        return np.array(as_rows(self._vectors, d, cosine=self._cosine, name="rows of a segment")[0])

    def data(self, rows: IdArray) -> npt.NDArray[Any]:
        """The vectors (size, d) of rows (size,), as they came."""
        return self._vectors[rows]

    def vectors(self, rows: IdArray) -> FloatMatrix:
        """The vectors (size, d) of rows (size,), as they are compared."""
        return self.door[rows]


class _GrowingVectors(Growing):
    def __init__(self, d: int, *, cosine: bool) -> None:
        self._n, self._cosine = 0, cosine
        self._vectors = self._door = np.empty((0, d), np.float32)

    def append(self, data: npt.NDArray[Any]) -> None:
        start, stop = self._n, self._n + len(data)
        self._vectors = grown(self._vectors, stop)
        self._vectors[start:stop] = data
        if self._cosine:
            self._door = grown(self._door, stop)
            self._door[start:stop] = as_rows(data, data.shape[1], cosine=True)[0]
        self._n = stop

    def view(self, numbers: IdArray) -> Arranged:
        n = len(numbers)
        return VectorRows(self._vectors[:n], self._door[:n] if self._cosine else self._vectors[:n], cosine=self._cosine)

    def data(self, rows: IdArray) -> npt.NDArray[Any]:
        return self._vectors[rows]


class _AskedExactly(Asked[VectorRows]):
    def __init__(self, xq: FloatMatrix, *, squared: bool) -> None:
        self._xq, self._squared = xq, squared

    def best(
        self,
        rows: VectorRows,
        numbers: Numbers,
        k: int,
        allowed: Filter,
        threads: int,
        worst: npt.NDArray[np.float32],  # noqa: ARG002 - all keys are there anyway
    ) -> tuple[FloatMatrix, IdArray]:
        keys, those = self._keys(rows, allowed, threads)
        best, found = np.full((len(self._xq), k), -np.inf, np.float32), np.full((len(self._xq), k), -1)
        for query, all_keys in enumerate(keys):
            last = max(len(those) - k, 0)
            near = np.flatnonzero(all_keys >= np.partition(all_keys, last)[last])
            mine = numbers.of(those[near])
            order = np.lexsort((mine, -all_keys[near]))[:k]
            best[query, : len(order)], found[query, : len(order)] = all_keys[near[order]], mine[order]
        return best, found

    def above(self, rows: VectorRows, numbers: Numbers, radius: float, allowed: Filter, threads: int) -> list[Scored]:
        keys, those = self._keys(rows, allowed, threads)
        return [(each[each > radius], numbers.of(those[each > radius])) for each in keys]

    def _keys(self, rows: VectorRows, allowed: Filter, threads: int) -> tuple[FloatMatrix, IdArray]:
        """The key (nq, n) of each query with each row that is allowed, and these rows, (n,)."""
        from lplr_index.kernels import pairs as kernel

        xq, vectors, those = self._xq, rows.door, np.flatnonzero(bits(allowed, 0, rows.n))
        keys = np.empty((len(xq), len(those)), np.float32)

        def rank(query: int, start: int) -> None:
            some = those[start : start + _PAIRS]
            which = np.full(len(some), query)
            kernel.keys_of_pairs(xq, vectors, which, some, self._squared, keys[query, start : start + _PAIRS])

        run([partial(rank, q, start) for q in range(len(xq)) for start in range(0, len(those), _PAIRS)], threads)
        return keys, those


# Codes


class Flat(Arrangement["FlatRows"]):
    """Codes of a model, of which every search looks at all."""

    dtype, dtypes = "|u1", {"blocks": "|u1", "tails": "|u1"}

    def __init__(self, model: Model) -> None:
        self.model, self.width, self.digest = model, model.code_size, model.digest
        self.dtypes = dict.fromkeys(model.form.shapes(0), "|u1")
        self.version = 3 if model.head is None else 5

    def shapes(self, n: int) -> dict[str, tuple[int, ...]]:
        """The shapes (blocks, bytes) of n rows."""
        return {**self.model.form.shapes(n)}

    def read(self, arrays: dict[str, npt.NDArray[Any]], n: int, *, whole: bool) -> FlatRows:  # noqa: ARG002
        """As ``Arrangement.read``, of arrays such as (n, d)."""
        return FlatRows(self.model, BlockStore.of_blocks(Blocks.of_sections(arrays), n, self.model.form))

    def growing(self) -> Growing:
        """No rows yet."""
        return _GrowingFlat(self.model)

    def sections(self, data: npt.NDArray[Any]) -> list[Section]:
        """The sections of codes (n, code_size)."""
        return [self.section(name, len(data), Woven([data], self.model.form, name)) for name in self.dtypes]

    def merged(self, merge: Merge[FlatRows]) -> list[Section]:
        """The sections of the rows of a merge."""
        codes, form = merge.pieces(_data), self.model.form
        return [self.section(name, merge.n, Woven(codes, form, name)) for name in self.dtypes]

    def asked(self, xq: FloatMatrix, nprobe: int, threads: int) -> Asked[FlatRows]:  # noqa: ARG002
        """Queries xq (nq, d): projection, y = R q, and its tables."""
        return _AskedAll(self.model, scanning.prepare(self.model, xq, threads))


class FlatRows(Arranged):
    """Codes in a store of blocks, by row; a scan tells ``numbers`` (n,) where these are given, and else rows."""

    def __init__(self, model: Model, store: BlockStore, numbers: IdArray | None = None) -> None:
        self.n, self._model, self.codes = store.ntotal, model, Rows(store, IdMap(store.ntotal, numbers))

    def data(self, rows: IdArray) -> npt.NDArray[Any]:
        """The codes (size, code_size) of rows (size,)."""
        return self.codes.store.rows(rows)

    def vectors(self, rows: IdArray) -> FloatMatrix:
        """The reconstructions (size, d) of rows (size,)."""
        return self._model.decode(self.data(rows))


class _GrowingFlat(Growing):
    def __init__(self, model: Model) -> None:
        self._model, self._store = model, BlockStore(model.form)

    def append(self, data: npt.NDArray[Any]) -> None:
        self._store.append(np.ascontiguousarray(data))

    def view(self, numbers: IdArray) -> Arranged:
        return FlatRows(self._model, self._store.view(), numbers)

    def data(self, rows: IdArray) -> npt.NDArray[Any]:
        return self._store.rows(rows)


class _AskedAll(Asked[FlatRows]):
    def __init__(self, model: Model, prepared: list[asking.Asked]) -> None:
        self._model, self._prepared = model, prepared

    def best(
        self,
        rows: FlatRows,
        numbers: Numbers,
        k: int,
        allowed: Filter,
        threads: int,
        worst: npt.NDArray[np.float32],  # noqa: ARG002
    ) -> tuple[FloatMatrix, IdArray]:
        keys, found = scanning.search(rows.codes, self._model, self._prepared, k, allowed, threads)
        return keys, found if len(rows.codes.ids.stored) else numbered(numbers, found)

    def above(self, rows: FlatRows, numbers: Numbers, radius: float, allowed: Filter, threads: int) -> list[Scored]:
        found = scanning.range_search(rows.codes, self._model, self._prepared, radius, allowed, threads)
        return found if len(rows.codes.ids.stored) else [(keys, numbered(numbers, those)) for keys, those in found]
