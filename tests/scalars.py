"""Codecs of single columns, for tests."""

from __future__ import annotations

import numpy as np

from lplr_index.codecs.scalar import ScalarCodec
from lplr_index.lloyd import lloyd_max


def make_codec(bits, seed=0, *, uniform=False, nbytes=None, decay=0.3, spare=False):
    """Return a codec with levels for columns of falling spread, and rows like those it is for."""
    rng = np.random.default_rng(seed)
    spread = np.exp(-decay * np.arange(len(bits)))
    y = (rng.standard_normal((500, len(bits))) * spread).astype(np.float32)
    levels = [
        np.linspace(y[:, j].min(), y[:, j].max(), 1 << b, dtype=np.float32) if uniform else lloyd_max(y[:, j], b)
        for j, b in enumerate(bits)
    ]
    return ScalarCodec.build(levels, spread, nbytes, spare=spare), y
