"""What tests of embedding files share: reading them, complaints, and files that other libraries write."""

from __future__ import annotations

import itertools
import json

import pytest

from lplr_index.errors import VectorFileError
from lplr_index.vectors import open_vectors
from lplr_index.vectors.writing import write_vectors

PACKAGES = {".hdf5": "h5py", ".h5": "h5py", ".parquet": "pyarrow"}


DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]


def need(suffix):
    if suffix in PACKAGES:
        pytest.importorskip(PACKAGES[suffix])


def read_all(path, key=None):
    with open_vectors(path, key=key) as file:
        return file.read(0, file.n)


def complaint(path, key=None, *, rows=None):
    """Return the one sentence that opening and reading ``path`` ends in."""
    with pytest.raises(VectorFileError) as caught, open_vectors(path, key=key) as file:
        for _ in file.chunks(rows):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_safetensors(path, dtype, shape, data, /, **more):
    tensor = {"dtype": dtype, "shape": list(shape), "data_offsets": [0, len(data)]} | more
    header = json.dumps({"__metadata__": {"format": "np"}, "emb": tensor}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def write_parquet(path, columns, **options):
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pa.table(columns), path, **options)


def write_parts(folder, suffix, x, cuts=(0, 10, 11, 60, 101)):
    """Write the rows of ``x`` as part_0, part_1, ..., part_10, part_11: in the order of numbers, not of letters."""
    folder.mkdir(exist_ok=True)
    for number, (start, stop) in zip((1, 2, 10, 11), itertools.pairwise(cuts), strict=True):
        write_vectors(folder / f"part_{number}{suffix}", x[start:stop])
    return folder
