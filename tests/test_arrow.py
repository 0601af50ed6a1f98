"""arrow.py through the door: columns of lists and of bytes, of whoever hands them over as Arrow does."""

from __future__ import annotations

import re
import sys

import numpy as np
import pandas as pd
import pytest

from lplr_index import IndexLPLR, serialize_index
from lplr_index.arrays import as_array, as_ids, as_vectors
from lplr_index.errors import InputError, MissingDependencyError

pa = pytest.importorskip("pyarrow")

X = np.arange(12, dtype=np.float32).reshape(4, 3)
FIXED = pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 3)


class Foreign:
    """A column of another library, which numpy cannot read: all it has is Arrow's interface."""

    def __init__(self, column):
        self.column = column

    def __arrow_c_stream__(self, requested_schema=None):
        return pa.chunked_array(self.column).__arrow_c_stream__(requested_schema)


def lists(kind=None):
    return pa.array(X.tolist(), pa.list_(kind or pa.float32()))


def cut(column):
    return pa.chunked_array([column[:1], column[1:1], column[1:]])


COLUMNS = {
    "fixed": FIXED,
    "lists": lists(),
    "large lists": pa.array(X.tolist(), pa.large_list(pa.float64())),
    "half": pa.FixedSizeListArray.from_arrays(pa.array(X.astype(np.float16).reshape(-1)), 3),
    "integers": lists(pa.int8()),
    "in pieces": cut(FIXED),
    "lists in pieces": cut(lists()),
    "a part": pa.concat_arrays([FIXED, FIXED])[2:6],
    "tensors": pa.FixedShapeTensorArray.from_numpy_ndarray(X),
    "table": pa.table({"id": [4, 5, 6, 7], "text": list("abcd"), "vector": FIXED}),
    "table in pieces": pa.table({"id": [4, 5, 6, 7], "vector": cut(FIXED)}),
    "batch": pa.record_batch({"vector": lists()}),
    "foreign": Foreign(FIXED),
    "foreign table": Foreign(pa.table({"vector": FIXED}).to_struct_array()),
    "series of arrays": pd.Series(list(X)),
    "series of lists": pd.Series(X.tolist()),
    "frame": pd.DataFrame({"id": range(4), "vector": list(X), "text": list("abcd")}),
    "frame of Arrow": pa.table({"vector": FIXED}).to_pandas(types_mapper=pd.ArrowDtype),
    "frame of numbers": pd.DataFrame(X),
    "table of numbers": pa.table(dict(zip("abc", X.T, strict=True))),
}
EXPECTED = {"a part": X[[2, 3, 0, 1]]}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_lists_is_a_matrix(kind):
    np.testing.assert_array_equal(as_vectors(COLUMNS[kind], 3), EXPECTED.get(kind, X))


@pytest.mark.parametrize("kind", ["fixed", "lists", "tensors", "batch", "foreign", "foreign table"])
def test_what_lies_in_one_piece_is_not_copied(kind):
    column = COLUMNS[kind]

    read = [as_vectors(column), as_vectors(column)]

    assert np.shares_memory(*read)
    if kind == "fixed":
        assert np.shares_memory(read[0], X)


def test_types_stay_as_they_are():
    assert {kind: as_array(COLUMNS[kind]).dtype.str for kind in ("half", "integers", "large lists", "fixed")} == {
        "half": "<f2",
        "integers": "|i1",
        "large lists": "<f8",
        "fixed": "<f4",
    }


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 3), pa.list_(pa.int16())])
def test_a_column_without_rows_has_none(kind):
    empty = as_array(pa.array([], kind))

    assert empty.shape in {(0, 3), (0, 0)}
    assert empty.dtype in {np.dtype("f4"), np.dtype("i2")}


def test_columns_of_bytes_are_codes():
    codes = np.arange(24, dtype=np.uint8).reshape(6, 4)
    column = pa.array([bytes(row) for row in codes], pa.binary(4))

    np.testing.assert_array_equal(as_array(column), codes)
    np.testing.assert_array_equal(as_array(column[2:5]), codes[2:5])
    np.testing.assert_array_equal(as_array(pa.chunked_array([column[:2], column[2:]])), codes)
    assert as_array(column[:0]).shape == (0, 4)


@pytest.mark.parametrize("ids", [pa.array([3, 1]), pa.chunked_array([[3], [1]]), pd.Series([3, 1])])
def test_ids_come_from_columns_too(ids):
    np.testing.assert_array_equal(as_ids(ids), [3, 1])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[1.0, 2.0], None]), "expected lists of 2 in x, got null in row 1"),
        (cut(pa.array([[1.0, 2.0], [1.0, 2.0], None])), "expected lists of 2 in x, got null in row 2"),
        (pa.array([None, [1.0, 2.0]]), "expected a list of numbers in row 0 of x, got null"),
        (pa.array([[], [1.0]]), "expected a list of numbers in row 0 of x, got an empty list"),
        (pa.array([[1.0, 2.0], [3.0]]), "expected lists of 2 in x, got 1 numbers in row 1"),
        (pa.array([[1.0, 2.0], [3.0, None]]), "expected numbers in x, got null among those of row 1"),
        (pa.array([[1.0, None]], pa.list_(pa.float32(), 2)), "expected numbers in x, got null among those of row 0"),
        (pa.array([[1.0, np.nan]]), "expected finite float32 numbers, got nan in row 0, column 1 of x"),
        (pa.array([b"ab", None], pa.binary(2)), "expected bytes in every row of x, got 1 times null"),
        (pd.Series([[1.0], None]), "expected lists of 1 in x, got null in row 1"),
        (pd.Series([[1.0], [1.0, 2.0]]), "expected lists of 1 in x, got 2 numbers in row 1"),
        (pa.table({"a": FIXED, "b": FIXED}), "expected x to have one column of lists, got a, b: pass one of them"),
        (pd.DataFrame({"a": list("ab"), "b": [1, 2]}), "dtype object from DataFrame: not all of its columns are"),
        (pd.Series(list("ab"), dtype=object), "expected x to be an array of numbers, got dtype object from Series"),
        (pd.Series([1, "a"]), "expected x to be an array of numbers, got dtype object from Series"),
        (pa.array(["ab"]), "expected x to be an array of numbers, got dtype object from StringArray"),
        (pa.array([["a"]]), "expected x to be an array of numbers, got dtype object"),
    ],
)
def test_what_is_wrong_is_said(column, message):
    with pytest.raises(InputError, match=re.escape(message)):
        as_vectors(column)


def test_without_pyarrow_numbers_do_and_lists_say_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    np.testing.assert_array_equal(as_vectors(COLUMNS["table of numbers"]), X)
    np.testing.assert_array_equal(as_vectors(COLUMNS["frame of numbers"]), X)
    with pytest.raises(MissingDependencyError, match=r'pip install "lplr_index\[files\]" brings'):
        as_vectors(FIXED)
    with pytest.raises(InputError, match=r"each row one of its own: np\.stack makes them one array"):
        as_vectors(COLUMNS["series of arrays"])


def test_an_index_takes_columns_wherever_it_takes_arrays(vectors):
    def column(x):
        return pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x.shape[1])

    def made(form):
        index = IndexLPLR(48, 1.0)
        index.train(form(vectors.xt), form(vectors.xq))
        index.add_with_ids(pa.table({"v": form(vectors.xb)}) if form is column else vectors.xb, np.arange(1000) + 7)
        return index

    ours, theirs = made(column), made(np.asarray)

    assert serialize_index(ours).tobytes() == serialize_index(theirs).tobytes()
    for mine, other in zip(ours.search(column(vectors.xq), 5), theirs.search(vectors.xq, 5), strict=True):
        np.testing.assert_array_equal(mine, other)
