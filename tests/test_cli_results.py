"""Files of search results: what is read back is what was found, in every format."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.cli.results import FORMATS, check_results, write_results
from lplr_index.errors import InputError

D = np.array([[0.5, 0.25, -1.0], [3.0, 2.0, 1.0]], np.float32)
I = np.array([[7, 0, -1], [2**31 - 1, 5, 6]])


def read(path):
    if path.suffix == ".npz":
        with np.load(path) as file:
            return file["D"], file["I"]
    if path.suffix == ".npy":
        return None, np.load(path)
    if path.suffix == ".ibin":
        raw = path.read_bytes()
        nq, k = np.frombuffer(raw, "<u4", 2).tolist()
        ids, distances = (np.frombuffer(raw, kind, nq * k, at) for kind, at in (("<i4", 8), ("<f4", 8 + 4 * nq * k)))
        return distances.reshape(nq, k), ids.reshape(nq, k)
    if path.suffix == ".parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        return tuple(np.array(table[name].to_pylist()) for name in ("distances", "ids"))
    with pytest.importorskip("h5py").File(path) as file:
        return file["distances"][:], file["neighbors"][:]


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_is_read_back(tmp_path, suffix):
    path = tmp_path / f"found{suffix}"
    check_results(str(path), int(I.max()))
    write_results(str(path), D, I)

    distances, ids = read(path)
    np.testing.assert_array_equal(ids, I)
    if distances is not None:
        np.testing.assert_array_equal(distances, D)


@pytest.mark.parametrize("suffix", [suffix for suffix, each in FORMATS.items() if each.strings])
def test_ids_that_are_strings(tmp_path, suffix):
    path = tmp_path / f"found{suffix}"
    check_results(str(path), 0, strings=True)
    names = np.array([["a", "bcd", "e"], ["f", "g", "h"]])
    write_results(str(path), D, names)

    np.testing.assert_array_equal(read(path)[1], names)


@pytest.mark.parametrize(
    ("path", "largest", "strings", "complaint"),
    [
        ("found.txt", 1, False, r"expected results in a file that ends in one of \.npz .*, got found\.txt"),
        ("found", 1, False, "got found"),
        ("found.ibin", 2**31, False, "expected ids up to 2147483647 for found.ibin, got 2147483648"),
        ("found.hdf5", 1, True, r"expected a file that ends in one of \.npz \.npy \.parquet for ids that are strings"),
    ],
)
def test_what_a_format_cannot_hold_is_said_before_the_search(path, largest, strings, complaint):
    with pytest.raises(InputError, match=complaint):
        check_results(path, largest, strings=strings)
