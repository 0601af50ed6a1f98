"""vectors/parquet.py: lists of every kind, and files without any."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.errors import VectorFileError
from lplr_index.vectors import open_vectors
from lplr_index.vectors.base import CHUNK_BYTES
from lplr_index.vectors.parquet import BUFFER_BYTES
from lplr_index.vectors.sink import DEFAULT_NAME
from lplr_index.vectors.writing import write_vectors
from vector_files import complaint, write_parquet

ARROW_NUMBERS = [
    *[("halffloat", "f2"), ("float", "f4"), ("double", "f8"), ("int8", "i1"), ("uint8", "u1"), ("int64", "i8")]
]


@pytest.mark.parametrize("kind", ["list", "large_list", "fixed"])
@pytest.mark.parametrize(("number", "dtype"), ARROW_NUMBERS)
@pytest.mark.parametrize("group_rows", [1, 13, 1000])
def test_parquet_lists_of_every_kind(tmp_path, x, kind, number, dtype, group_rows):
    pa = pytest.importorskip("pyarrow")
    column = pa.array(list(x.astype(dtype)), parquet_type(pa, kind, number))
    write_parquet(tmp_path / "a.parquet", {"id": list(range(101)), "emb": column}, row_group_size=group_rows)
    with open_vectors(tmp_path / "a.parquet") as file:
        assert file.dtype == dtype
        np.testing.assert_array_equal(file.read(0, 101), x)
        np.testing.assert_array_equal(file.read(99, 101), x[99:])
        np.testing.assert_array_equal(file.read(12, 14), x[12:14])
        np.testing.assert_array_equal(file.read(12, 13), x[12:13])


def parquet_type(pa, kind, number="float"):
    inner = pa.type_for_alias(number)
    return {"list": pa.list_(inner), "large_list": pa.large_list(inner), "fixed": pa.list_(inner, 7)}[kind]


def test_arrow_reads_what_is_written(tmp_path, x):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_vectors(tmp_path / "a.parquet", x)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == [DEFAULT_NAME]
    np.testing.assert_array_equal(np.array(table[DEFAULT_NAME].to_pylist()), x)
    assert BUFFER_BYTES < CHUNK_BYTES


@pytest.mark.parametrize("kind", ["list", "large_list", "fixed"])
@pytest.mark.parametrize("at", [0, 1, 50, 100])
def test_parquet_rows_that_are_null(tmp_path, x, kind, at):
    # Older versions neither write lists of fixed size with a null between them nor say in which row they met one.
    pa = pytest.importorskip("pyarrow", minversion="26" if kind == "fixed" else None)
    rows = x.tolist()
    rows[at] = None
    write_parquet(tmp_path / "a.parquet", {"emb": pa.array(rows, parquet_type(pa, kind))}, row_group_size=30)
    message = complaint(tmp_path / "a.parquet")
    assert "got null" in message
    assert f"row {at}" in message
    rows[at] = [1.0, None, *range(5)]
    write_parquet(tmp_path / "a.parquet", {"emb": pa.array(rows, parquet_type(pa, kind))}, row_group_size=30)
    assert f"got null among those of row {at}" in complaint(tmp_path / "a.parquet")


def test_parquet_lists_of_unequal_length(tmp_path, x):
    rows = x.tolist()
    rows[50] = rows[50][:6]
    write_parquet(tmp_path / "a.parquet", {"emb": rows}, row_group_size=30)
    path = tmp_path / "a.parquet"
    assert complaint(path) == f"expected lists of 7 in {path}, got 6 numbers in row 50"
    rows[51] += [0.0]  # as many numbers as there should be
    write_parquet(path, {"emb": rows})
    assert complaint(path) == f"expected lists of 7 in {path}, got 6 numbers in row 50"
    rows[0] = []
    write_parquet(tmp_path / "a.parquet", {"emb": rows})
    assert "row 0" in complaint(tmp_path / "a.parquet")


def test_parquet_that_is_damaged_in_the_middle_stays_an_error_there_and_readable_elsewhere(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("lplr_index.vectors.base.CHUNK_BYTES", 8 * 100 * 4 * 7)  # batches of 100 rows
    x = rng.standard_normal((1000, 7)).astype(np.float32)
    path = tmp_path / "a.parquet"
    write_parquet(path, {"emb": list(x)}, row_group_size=100, compression="none", use_dictionary=False)
    raw = path.read_bytes()
    at = raw.index(x[400].tobytes())
    path.write_bytes(raw[: at - 60] + b"\xff" * 60 + raw[at:])  # the header of the page of rows 400 to 499
    with open_vectors(path) as file:
        for _ in range(3):
            for start, stop in ((399, 402), (350, 460), (400, 500)):
                with pytest.raises(VectorFileError):
                    file.read(start, stop)
            np.testing.assert_array_equal(file.read(0, 400), x[:400])
            np.testing.assert_array_equal(file.read(390, 400), x[390:400])
            np.testing.assert_array_equal(file.read(500, 1000), x[500:])


def test_parquet_without_lists_of_numbers(tmp_path):
    pa = pytest.importorskip("pyarrow")
    write_parquet(tmp_path / "a.parquet", {"c0": [1.0, 2.0], "words": [["a"], ["b"]]})
    message = "to have a list of numbers in each row, got 2 columns of other things"
    assert complaint(tmp_path / "a.parquet").endswith(message)
    assert complaint(tmp_path / "a.parquet", "words").endswith(message)
    write_parquet(tmp_path / "a.parquet", {"emb": pa.array([], pa.list_(pa.float32()))})
    assert "no row" in complaint(tmp_path / "a.parquet")
