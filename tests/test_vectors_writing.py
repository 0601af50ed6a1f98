"""vectors/writing.py: chunks of any size make the same file, which is there as a whole or not at all."""

from __future__ import annotations

import time

import numpy as np
import pytest

from lplr_index.errors import InputError, VectorFileError, WriteError
from lplr_index.vectors import open_vectors
from lplr_index.vectors.formats import FORMATS
from lplr_index.vectors.writing import write_chunks, write_vectors
from vector_files import read_all


def test_chunks_of_any_size_make_the_same_file(tmp_path, suffix, x):
    write_vectors(tmp_path / f"a{suffix}", x)
    time.sleep(0.01 if suffix != ".npz" else 2.1)  # zip archives count time in steps of two seconds
    write_chunks(tmp_path / f"b{suffix}", (x[start : start + 13] for start in range(0, 101, 13)), 101, 7)
    if suffix == ".parquet":  # where a chunk is a row group
        np.testing.assert_array_equal(read_all(tmp_path / "b.parquet"), x)
    else:
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_file_converts_to_every_format_and_back(tmp_path, suffix, x):
    write_vectors(tmp_path / "a.npy", x)
    with open_vectors(tmp_path / "a.npy") as file:
        write_chunks(tmp_path / f"b{suffix}", (rows for _, rows in file.chunks(10)), file.n, file.d)
    with open_vectors(tmp_path / f"b{suffix}") as file:
        write_chunks(tmp_path / "c.npy", (rows for _, rows in file.chunks(10)), file.n, file.d)
    assert (tmp_path / "c.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()


def test_what_is_written_may_be_a_list_a_view_or_of_another_byte_order(tmp_path, x):
    for y in (x.tolist(), np.asfortranarray(x), x.astype(">f4"), np.repeat(x, 2, axis=1)[:, ::2]):
        write_vectors(tmp_path / "a.npy", y)
        assert np.load(tmp_path / "a.npy").dtype == np.dtype("<f4")
        np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), x)
        write_vectors(tmp_path / "a.bvecs", y)
        np.testing.assert_array_equal(read_all(tmp_path / "a.bvecs"), x)


@pytest.mark.parametrize(
    ("name", "x", "message"),
    [
        ("a.u8bin", [[0, 255], [256, 0]], "x to fit uint8, got 256 in row 1, column 0"),
        ("a.u8bin", [[0, 0.5]], "x to fit uint8, got 0.5 in row 0, column 1"),
        ("a.i8bin", [[-129, 0]], "x to fit int8, got -129"),
        ("a.ivecs", [[2**31, 0]], "x to fit int32, got 2147483648"),
        ("a.ibin", [[1e20, 0]], "x to fit int32, got 1e"),
        ("a.fbin", [[0.0, np.nan]], "got nan in row 0, column 1 of x"),
        ("a.npy", [[1e300, 0]], "got 1e[+]300 in row 0, column 0 of x"),
        ("a.npy", [1, 2], "shape"),
        ("a.npy", np.zeros((0, 3)), "n to be an integer >= 1, got 0"),
        ("a.npy", np.zeros((3, 0)), "at least one column"),
        ("a.npy", [["a", "b"]], "float or integer numbers"),
        ("a.npy", np.ones((2, 2), complex), "float or integer numbers"),
    ],
)
def test_what_a_file_cannot_hold(tmp_path, name, x, message):
    with pytest.raises(InputError, match=message):
        write_vectors(tmp_path / name, np.array(x))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 7), "expected 3 rows .* got at least 10"),
        ((102, 7), "expected 102 rows .* got 101"),
        ((101, 8), "expected x with 8 columns, got 7"),
        ((0, 7), "n to be an integer >= 1"),
        ((101, -1), "d to be an integer >= 1"),
        ((101, 7, "complex64"), "dtype to be a float or integer type, got complex64"),
        ((101, 7, "no dtype"), "dtype to be a float or integer type, got 'no dtype'"),
        ((101, 7, "float64"), None),
        ((101, 7, "uint8"), None),
        ((101, 7, "float16"), None),
    ],
)
def test_what_chunks_must_be(tmp_path, suffix, x, arguments, message):
    fixed = FORMATS[suffix].dtype
    if message is None and fixed is not None and fixed != arguments[2]:
        message = f"expected dtype {fixed} for .*, got {arguments[2]}"
    chunks = (x[start : start + 10] for start in range(0, 101, 10))
    if message is None:
        write_chunks(tmp_path / f"a{suffix}", chunks, *arguments)
        np.testing.assert_array_equal(read_all(tmp_path / f"a{suffix}"), x)
    else:
        with pytest.raises(InputError, match=message):
            write_chunks(tmp_path / f"a{suffix}", chunks, *arguments)
        assert list(tmp_path.iterdir()) == []


def test_the_row_of_a_bad_number_is_that_of_the_whole_matrix(tmp_path, x):
    x[57, 3] = 300
    with pytest.raises(InputError, match=r"got 300\.0 in row 57, column 3"):
        write_chunks(tmp_path / "a.u8bin", (x[start : start + 10] for start in range(0, 101, 10)), 101, 7)
    x[57, 3] = 1e5
    with pytest.raises(InputError, match=r"x to fit float16, got 100000\.0 in row 57, column 3"):
        write_chunks(tmp_path / "a.npy", (x[start : start + 10] for start in range(0, 101, 10)), 101, 7, "f2")


def test_chunks_that_end_in_an_error_leave_nothing(tmp_path, suffix, x):
    def chunks():
        yield x[:10]
        raise KeyboardInterrupt

    (tmp_path / f"a{suffix}").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_chunks(tmp_path / f"a{suffix}", chunks(), 101, 7)
    assert [each.name for each in tmp_path.iterdir()] == [f"a{suffix}"]
    assert (tmp_path / f"a{suffix}").read_bytes() == b"old"


def test_a_full_disk_leaves_nothing(tmp_path, suffix):
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
        with pytest.raises(WriteError, match="cannot write"):
            write_vectors(tmp_path / f"a{suffix}", np.ones((1000, 300)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written(tmp_path, x):
    with pytest.raises(WriteError, match="there is no folder"):
        write_vectors(tmp_path / "absent" / "a.npy", x)
    with pytest.raises(VectorFileError, match=r"got \.txt"):
        write_vectors(tmp_path / "a.txt", x)


def test_the_smallest_matrix_too_wide_or_long_for_its_header(tmp_path):
    with pytest.raises(InputError, match="n to be an integer from 0 to 4294967295"):
        write_chunks(tmp_path / "a.fbin", [], 2**32, 1)
    with pytest.raises(InputError, match="d to be an integer from 0 to 2147483647"):
        write_chunks(tmp_path / "a.fvecs", [], 1, 2**31)
    assert list(tmp_path.iterdir()) == []
