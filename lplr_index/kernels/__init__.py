"""The compiled part: what runs per row, per nibble, per coordinate.

::

    queries (nq, d) --- asking.ask: linear.multiply ---> y (nq, m) ---------- tables ---> Queries
                                                                                                |
    rows (n, d) ------- linear.multiply ---> Y (n, m) --- centroids.search, trellis.encode,     |
                                                          codes.encode, codes.weave -> blocks --+--> scan ---> k best

    in lists:           queries (nq, d) --- asking.ask ---> Queries and their lists ---> lists.scan_lists ---> k best

What runs for every block is compiled with ``_nrt=False``: it cannot ask for memory, and numba counts no references, as
it does elsewhere whenever an array is taken from a tuple or handed to a function.
Each file is an island (numpy, numba, llvmlite and itself), or bears a stamp of those it uses, because numba's cache
does not notice edits elsewhere.
Everything compiles on first use and is cached; nothing of numba is imported before that. A kernel file is imported as
``from lplr_index.kernels import scan``, which says in our words if numba has nowhere to keep what it compiles.
The scan exists for several instruction sets with identical results; ``LPLR_INDEX_SIMD`` = ``portable``, ``ssse3``,
``neon``, ``avx2`` or ``avx512`` overrides the choice, as the tests do.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache, wraps
from pathlib import Path
from typing import Any

from lplr_index.errors import InputError, WriteError

_NEEDS = {  # features of a CPU, worst first
    "portable": (),
    "ssse3": ("ssse3",),
    "neon": ("neon",),
    "avx2": ("avx2",),
    "avx512": ("avx2", "avx512f", "avx512bw", "avx512vl"),
}


def __getattr__(name: str) -> Any:
    """The kernel file of that name, imported on first use."""
    if importlib.util.find_spec(f"{__name__}.{name}") is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except RuntimeError as err:
        if "no locator available" not in str(err):
            raise
        raise WriteError(
            "cannot keep compiled kernels: expected a folder in NUMBA_CACHE_DIR that can be written, as neither "
            f"{Path(__file__).parent} nor the user's cache folder can be"
        ) from err


@cache
def host_levels() -> tuple[str, ...]:
    """The instruction sets of ``LPLR_INDEX_SIMD`` that this CPU has, best last."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return tuple(name for name, needs in _NEEDS.items() if all(features.get(need) for need in needs))


def simd_level() -> str:
    """The instruction set in use: the best of this CPU, or what ``LPLR_INDEX_SIMD`` says.

    Raises
    ------
    InputError
        If the variable names an unknown instruction set or one that this CPU lacks.
    """
    wanted, levels = os.environ.get("LPLR_INDEX_SIMD"), host_levels()
    if not wanted:
        return levels[-1]
    if wanted not in levels:
        raise InputError(f"expected LPLR_INDEX_SIMD to be one of {', '.join(levels)}, got {wanted!r}")
    return wanted


def _once(make: Callable[..., Any]) -> Callable[..., Any]:
    """Make a kernel once, even if two threads want it at the same time: ``cache`` would let both."""
    made, lock = cache(make), threading.Lock()

    @wraps(make)
    def kernel(*arguments: str) -> Any:
        with lock:
            return made(*arguments)

    return kernel


@_once
def _scan(level: str) -> Any:
    from lplr_index.kernels import scan, vectors

    return scan.make_scan(getattr(vectors, level.upper()))


def scan_kernel() -> Any:
    """The compiled scan (``scan.make_scan``) for the instruction set in use."""
    return _scan(simd_level())


@_once
def finish_kernel() -> Any:
    """What ranks rows that are known (``scan.make_finish``)."""
    from lplr_index.kernels import scan

    return scan.make_finish()


@_once
def _scan_lists(level: str) -> Any:
    from lplr_index.kernels import lists, vectors

    return lists.make_scan_lists(getattr(vectors, level.upper()))


def scan_lists_kernel() -> Any:
    """The compiled scan of lists (``lists.make_scan_lists``) for the instruction set in use."""
    return _scan_lists(simd_level())


@_once
def probe_kernel() -> Any:
    """What finds the lists of rows (``probe.make_probe``)."""
    from lplr_index.kernels import probe

    return probe.make_probe()


@_once
def ask_kernel() -> Any:
    """What makes queries ready for a scan of lists (``asking.make_ask``)."""
    from lplr_index.kernels import asking

    return asking.make_ask()


def cache_folder() -> str:
    """The folder that numba keeps compiled kernels in."""
    from lplr_index.kernels import linear

    return str(linear.multiply.stats.cache_path)


def compiled_and_loaded() -> tuple[int, int]:
    """How often this process compiled a cached kernel, and how often it found one in the cache."""
    counts = [kernel.stats for kernel in cached_kernels()]
    misses = sum(sum(each.cache_misses.values()) for each in counts)
    return misses, sum(sum(each.cache_hits.values()) for each in counts)


def cached_kernels() -> Iterator[Any]:
    """The kernels that numba keeps on disk, of the files that are in use."""
    modules = [sys.modules[name] for name in [*sys.modules] if name.startswith(f"{__name__}.")]
    made = [make() for make in _MADE]
    everything = [*made, *(value for module in modules for value in vars(module).values())]
    for kernel in {id(each): each for each in everything}.values():  # one that another file uses is in both
        stats = getattr(kernel, "stats", None)
        if stats is not None and stats.cache_path is not None:
            yield kernel


_MADE = (
    scan_kernel,
    finish_kernel,
    scan_lists_kernel,
    probe_kernel,
    ask_kernel,
)  # kernels that no file holds, because they are made for an instruction set
