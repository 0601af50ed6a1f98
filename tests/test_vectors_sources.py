"""vectors/sources.py: folders and patterns of files as one matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lplr_index.errors import VectorFileError
from lplr_index.vectors import open_vectors
from lplr_index.vectors.base import draw_rows
from lplr_index.vectors.sources import natural_order
from lplr_index.vectors.writing import write_vectors
from vector_files import complaint, read_all, write_parts


def test_a_folder_is_one_matrix(tmp_path, suffix, x):
    folder = write_parts(tmp_path / "folder", suffix, x)
    (folder / "README.md").write_text("not vectors")
    (folder / f".hidden{suffix}").write_bytes(b"")
    (folder / f"folder{suffix}").mkdir()
    with open_vectors(folder) as file:
        assert (file.n, file.d, file.path) == (101, 7, folder)
        for start, stop in ((0, 101), (9, 12), (10, 11), (0, 10), (60, 101), (59, 60)):
            np.testing.assert_array_equal(file.read(start, stop), x[start:stop])
        assert [len(chunk) for _, chunk in file.chunks(40)] == [40, 40, 21]
        np.testing.assert_array_equal(file.sample(30, 5), x[draw_rows(101, 30, 5)])


def test_a_pattern_is_the_files_that_match_it(tmp_path, x):
    folder = write_parts(tmp_path / "folder", ".npy", x)
    write_vectors(folder / "part_1.fbin", x)
    np.testing.assert_array_equal(read_all(str(folder / "part_*.npy")), x)
    np.testing.assert_array_equal(read_all(str(folder / "part_1?.npy")), x[11:])
    np.testing.assert_array_equal(read_all(folder / "*.fbin"), x)
    np.testing.assert_array_equal(read_all(str(tmp_path / "**" / "part_[12].npy")), x[:11])


def test_a_file_whose_name_looks_like_a_pattern(tmp_path, x):
    write_vectors(tmp_path / "a[1].npy", x)
    write_vectors(tmp_path / "a1.npy", x + 1)
    np.testing.assert_array_equal(read_all(tmp_path / "a[1].npy"), x)


def test_names_in_natural_order():
    names = ["b", "a10", "a2", "a02", "a1b10", "a1b9", "a", "1", "x/9/y", "x/10/y", "a²"]
    ordered = [str(path) for path in sorted(map(Path, names), key=natural_order)]
    assert ordered == ["1", "a", "a1b9", "a1b10", "a02", "a2", "a10", "a²", "b", "x/9/y", "x/10/y"]


def test_more_files_than_a_process_may_open(tmp_path):
    resource = pytest.importorskip("resource")
    for number in range(80):
        write_vectors(tmp_path / f"{number}.u8bin", np.full((2, 3), number))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
        y = read_all(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    np.testing.assert_array_equal(y[::2, 0], np.arange(80))


def test_files_of_two_dtypes_are_one_matrix(tmp_path, x):
    write_vectors(tmp_path / "1.npy", x.astype(np.int16))
    write_vectors(tmp_path / "2.npy", x.astype(np.float16))
    with open_vectors(tmp_path) as file:
        assert file.dtype == np.float32
        np.testing.assert_array_equal(file.read(0, 202), np.concatenate([x, x]))


def test_folders_that_are_no_matrix(tmp_path, x):
    folder = write_parts(tmp_path / "folder", ".npy", x)
    write_vectors(folder / "part_3.npy", x[:, :5])
    assert "expected 7 columns" in complaint(folder)
    assert "part_3.npy" in complaint(folder)
    (folder / "part_3.npy").write_bytes(b"\x93NUMPY, or so it says")
    assert "part_3.npy" in complaint(folder)
    (folder / "part_3.npy").unlink()
    write_vectors(folder / "part_3.fvecs", x)
    assert "expected files of one suffix" in complaint(folder)
    assert "part_3.fvecs" in complaint(folder)
    (folder / "notes.txt").write_text("")
    assert "notes.txt" in complaint(folder / "n*")
    (tmp_path / "empty").mkdir()
    assert complaint(tmp_path / "empty").startswith("no such file: ")
    assert complaint(tmp_path / "*.npy").startswith("no such file: ")


def test_a_part_that_changes_under_the_reader(tmp_path, x):
    folder = write_parts(tmp_path / "folder", ".npy", x)
    with open_vectors(folder) as file:
        write_vectors(folder / "part_10.npy", x)
        np.testing.assert_array_equal(file.read(0, 11), x[:11])
        with pytest.raises(VectorFileError, match=r"expected 49 rows in .*part_10\.npy, as before, got 101"):
            file.read(0, 101)
