"""vectors/records.py: TEXMEX's and big-ann's files, byte for byte."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from lplr_index.vectors.records import open_bin, open_vecs
from lplr_index.vectors.writing import write_vectors
from vector_files import complaint, read_all


def test_texmex_and_big_ann_files_made_by_hand(tmp_path, x):
    (tmp_path / "a.fvecs").write_bytes(b"".join(struct.pack("<i7f", 7, *row) for row in x))
    (tmp_path / "a.bvecs").write_bytes(b"".join(struct.pack("<i7B", 7, *row.astype(int)) for row in x))
    (tmp_path / "a.fbin").write_bytes(struct.pack("<2I", 101, 7) + x.astype("<f4").tobytes())
    (tmp_path / "a.I8BIN").write_bytes(struct.pack("<2I", 101, 7) + (x - 50).astype("i1").tobytes())
    np.testing.assert_array_equal(read_all(tmp_path / "a.fvecs"), x)
    np.testing.assert_array_equal(read_all(tmp_path / "a.bvecs"), x)
    np.testing.assert_array_equal(read_all(tmp_path / "a.fbin"), x)
    np.testing.assert_array_equal(read_all(tmp_path / "a.I8BIN"), x - 50)
    for name in ("a.fvecs", "a.bvecs", "a.fbin"):
        write_vectors(tmp_path / f"b{name[1:]}", x)
        assert (tmp_path / f"b{name[1:]}").read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("dtype", ["<f8", "<f2", ">i2"])
def test_both_families_of_records_hold_any_dtype(tmp_path, x, dtype):
    data = x.astype(dtype)
    (tmp_path / "bin").write_bytes(struct.pack("<2I", *x.shape) + data.tobytes())
    (tmp_path / "vecs").write_bytes(b"".join(struct.pack("<i", 7) + row.tobytes() for row in data))
    with open_bin(tmp_path / "bin", data.dtype) as one, open_vecs(tmp_path / "vecs", data.dtype) as other:
        np.testing.assert_array_equal(one.read(3, 101), x[3:])
        np.testing.assert_array_equal(other.read(3, 101), x[3:])


def test_texmex_rows_of_unequal_length(tmp_path):
    def row(d):
        return struct.pack(f"<i{d}f", d, *range(d))

    path = tmp_path / "a.fvecs"
    path.write_bytes(row(4) * 9 + row(3) + row(4) * 5)
    assert complaint(path) == f"expected rows of 4 columns in {path}, got 3 in row 9"
    path.write_bytes(row(4) * 9 + row(3) + row(4) * 5 + row(3) * 4 + bytes(4))  # a size that whole rows would have
    assert complaint(path, rows=2) == f"expected rows of 4 columns in {path}, got 3 in row 9"
    path.write_bytes(struct.pack("<i", -4) + row(4))
    assert "got -4" in complaint(path)
