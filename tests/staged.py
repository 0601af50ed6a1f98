"""A small codec of nibbles and stages, made of random tables: what models and the scan promise to any codec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lplr_index.codecs.base import Shares, query_tables
from lplr_index.products import Product


@dataclass(frozen=True, eq=False)
class StagedCodec:
    """l is the sum of an entry of each nibble's book and a centroid of each stage.

    ``book`` (nibbles, 16, m) and ``centroids`` (stages, 256, m), float32; a nibble whose entries are zeros is free.
    """

    book: np.ndarray
    centroids: np.ndarray

    @classmethod
    def of(cls, y, nibbles, stages, *, spare, seed=0):
        """Make one of rows and what greedy choices leave of them; books get smaller as residuals do."""
        rng = np.random.default_rng(seed)
        rest, centroids, book = y.copy(), [], []
        for _ in range(stages):
            centroids.append(rest[rng.choice(len(rest), 256, replace=False)])
            rest = rest - centroids[-1][nearest(rest, centroids[-1])]
        for c in range(nibbles):
            free = spare and c == nibbles - 1
            book.append(np.zeros((16, y.shape[1]), "f4") if free else rest[rng.choice(len(rest), 16, replace=False)])
            book[-1] *= np.float32(0.5)
            rest = rest - book[-1][nearest(rest, book[-1])]
        centroids = np.array(centroids, np.float32).reshape(stages, 256, y.shape[1])
        return cls(np.array(book), centroids)

    @property
    def m(self):
        return self.book.shape[2]

    @property
    def column_bits(self):
        return np.full(self.m, 4 * self.nibbles / self.m)

    @property
    def nibbles(self):
        return len(self.book)

    @property
    def stages(self):
        return len(self.centroids)

    def uses(self, nibble):
        return self.book[nibble].any()

    def freed(self, nibble):
        return replace(self, book=np.insert(self.book[:-1], nibble, 0, axis=0))

    @property
    def shifts(self):
        return np.repeat(np.array([2, 1, 0], "u1"), [1, 1, max(0, -(-self.nibbles // 8) - 2)])[: -(-self.nibbles // 8)]

    @property
    def split_fields(self):
        return np.empty((0, 5), np.int32)

    @property
    def split_levels(self):
        return np.empty((0, 256), np.float32)

    @property
    def arrays(self):
        return {"book": self.book, "centroids": self.centroids}

    def encode(self, y):
        rest, words, nibbles = y.copy(), [], []
        for table, chosen in [(c, words) for c in self.centroids] + [(b, nibbles) for b in self.book]:
            chosen.append(nearest(rest, table))
            rest = rest - table[chosen[-1]]
        pairs = np.array(nibbles, np.uint8).reshape(self.nibbles, len(y)).T
        words = np.array(words, np.uint8).reshape(self.stages, len(y)).T
        return np.ascontiguousarray(np.concatenate([pairs[:, ::2] | (pairs[:, 1::2] << 4), words], axis=1))

    def decode(self, codes):
        half = self.nibbles // 2
        parts = [self.book[c][(codes[:, c // 2] >> (4 * (c % 2))) & 15] for c in range(self.nibbles)]
        parts += [self.centroids[s][codes[:, half + s]] for s in range(self.stages)]
        return np.sum(parts, axis=0, dtype=np.float32)

    @property
    def parts(self):
        nibbles, columns = (each.reshape(-1) for each in np.indices((self.nibbles, self.m)))
        entries = np.ascontiguousarray(self.book.transpose(0, 2, 1), np.float32).reshape(-1, 16)
        return Shares(nibbles, columns, entries, entries, entries, columns[:0]).parts(self.nibbles, self.shifts)

    def centroid_products(self, y):
        return self._product(y).reshape(len(y), self.stages, 256)

    @property
    def centroid_form(self):
        return self._product.form if self.stages else None

    @cached_property
    def _product(self):
        return Product(np.ascontiguousarray(self.centroids.reshape(-1, self.m).T))

    def query_tables(self, y):
        return query_tables(y, self.centroid_products(y), self.nibbles, self.parts)

    def check(self):
        pass


def nearest(y, table):
    """Return the nearest of the rows of a table (words, m), the first of equal ones, for rows y (n, m)."""
    return (np.square(table).sum(axis=1) - 2 * y @ table.T).argmin(axis=1)
