"""What tests of factorizations share: a matrix whose spectrum decays like that of embeddings, and its arguments."""

from __future__ import annotations

from functools import cache

import numpy as np

from lplr_index.quantizers import UniformQuantizer


@cache
def decaying(n, d, *, offset=0.0):
    """Return a matrix with singular values i ** -0.5, plus an offset in every entry."""
    rng = np.random.default_rng(0)
    rank = min(n, d)
    left, right = (np.linalg.qr(rng.standard_normal((size, rank)))[0] for size in (n, d))
    A = ((left * np.arange(1, rank + 1) ** -0.5) @ right.T + offset).astype(np.float32)
    A.flags.writeable = False  # shared by the tests
    return A


def options_of(method, rank=10, **options):
    """Return arguments for a method, with a rank where it takes one."""
    return {"method": method, **({} if method == "nq" else {"rank": rank}), **options}


def arrays_of(f):
    """Return every array that ``reconstruct`` reads."""
    arrays = [f.codes_L] if f.codes_R is None else [f.codes_L, f.codes_R]
    for quantizer in (f.quantizer_L, f.quantizer_R):
        arrays += [quantizer.vmin, quantizer.step] if isinstance(quantizer, UniformQuantizer) else []
    return arrays
