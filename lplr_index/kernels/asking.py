"""Queries made ready for a scan in one call: projection, tables, and, where rows lie in lists, those to look at.

numba's cache does not see edits of the files that this one uses: ``STAMP`` takes them there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from lplr_index.kernels import layout, linear, probe, projection, tables, topk
from lplr_index.kernels.layout import Shape, carve
from lplr_index.kernels.linear import multiply
from lplr_index.kernels.probe import Coarse, nearest
from lplr_index.kernels.tables import Keys, Parts, make_all_ready

_SOURCES = [Path(str(module.__file__)) for module in (layout, linear, probe, projection, tables, topk)]
STAMP = int.from_bytes(hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).digest()[:7], "little")


def make_ask() -> Any:
    """What makes queries ready; the stamp reaches numba's cache key through the closure."""
    stamp = STAMP

    @njit(nogil=True, cache=True)
    def ask(
        xq: Any, y: Any, projection: Any, centroids: Any, parts: Any, keys: Any, coarse: Any, candidates: int,
        room: Any, shape: Any,
    ) -> None:  # fmt: skip
        """Fill the ``room`` that ``carve`` cuts: tables of xq (nq, d) float32, C-contiguous, and their lists.

        ``parts``, ``keys``, ``coarse`` and ``shape`` hold what ``Parts``, ``Keys``, ``Coarse`` and ``Shape`` do, as
        plain tuples: numba takes over such in half of the time.

        ``projection`` is what makes y of them, as ``Product.form`` has it, or None where ``y`` (nq, m) float32 is
        given, as it may be xq; ``centroids`` is what makes products of y with the centroids of stages, or None where
        there are no stages. ``coarse`` is None where there are no lists.
        """
        _ = stamp
        queries, lists, products = carve(room, Shape(*shape))
        n = xq.shape[0]
        if projection is not None:
            y = np.empty((n, projection[3]), np.float32)
            multiply(xq, projection[0], projection[1], projection[2], projection[3], y)
        if centroids is not None:
            out = queries.stages.reshape((n, centroids[3]))
            multiply(y, centroids[0], centroids[1], centroids[2], centroids[3], out)
        make_all_ready(xq, y, Parts(*parts), Keys(*keys), shape[1], queries)
        if coarse is not None:
            nearest(xq, Coarse(*coarse), candidates, lists, products)

    return ask
