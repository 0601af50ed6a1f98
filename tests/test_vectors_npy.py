"""vectors/npy.py: arrays of NumPy in any order and byte order, alone or in archives, and nothing unpickled."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest

from lplr_index.vectors import open_vectors
from lplr_index.vectors.raw import ColumnMajor
from lplr_index.vectors.sink import DEFAULT_NAME
from lplr_index.vectors.writing import write_vectors
from vector_files import complaint, read_all


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">f2", ">i2", ">u8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_numpy_files_in_either_order_and_byte_order(tmp_path, x, suffix, order, dtype):
    y = np.array(x.astype(dtype), order=order)
    path = tmp_path / f"a{suffix}"
    np.save(path, y) if suffix == ".npy" else np.savez_compressed(path, y)
    with open_vectors(path) as file:
        assert isinstance(file, ColumnMajor) == (order == "F")
        assert file.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(file.read(0, 101), x)
        np.testing.assert_array_equal(file.read(40, 57), x[40:57])
        np.testing.assert_array_equal(file.read(0, 3), x[:3])
        np.testing.assert_array_equal(np.concatenate([chunk for _, chunk in file.chunks(10)]), x)


def test_numpy_headers_of_version_two(tmp_path, x):
    with (tmp_path / "a.npy").open("wb") as stream:
        np.lib.format.write_array(stream, x, version=(2, 0))
    np.testing.assert_array_equal(read_all(tmp_path / "a.npy"), x)


def test_numpy_reads_what_is_written(tmp_path, x):
    write_vectors(tmp_path / "a.npy", x)
    write_vectors(tmp_path / "a.npz", x)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), x)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz", allow_pickle=False)[DEFAULT_NAME], x)


NUMPY_DEFECTS = {
    "object": (np.array([["a", 1]], dtype=object), "got dtype object"),
    "string": (np.array([["a", "b"]]), "got dtype <U1"),
    "complex": (np.ones((2, 2), np.complex64), "got dtype complex64"),
    "structured": (np.ones((2, 2), [("a", "f4"), ("b", "i2")]), "got dtype [('a', '<f4'), ('b', '<i2')]"),
    "unicode structured": (np.ones((2, 2), [("\u0416", "f4")]), "expected an npy header"),
    "datetime": (np.zeros((2, 2), "M8[s]"), "got dtype datetime64[s]"),
    "longdouble": (np.ones((2, 2), np.longdouble), "expected float or integer numbers"),
    "vector": (np.ones(5), "expected an array of shape (n, d)"),
    "cube": (np.ones((2, 3, 4)), "got shape (2, 3, 4)"),
    "scalar": (np.float32(3), "got shape ()"),
    "no rows": (np.ones((0, 4)), "got shape (0, 4)"),
    "no columns": (np.ones((4, 0)), "got shape (4, 0)"),
}


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
@pytest.mark.parametrize("name", NUMPY_DEFECTS)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_numpy_arrays_that_are_no_vectors(tmp_path, name, suffix):
    x, message = NUMPY_DEFECTS[name]
    if name == "longdouble" and x.dtype.itemsize == 8:
        pytest.skip("a long double is a double here")
    (np.save if suffix == ".npy" else np.savez)(tmp_path / f"a{suffix}", x)
    got = complaint(tmp_path / f"a{suffix}")
    assert message in got
    assert str(tmp_path / f"a{suffix}") in got


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    np.save(tmp_path / "a.npy", np.array([[Bomb()]], dtype=object), allow_pickle=True)
    assert "dtype object" in complaint(tmp_path / "a.npy")
    assert not (tmp_path / "exploded").exists()


def test_archives_that_cannot_be_read(tmp_path, x):
    path = tmp_path / "a.npz"
    np.savez(tmp_path / "a.npz", x)
    path.write_bytes(path.read_bytes().replace(x[50].tobytes(), x[51].tobytes()))
    assert "CRC" in complaint(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", b"x" * 100)
    assert "stored or deflated" in complaint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"x" * 100)
    assert complaint(path).endswith("holds: none")
