"""Which lists a query looks at: products with their centroids, of all of them or first in fewer dimensions.

numba's cache does not see edits of the files that this one uses: ``STAMP`` takes them there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from lplr_index.kernels import linear, projection, topk
from lplr_index.kernels.linear import multiply, some_products
from lplr_index.kernels.projection import multiply_bytes, round_to_bytes
from lplr_index.kernels.topk import best_of

TOGETHER = 64  # rows whose products with all centroids are in the cache at a time
_SOURCES = [Path(str(module.__file__)) for module in (linear, projection, topk)]
STAMP = int.from_bytes(hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).digest()[:7], "little")


def make_probe() -> Any:
    """The search for lists; the stamp reaches numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def probe(
        x: Any, turn: Any, short: Any, short_weights: Any, whole: Any, weights: Any, centroids: Any, candidates: int,
        lists: Any, products: Any,
    ) -> None:  # fmt: skip
        """Write the nearest lists of rows x (n, d) to ``lists`` (n, nprobe) int64, and products with their centroids.

        ``centroids`` (nlist, d) are all compared by the product ``whole``; or, if there are ``candidates``, in fewer
        dimensions, which ``turn`` takes x to, rounded to bytes as ``short`` has them, and so many then in all of them.
        Products are as ``Product.form`` has them, and ``short`` as ``byte_panels``. The nearest have the largest
        products, times the first and less the second of the ``weights`` (nlist,) each. ``products`` (n, nprobe)
        float32 may have no columns. A row's lists and products are the same whatever rows come along.
        """
        _ = stamp
        room, nothing = min(x.shape[0], TOGETHER), np.empty((0, 0), np.int64)
        turned, scores = np.empty((room, turn[3]), np.float32), np.empty((room, centroids.shape[0]), np.float32)
        codes, steps = np.empty(turned.shape, np.int8), np.empty(room)
        sums = np.empty(scores.shape if candidates else (0, 0), np.int32)
        chosen, found = np.empty((room, candidates), np.int64), np.empty((room, candidates), np.float32)
        for first in range(0, x.shape[0], TOGETHER):
            last = min(first + TOGETHER, x.shape[0])
            n, some, best = last - first, x[first:last], lists[first:last]
            if candidates == 0:
                multiply(some, whole[0], whole[1], whole[2], whole[3], scores[:n])
                best_of(scores[:n], weights[0], weights[1], nothing, best)
                continue
            multiply(some, turn[0], turn[1], turn[2], turn[3], turned[:n])
            round_to_bytes(turned[:n], codes[:n], steps[:n])
            multiply_bytes(codes[:n], short, sums[:n])
            for i in range(n):
                scores[i] = sums[i].astype(np.float32) * np.float32(steps[i])
            best_of(scores[:n], short_weights[0], short_weights[1], nothing, chosen[:n])
            some_products(some, centroids, chosen[:n], found[:n])
            best_of(found[:n], weights[0], weights[1], chosen[:n], best)
        if products.shape[1]:
            some_products(x, centroids, lists, products)

    return probe
