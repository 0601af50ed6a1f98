"""memory.py: zeros that start where a cache line does."""

from __future__ import annotations

import pytest

from lplr_index.memory import aligned


@pytest.mark.parametrize("shape", [(0,), (1,), (0, 1536), (3, 5), (2048, 1536), (7, 11, 13)])
def test_zeros_at_a_cache_line(shape):
    for array in [aligned(shape) for _ in range(5)]:
        assert (array.shape, array.dtype) == (shape, "u1")
        assert array.size == 0 or array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert not array.any()
