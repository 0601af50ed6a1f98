"""vectors/hdf5.py: datasets as ann-benchmarks has them, and those whose numbers are elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.vectors.hdf5 import DEFAULT_KEY
from lplr_index.vectors.writing import write_vectors
from vector_files import complaint, read_all


@pytest.mark.parametrize("options", [{}, {"chunks": (10, 3)}, {"chunks": True, "compression": "gzip", "shuffle": True}])
def test_hdf5_of_ann_benchmarks(tmp_path, x, options):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("train", data=x, **options)
        file.create_dataset("test", data=x[:5] + 1)
        file.create_dataset("group/neighbors", data=np.arange(12, dtype=np.int32).reshape(3, 4))
        file.attrs["distance"] = "angular"
    np.testing.assert_array_equal(read_all(tmp_path / "a.hdf5"), x)
    np.testing.assert_array_equal(read_all(tmp_path / "a.hdf5", "test"), x[:5] + 1)
    np.testing.assert_array_equal(read_all(tmp_path / "a.hdf5", "group/neighbors"), np.arange(12).reshape(3, 4))
    write_vectors(tmp_path / "b.h5", x)
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file[DEFAULT_KEY][:], x)


def test_hdf5_whose_numbers_are_not_in_the_file(tmp_path, x):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.hdf5"

    def create(**options):
        with h5py.File(path, "w") as file:
            options = {"shape": (101, 7), "dtype": "f4"} | options
            dataset = file.create_dataset("train", **options)
            if "chunks" in options:
                dataset[:8] = x[:8]

    create(chunks=(8, 7))
    assert "got fewer" in complaint(path)
    create(chunks=(8, 7), compression="gzip")
    assert "got fewer" in complaint(path)
    create()
    assert "got fewer" in complaint(path)
    create(external=str(tmp_path / "elsewhere.raw"))
    assert "other files" in complaint(path)
    layout = h5py.VirtualLayout((101, 7), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "elsewhere.h5"), "train", (101, 7))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("train", layout)
    assert "other files" in complaint(path)
    create(dtype=h5py.string_dtype())
    assert "dtype object" in complaint(path)
    create(shape=(5,))
    assert "got shape (5,)" in complaint(path)
    create(shape=())
    assert "got shape ()" in complaint(path)
