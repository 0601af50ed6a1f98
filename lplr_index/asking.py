"""Step two of a search: queries are projected and tables are made of them, in one compiled call."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from lplr_index import kernels
from lplr_index.arrays import ByteMatrix, FloatMatrix, IdArray
from lplr_index.model import Model
from lplr_index.products import Product

if TYPE_CHECKING:
    from lplr_index.kernels.layout import Queries
    from lplr_index.kernels.tables import Keys


class Asked(NamedTuple):
    """Queries made ready for a scan, with the lists that they look at, if rows lie in lists."""

    room: ByteMatrix  # (bytes,), as ``carve`` of kernels/layout.py cuts it
    shape: tuple[int, ...]  # what ``Shape`` there holds

    @property
    def nq(self) -> int:
        """How many queries."""
        return self.shape[0]

    @property
    def parts(self) -> tuple[Queries, IdArray, FloatMatrix]:
        """The queries, their lists (nq, nprobe), and the products with the centroids of these (nq, nprobe)."""
        found: tuple[Queries, IdArray, FloatMatrix] = kernels.layout.carve(self.room, kernels.layout.Shape(*self.shape))
        return found

    @property
    def queries(self) -> Queries:
        """The queries."""
        return self.parts[0]


class Near(NamedTuple):
    """Which lists queries look at."""

    nprobe: int = 0  # how many
    coarse: tuple[Any, ...] | None = None  # among what, as ``Coarse`` of kernels/probe.py has it
    candidates: int = 0  # lists that are compared by all directions


_NO_LISTS = Near()


class _Fixed(NamedTuple):
    """What the kernel has to know of a model, found once, as plain tuples."""

    projects: bool  # whether the kernel does, rather than the model
    to_ask: tuple[Any, ...]  # two of ``Product.form``, ``Parts``, ``Keys``
    shape: tuple[int, ...]  # the middle of a ``Shape``


_known: WeakKeyDictionary[Model, _Fixed] = WeakKeyDictionary()


def ask(model: Model, xq: FloatMatrix, *, digits: int = 1, near: Near = _NO_LISTS) -> Asked:
    """Make queries xq (nq, d) ready: project, then let the codec's parts tell what bits are worth.

    Of their bounds ``digits``, one or two, are known: two tell how low scores can be, too.
    """
    fixed = _known.get(model)
    if fixed is None:
        fixed = _known[model] = _fixed(model)
    shape = (len(xq), digits, *fixed.shape, near.nprobe)
    room = np.empty(_bytes_of(shape), np.uint8)
    y = xq if fixed.projects else model.project(xq)
    kernels.ask_kernel()(xq, y, *fixed.to_ask, near.coarse, near.candidates, room, shape)
    return Asked(room, shape)


def keys_of(model: Model) -> Keys:
    """What makes keys of the scores of a model's rows."""
    return kernels.tables.Keys(
        mu=model.mu.astype(np.float32),
        norms=model.norm.bits > 0,
        unit=float(model.norm.unit),
        gain=float(model.gain.most),
    )


def _fixed(model: Model) -> _Fixed:
    codec, projection = model.codec, model.projection
    form = projection.form if isinstance(projection, Product) else None
    return _Fixed(
        projects=form is not None,
        to_ask=(form, codec.centroid_form, tuple(codec.parts), tuple(keys_of(model))),
        shape=(codec.nibbles, codec.stages, len(codec.parts.split)),
    )


@lru_cache
def _bytes_of(shape: tuple[int, ...]) -> int:
    """How large a room has to be."""
    return int(kernels.layout.ends(kernels.layout.Shape(*shape))[-1]) + kernels.layout.LINE
