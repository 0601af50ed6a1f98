"""The compiled part: what runs per row, per nibble, per coordinate.

::

    queries (nq, d) --- linear.multiply ---> y (nq, m) --- codes.tables, codes.quantize_tables ---> Queries
                                                                                                      |
    rows (n, d) ------- linear.multiply ---> Y (n, m) --- centroids.search, trellis.encode,
                                                          codes.encode, codes.weave ---> blocks ---> scan ---> k best

Each file is an island (numpy, numba, llvmlite and itself), because numba's cache does not notice edits elsewhere.
Everything compiles on first use and is cached; nothing of numba is imported before that.
The scan exists for several instruction sets with identical results; ``LPLR_INDEX_SIMD`` =
``portable``, ``ssse3``, ``neon``, ``avx2`` or ``avx512`` overrides the choice, as the tests do.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from lplr_index.errors import InputError

_NEEDS = {  # features of a CPU, worst first
    "portable": (),
    "ssse3": ("ssse3",),
    "neon": ("neon",),
    "avx2": ("avx2",),
    "avx512": ("avx2", "avx512f", "avx512bw", "avx512vl"),
}


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
    wanted = os.environ.get("LPLR_INDEX_SIMD") or host_levels()[-1]
    if wanted not in host_levels():
        raise InputError(f"expected LPLR_INDEX_SIMD to be one of {', '.join(host_levels())}, got {wanted!r}")
    return wanted


@cache
def _scan(level: str) -> Any:
    from lplr_index.kernels import scan, vectors

    return scan.make_scan(getattr(vectors, level.upper()))


def scan_kernel() -> Any:
    """The compiled scan (``scan.make_scan``) for the instruction set in use."""
    return _scan(simd_level())


@cache
def finish_kernel() -> Any:
    """What ranks a shortlist (``scan.make_finish``)."""
    from lplr_index.kernels import scan

    return scan.make_finish()
