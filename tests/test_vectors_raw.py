"""vectors/raw.py: rows of matrices whose bytes lie in a stream, whichever way, and streams that lack some."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from lplr_index.errors import VectorFileError
from lplr_index.vectors.raw import ColumnMajor, PrefixedRows, RowMajor, prefixed_row

WAYS = [RowMajor, ColumnMajor, PrefixedRows]
OFFSET = 5


def laid_out(way, x):
    """Return the bytes of x as ``way`` reads them, after ``OFFSET`` others."""
    if way is PrefixedRows:
        rows = np.empty(len(x), prefixed_row(x.shape[1], x.dtype))
        rows["d"], rows["values"] = x.shape[1], x
        return bytes(OFFSET) + rows.tobytes()
    return bytes(OFFSET) + x.tobytes(order="F" if way is ColumnMajor else "C")


def opened(way, data, x, *, size=None):
    size = len(data) if size is None else size
    return way(Path("x"), io.BytesIO(data), size, offset=OFFSET, shape=x.shape, dtype=x.dtype)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["<f4", ">i2", "f8"])
def test_any_rows_of_a_matrix(x, way, dtype):
    x = x.astype(dtype)
    with opened(way, laid_out(way, x), x) as matrix:
        for start, stop in [(0, len(x)), (0, 1), (17, 60), (100, 101), (5, 5)]:
            np.testing.assert_array_equal(matrix.read(start, stop), x[start:stop].astype(np.float32))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("more", [-1, 1])
def test_a_stream_of_another_size(x, way, more):
    data = laid_out(way, x)

    with pytest.raises(VectorFileError, match=rf"expected x to hold {len(data)} bytes for 101 rows of 7 float32, got"):
        opened(way, data, x, size=len(data) + more)


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_ends_too_early(x, way):
    data = laid_out(way, x)
    matrix = opened(way, data[:-3], x, size=len(data))

    with matrix, pytest.raises(VectorFileError, match="x ends 3 bytes too early: it was cut while it was read"):
        matrix.read(0, len(x))


def test_a_row_that_says_another_number_of_columns(x):
    data = bytearray(laid_out(PrefixedRows, x))
    data[OFFSET + 40 * (4 + 7 * 4)] = 8

    with opened(PrefixedRows, bytes(data), x) as matrix:
        np.testing.assert_array_equal(matrix.read(0, 40), x[:40])
        with pytest.raises(VectorFileError, match="expected rows of 7 columns in x, got 8 in row 40"):
            matrix.read(30, 50)
