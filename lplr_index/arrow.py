"""Arrow columns of lists as matrices, whoever holds them: pyarrow, pandas, polars, DuckDB and the rest.

They are read through the Arrow C data interface (``__arrow_c_array__``, ``__arrow_c_stream__``) by pyarrow. A column of
lists of one size, without nulls and in one piece, is not copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.errors import InputError
from lplr_index.extras import require

EXTRA = "files"


def is_arrow(x: Any) -> bool:
    """Tell whether ``x`` hands its memory over as Arrow does."""
    return hasattr(x, "__arrow_c_stream__") or hasattr(x, "__arrow_c_array__")


def arrow_matrix(x: Any, name: str) -> npt.NDArray[Any] | None:
    """The lists of numbers, or the bytes of one size, that a column holds, as a matrix (n, d); None where it has none.

    Parameters
    ----------
    x : object
        A column, or a table of which one column holds lists; or an array of objects, of shape (n,).
    name : str
        What a message calls it.

    Raises
    ------
    InputError
        If a list is missing, has another length than the first or misses a number, or several columns hold lists.
    MissingDependencyError
        Without pyarrow.
    """
    arrow = require("pyarrow", EXTRA)
    try:
        column = arrow.chunked_array([arrow.array(x)]) if isinstance(x, np.ndarray) else arrow.chunked_array(x)
    except (arrow.ArrowException, TypeError, ValueError):  # what is in there is no column of anything
        return None
    if arrow.types.is_struct(column.type):
        column = _only_vectors(column, name)
    if column is None:
        return None
    kind = _below(column.type)
    pieces = [getattr(piece, "storage", piece) for piece in column.chunks if len(piece)]
    if arrow.types.is_fixed_size_binary(kind):
        matrices = [_bytes(piece, name) for piece in pieces] or [np.empty((0, kind.byte_width), np.uint8)]
    elif not is_vector(kind):
        return None
    elif pieces:
        matrices = list(_matrices(pieces, name))
    else:
        width = kind.list_size if arrow.types.is_fixed_size_list(kind) else 0
        matrices = [np.empty((0, width), numpy_dtype(kind.value_type))]
    return matrices[0] if len(matrices) == 1 else np.concatenate(matrices)


def list_column(matrix: npt.NDArray[Any]) -> Any:
    """A matrix (n, d) as an Arrow array of n lists of fixed size; its memory is shared where it is contiguous."""
    arrow = require("pyarrow", EXTRA)
    return arrow.FixedSizeListArray.from_arrays(arrow.array(matrix.reshape(-1)), matrix.shape[1])


def bytes_column(matrix: npt.NDArray[np.uint8]) -> Any:
    """A contiguous matrix (n, size) as an Arrow array of n times ``size`` bytes, which shares its memory."""
    arrow = require("pyarrow", EXTRA)
    n, size = matrix.shape
    return arrow.Array.from_buffers(arrow.binary(size), n, [None, arrow.py_buffer(matrix)])


def is_vector(kind: Any) -> bool:
    """Tell whether an Arrow type is that of a list of real numbers."""
    types = require("pyarrow", EXTRA).types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    inner = kind.value_type
    return bool(types.is_floating(inner) or types.is_integer(inner) or types.is_boolean(inner))


def numpy_dtype(kind: Any) -> np.dtype[Any]:
    """Return the dtype of an Arrow type of real numbers. Arrow's own answer needs pandas in most versions."""
    types = require("pyarrow", EXTRA).types
    if types.is_boolean(kind):
        return np.dtype(np.bool_)
    letter = "f" if types.is_floating(kind) else "u" if types.is_unsigned_integer(kind) else "i"
    return np.dtype(f"{letter}{kind.bit_width // 8}")


def list_lengths(lists: Any) -> npt.NDArray[np.int64]:
    """Return the lengths of an Arrow array of lists, shape (rows,), -1 where there is null and no list."""
    compute = require("pyarrow.compute", EXTRA)
    lengths = compute.list_value_length(lists).to_numpy(zero_copy_only=False)
    null = lists.is_null().to_numpy(zero_copy_only=False)
    return np.where(null, -1, np.nan_to_num(lengths)).astype(np.int64)


def list_matrix(lists: Any, d: int, name: str, first_row: int) -> npt.NDArray[Any]:
    """Return an Arrow array of lists of ``d`` numbers, the first of which is row ``first_row``, as a matrix (rows, d).

    Raises
    ------
    InputError
        If a list is missing, has another length or misses a number.
    """
    lengths = list_lengths(lists)
    if (lengths != d).any():
        row = int(np.argmax(lengths != d))
        got = f"{lengths[row]} numbers" if lengths[row] >= 0 else "null"
        raise InputError(f"expected lists of {d} in {name}, got {got} in row {first_row + row}")
    values = lists.flatten()
    if values.null_count:
        row = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False))) // d
        raise InputError(f"expected numbers in {name}, got null among those of row {first_row + row}")
    matrix: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(-1, d)
    return matrix


def _matrices(pieces: list[Any], name: str) -> Iterator[npt.NDArray[Any]]:
    """The pieces of a column of lists, none of them empty, as matrices (rows, d) of one width."""
    d, row = int(list_lengths(pieces[0][:1])[0]), 0
    if d < 1:
        raise InputError(f"expected a list of numbers in row 0 of {name}, got {'null' if d else 'an empty list'}")
    for piece in pieces:
        yield list_matrix(piece, d, name, row)
        row += len(piece)


def _only_vectors(table: Any, name: str) -> Any:
    """The one column of a table, itself a column of structs, that holds lists; None where there is none."""
    columns = [number for number, field in enumerate(table.type) if is_vector(_below(field.type))]
    if len(columns) > 1:
        names = ", ".join(table.type[number].name for number in columns)
        raise InputError(f"expected {name} to have one column of lists, got {names}: pass one of them")
    if not columns:
        return None
    pieces = [piece.field(columns[0]) for piece in table.chunks]
    return require("pyarrow", EXTRA).chunked_array(pieces, table.type[columns[0]].type)


def _below(kind: Any) -> Any:
    """The type that an extension, such as that of tensors of one shape, is stored as; the type itself of others."""
    return getattr(kind, "storage_type", kind)


def _bytes(piece: Any, name: str) -> npt.NDArray[np.uint8]:
    """An Arrow array of bytes of one size as a matrix (rows, size)."""
    if piece.null_count:
        raise InputError(f"expected bytes in every row of {name}, got {piece.null_count} times null")
    size = piece.type.byte_width
    data = np.frombuffer(piece.buffers()[1], np.uint8)
    return data[piece.offset * size : (piece.offset + len(piece)) * size].reshape(-1, size)
