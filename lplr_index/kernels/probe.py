"""Which lists a query looks at: products with their centroids, of all of them or first in fewer dimensions.

numba's cache does not see edits of the files that this one uses: ``STAMP`` takes them there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from lplr_index.kernels import linear, projection, topk
from lplr_index.kernels.linear import multiply, some_products
from lplr_index.kernels.projection import multiply_bytes, round_to_bytes
from lplr_index.kernels.topk import best_of

TOGETHER = 64  # rows whose products with all centroids are in the cache at a time
_SOURCES = [Path(str(module.__file__)) for module in (linear, projection, topk)]
STAMP = int.from_bytes(hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).digest()[:7], "little")


class Coarse(NamedTuple):
    """Centroids as they are compared with queries under one metric."""

    centroids: Any  # (nlist, d) float32
    whole: Any  # the product with all of them, as ``Product.form`` has it,
    weights: Any  # and (nlist,) float32 twice: what that is multiplied by, and what is taken off then
    turn: Any  # the product with a basis of fewer dimensions
    short: Any  # the centroids there, rounded to bytes, as ``byte_panels`` has them
    short_weights: Any  # and (nlist,) float32 twice


@njit(nogil=True)
def nearest(x: Any, coarse: Coarse, candidates: int, lists: Any, products: Any) -> None:
    """Write the nearest lists of rows x (n, d) to ``lists`` (n, nprobe) int64, and products with their centroids.

    All centroids are compared; or, if there are ``candidates``, in fewer dimensions, and so many then in all of them.
    The nearest have the largest products, times the first and less the second of the weights. ``products`` (n, nprobe)
    float32 may have no columns. A row's lists and products are the same whatever rows come along.
    """
    turn, whole, centroids = coarse.turn, coarse.whole, coarse.centroids
    room, nothing = min(x.shape[0], TOGETHER), np.empty((0, 0), np.int64)
    turned, codes, steps = np.empty((room, turn[3]), np.float32), np.empty((room, turn[3]), np.int8), np.empty(room)
    scores = np.empty((0 if candidates else room, centroids.shape[0]), np.float32)
    sums, ones = np.empty((room if candidates else 0, centroids.shape[0]), np.int32), np.ones(room)
    chosen, found = np.empty((room, candidates), np.int64), np.empty((room, candidates), np.float32)
    for first in range(0, x.shape[0], TOGETHER):
        last = min(first + TOGETHER, x.shape[0])
        n, some, best = last - first, x[first:last], lists[first:last]
        if candidates == 0:
            multiply(some, whole[0], whole[1], whole[2], whole[3], scores[:n])
            best_of(scores[:n], ones, coarse.weights[0], coarse.weights[1], nothing, best)
            continue
        multiply(some, turn[0], turn[1], turn[2], turn[3], turned[:n])
        round_to_bytes(turned[:n], codes[:n], steps[:n])
        multiply_bytes(codes[:n], coarse.short, sums[:n])
        best_of(sums[:n], steps, coarse.short_weights[0], coarse.short_weights[1], nothing, chosen[:n])
        some_products(some, centroids, chosen[:n], found[:n])
        best_of(found[:n], ones, coarse.weights[0], coarse.weights[1], chosen[:n], best)
    if products.shape[1]:
        some_products(x, centroids, lists, products)


def make_probe() -> Any:
    """``nearest`` by itself, for rows that are to go into lists; the stamp reaches numba's cache key."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def probe(x: Any, coarse: Coarse, candidates: int, lists: Any, products: Any) -> None:
        _ = stamp
        nearest(x, coarse, candidates, lists, products)

    return probe
