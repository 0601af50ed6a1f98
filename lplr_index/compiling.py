"""All kernels compiled before they are needed, by using every one of them once on a few rows.

What needs which kernel for which types of arguments is nowhere written down: the smallest real indexes are trained,
filled, searched, saved and read, and numba keeps what that compiles.
"""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lplr_index import kernels
from lplr_index.arrays import FloatMatrix, as_rows
from lplr_index.building import Progress
from lplr_index.caldera.lattice import LATTICE_NBITS
from lplr_index.coarse import Coarse
from lplr_index.factorization import factorize
from lplr_index.index import IndexLPLR
from lplr_index.ivf import IndexIVFLPLR
from lplr_index.metric import METRICS
from lplr_index.projection import IntegerProjection
from lplr_index.refine import AnyIndex, IndexRefineLPLR
from lplr_index.settings import METHODS
from lplr_index.storage import read_index, write_index
from lplr_index.training import train_lists

_WIDTH = 16  # coordinates
_FEW = 300  # rows of most indexes
_LISTS = 4
_ROWS_TO_CHOOSE_BY = 2800  # of which training holds some back and finds the others enough to try centroids on
_ROWS_TO_SHARE = 1 << 15  # a search with two threads gives each a part of so many rows, and merges
_BITS = (2.0, 6.0)  # without and with columns that are coded by themselves


class Warmup(NamedTuple):
    """What ``warmup`` did.

    Attributes
    ----------
    cache : str
        The folder that numba keeps compiled kernels in.
    instruction_set : str
        The one that the scan was compiled for.
    compiled, loaded : int
        Kernels, counted once for each kind of arguments, that had to be compiled, and that were in the cache.
    seconds : float
        How long it took.
    """

    cache: str
    instruction_set: str
    compiled: int
    loaded: int
    seconds: float


def warmup(progress: Progress | None = None) -> Warmup:
    """Compile every kernel that training, adding and searching need; later processes find them in numba's cache.

    Parameters
    ----------
    progress : callable, optional
        Called with ``"compiling"``, the steps done and their total.

    Raises
    ------
    WriteError
        If there is no folder that numba can keep compiled kernels in.
    InputError
        If ``LPLR_INDEX_SIMD`` asks for an instruction set that this CPU lacks.

    Warns
    -----
    UserWarning
        If ``NUMBA_CACHE_DIR`` is set and cannot be written, so that kernels are kept elsewhere.
    """
    began_s = time.perf_counter()
    instruction_set = kernels.simd_level()
    with tempfile.TemporaryDirectory() as folder:
        steps = list(_steps(Path(folder)))
        for done, step in enumerate(steps):
            if progress is not None:
                progress("compiling", done, len(steps))
            step()
    compiled, loaded = kernels.compiled_and_loaded()
    found = Warmup(kernels.cache_folder(), instruction_set, compiled, loaded, time.perf_counter() - began_s)
    wanted = os.environ.get("NUMBA_CACHE_DIR")
    if wanted and Path(wanted).resolve() not in Path(found.cache).resolve().parents:
        warnings.warn(
            f"NUMBA_CACHE_DIR is {wanted}, which cannot be written: kernels are kept in {found.cache}", stacklevel=2
        )
    return found


def _steps(folder: Path) -> Iterator[Callable[[], None]]:
    """Yield uses of indexes that together need everything; what they write goes into the folder."""
    x = np.random.default_rng(0).standard_normal((_ROWS_TO_SHARE, _WIDTH), np.float32)
    x /= np.arange(1, _WIDTH + 1, dtype=np.float32)  # so that columns differ enough for rows to have tails
    few = x[:_FEW]
    fixed = few.copy()
    fixed.flags.writeable = False  # to numba another type, as rows of a mapped file are
    for rows in (few, fixed):
        for method in METHODS:
            for metric in METRICS:
                for bits in _BITS:
                    yield partial(_use, IndexLPLR(_WIDTH, bits, metric, method), rows, folder / "index")
        for metric in METRICS:
            index = IndexRefineLPLR(IndexLPLR(_WIDTH, 2.0, metric), refine_bits=2.0)
            yield partial(_use, index, rows, folder / "index")
            yield partial(_use_lists, metric, rows, folder / "index")
    yield partial(_use_many, x)
    yield partial(_project, few)
    for nbits in LATTICE_NBITS:
        yield partial(_factorize, few, nbits)


def _use(index: AnyIndex, x: FloatMatrix, path: Path) -> None:
    """Do with an index of rows x (n, d) what can be done with one, in memory and mapped from a file."""
    if not index.is_trained:
        index.train(x)
    index.add(x)
    write_index(index, path)
    for each in (index, read_index(path)):
        each.search(x[:2], 2)
        if type(each) is IndexLPLR:
            each.search(x[:2], 2, margin=4.0)
        each.range_search(x[:2], 0.5)
        each.reconstruct_n(0, 2)


def _use_lists(metric: str, x: FloatMatrix, path: Path) -> None:
    """Use an index in lists, whose centroids are rows: without faiss, which makes better ones, it can be read too."""
    settings = IndexLPLR(_WIDTH, _BITS[0], metric).settings
    sample, _ = as_rows(x, _WIDTH, cosine=metric == "cosine")
    model = train_lists(sample, settings, Coarse(sample[:_LISTS].copy(), metric))
    index = IndexIVFLPLR.of_lists(settings, model, None, _LISTS, _LISTS)
    _use(index, x, path)
    kept = read_index(path)
    if isinstance(kept, IndexIVFLPLR):
        for one in kept.rows.runs:
            one.rows.flags.writeable = False  # as those of a store are, which stay in its files
        kept.search(x[:2], 2)
    index.remove_ids([0])  # the others have ids of their own then
    write_index(index, path)
    for each in (index, read_index(path)):
        each.search(x[:2], 2)


def _factorize(x: FloatMatrix, nbits: int) -> None:
    """Code rows x (n, d) on the lattice, as CALDERA does."""
    factorize(x, "caldera", rank=0, nbits_Q=nbits)


def _project(x: FloatMatrix) -> None:
    """Project rows x (n, d) in integers, as LRAMM does."""
    IntegerProjection(x)(x[:2])


def _use_many(x: FloatMatrix) -> None:
    """Train on as many rows as choices are made by, and search so many x (n, d) that threads share them."""
    index = IndexLPLR(_WIDTH, 4.0)
    index.train(x[:_ROWS_TO_CHOOSE_BY])
    index.add(x)
    index.search(x[:2], 2, threads=2)
