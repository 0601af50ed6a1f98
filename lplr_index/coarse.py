"""The coarse partition of an index in lists: centroids, the list a row goes into, the lists a query looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from lplr_index import kernels
from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray, as_half
from lplr_index.errors import InputError
from lplr_index.extras import require
from lplr_index.linalg import gram, single_threaded
from lplr_index.products import Product
from lplr_index.projection import round_to_bytes

MOST_LISTS = 1 << 24
_ROUNDS = 10  # of k-means, as many as faiss gives the coarse partition of an IVF
_MANY = 1024  # lists, from which a query first looks for them in fewer dimensions,
_SHARE = 3  # one in so many,
_MORE = 16  # and then at so many more than it wants

_Weights = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

if TYPE_CHECKING:
    from lplr_index.kernels.probe import Coarse as Form


@dataclass(frozen=True, eq=False)
class Coarse:
    """Centroids of lists.

    A row goes into the list of the nearest centroid, by distance. A query looks at the lists of the nearest ones, by
    its metric: under cosine those of least angle, which finds more than those of least distance.

    Attributes
    ----------
    centroids : ndarray of shape (nlist, d), float32
        The means of the training rows of each list.
    metric : str
        Of the queries: ``"cosine"``, ``"ip"`` or ``"l2"``.
    basis : ndarray of shape (d, m), float32, or None
        The directions of most energy of many centroids, rounded to float16: there the nearest are looked for first, and
        then among some more than are wanted by all directions. None where all centroids are compared at once.
    """

    centroids: FloatMatrix
    metric: str
    basis: FloatMatrix | None = None

    @classmethod
    def train(cls, x: FloatMatrix, nlist: int, metric: str, seed: int) -> Coarse:
        """Find ``nlist`` centroids of rows x (n, d) by faiss's k-means, on one thread: its sums depend on their number.

        Raises
        ------
        InputError
            If there are fewer rows than lists.
        MissingDependencyError
            If faiss is not installed; indexes that are trained do without it.
        """
        if len(x) < nlist:
            raise InputError(f"expected at least {nlist} rows to train {nlist} lists on, got {len(x)}")
        faiss = require("faiss", "ivf")
        with threadpool_limits(1):
            found = faiss.Kmeans(
                x.shape[1],
                nlist,
                niter=_ROUNDS,
                seed=1 + seed % (2**31 - 1),
                min_points_per_centroid=1,
                max_points_per_centroid=len(x),
            )
            found.train(np.ascontiguousarray(x))
        return cls.of_centroids(np.ascontiguousarray(found.centroids, np.float32), metric)

    @classmethod
    def of_centroids(cls, centroids: FloatMatrix, metric: str) -> Coarse:
        """Lists around centroids (nlist, d), with a basis if there are many."""
        nlist, d = centroids.shape
        if nlist < _MANY or d < _SHARE:
            return cls(centroids, metric)
        with single_threaded():
            _, vectors = np.linalg.eigh(gram(centroids))
        return cls(centroids, metric, as_half(np.ascontiguousarray(vectors[:, ::-1][:, : d // _SHARE])))

    @property
    def nlist(self) -> int:
        """How many lists."""
        return len(self.centroids)

    def check(self, d: int) -> None:
        """Raise InputError unless the centroids are finite and of ``d`` dimensions, for those that come from a file."""
        shape = self.centroids.shape
        if self.centroids.ndim != 2 or not 1 <= shape[0] <= MOST_LISTS or shape[1] != d:
            raise InputError(f"expected centroids of lists of {d} dimensions, got shape {shape}")
        if not np.isfinite(self.centroids).all():
            raise InputError("expected finite centroids of lists, got others")
        if self.basis is not None and (
            self.basis.ndim != 2
            or self.basis.shape[0] != d
            or not 1 <= self.basis.shape[1] <= d
            or not np.isfinite(self.basis).all()
        ):
            raise InputError(f"expected a finite basis of centroids of {d} dimensions, got {self.basis.shape}")

    def assign(self, x: FloatMatrix) -> IdArray:
        """The list (n,) of each row of x (n, d), the lowest of equally near ones; the same whatever rows come along."""
        return self._best(x, 1, "l2", np.empty((len(x), 0), np.float32))[:, 0]

    def probe(self, xq: FloatMatrix, nprobe: int) -> tuple[IdArray, FloatMatrix]:
        """The lists (nq, nprobe) that queries xq (nq, d) look at, best first, and the products (nq, nprobe) float32."""
        products = np.empty((len(xq), nprobe), np.float32)
        return self._best(xq, nprobe, self.metric, products), products

    def candidates(self, nprobe: int) -> int:
        """How many lists, found in fewer dimensions, are compared in all of them; 0 where all are."""
        candidates = nprobe + _MORE
        return 0 if self.basis is None or 2 * candidates > self.nlist else candidates

    def left(self, x: FloatMatrix) -> FloatMatrix:
        """What centroids leave of the rows x (n, d) that they are the means of, each row's own part in it taken out.

        A mean of few rows is nearer to them than to rows to come; without a row, the mean of the others is what a new
        row like it would find. A row alone in its list keeps the rest it has.
        """
        lists = self.assign(x)
        counts = np.bincount(lists, minlength=self.nlist)[lists].astype(np.float32)
        others = np.where(counts > 1, counts / np.maximum(counts - 1, 1), 1).astype(np.float32)
        rest: FloatMatrix = (x - self.centroids[lists]) * others[:, None]
        return rest

    def _best(self, x: FloatMatrix, most: int, metric: str, products: FloatMatrix) -> IdArray:
        """The lists (n, most) nearest to rows x (n, d), by a metric; their products go into (n, most) or (n, 0)."""
        lists = np.empty((len(x), most), np.int64)
        kernels.probe_kernel()(np.ascontiguousarray(x), self.forms[metric], self.candidates(most), lists, products)
        return lists

    @cached_property
    def forms(self) -> dict[str, Form]:
        """By metric, the centroids as kernels compare them with rows."""
        nlist, d = self.centroids.shape
        basis = np.zeros((d, 1), np.float32) if self.basis is None else self.basis
        turn, whole = Product(basis), Product(np.ascontiguousarray(self.centroids.T))
        turned = turn(self.centroids[: nlist if self.basis is not None else 0])
        codes, steps = round_to_bytes(turned)
        weights, of_short = _weights_of(self.centroids), _weights_of(turned)
        short = kernels.projection.byte_panels(codes)
        return {
            metric: kernels.probe.Coarse(
                centroids=self.centroids,
                whole=whole.form,
                weights=weights[metric],
                turn=turn.form,
                short=short,
                short_weights=(of_short[metric][0] * steps[:, 0], of_short[metric][1]),
            )
            for metric in weights
        }


def _weights_of(centroids: FloatMatrix) -> dict[str, _Weights]:
    """By metric, what makes products with centroids (nlist, d) tell which is nearest: factors and what is taken off."""
    squares: npt.NDArray[np.float64] = np.square(centroids, dtype=np.float64).sum(axis=1)
    ones, zeros = np.ones(len(centroids), np.float32), np.zeros(len(centroids), np.float32)
    inverse = np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)
    return {
        "cosine": (inverse.astype(np.float32), zeros),
        "ip": (ones, zeros),
        "l2": (ones, (squares / 2).astype(np.float32)),
    }


def number_bytes(nlist: int) -> int:
    """Bytes that the number of one of ``nlist`` lists takes."""
    return max(1, -(-(nlist - 1).bit_length() // 8))


def list_bytes(lists: IdArray, nlist: int) -> ByteMatrix:
    """Numbers of lists (n,) as bytes (n, number_bytes), low byte first."""
    wide = lists.astype("<u4").view(np.uint8).reshape(len(lists), 4)
    return np.ascontiguousarray(wide[:, : number_bytes(nlist)])


def list_numbers(given: ByteMatrix) -> IdArray:
    """Numbers of lists (n,) int64 of their bytes (n, number_bytes)."""
    wide = np.zeros((len(given), 4), np.uint8)
    wide[:, : given.shape[1]] = given
    return wide.view("<u4")[:, 0].astype(np.int64)
