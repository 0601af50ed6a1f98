"""The one door for arrays that come from users.

Every public method passes what it is given through here once;
behind the door everything is C-contiguous, finite and of one dtype.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index import kernels
from lplr_index.arrow import arrow_matrix, is_arrow
from lplr_index.errors import InputError, MissingDependencyError, ZeroVectorWarning

FloatMatrix = npt.NDArray[np.float32]
ByteMatrix = npt.NDArray[np.uint8]
IdArray = npt.NDArray[np.int64]

LARGEST = 1e17  # magnitude of a coordinate under inner product and L2
_FEW = 1 << 14  # numbers that are looked at one by one
_NO_ROWS = np.empty(0, np.int64)


def as_array(x: Any, *, name: str = "x") -> npt.NDArray[Any]:
    """Return ``x`` as an array of whatever shape and dtype, not copied if it is one.

    A column of lists, or a table of which one column holds lists, is a matrix: pyarrow's, pandas', polars' and whatever
    else hands its memory over as Arrow does. A column of bytes of one size is a matrix of uint8.

    Raises
    ------
    InputError
        If it is a list of rows of different lengths, holds Python objects, nulls or masked values, or is a tensor that
        numpy cannot read.
    MissingDependencyError
        If it is a column of lists that pyarrow is needed for.
    """
    if type(x) is np.ndarray and x.dtype != object:
        return x
    if np.ma.is_masked(x):
        raise InputError(f"expected {name} without masked values, got some")
    column = None if isinstance(x, np.ndarray) else _column(x, name)
    if column is not None:
        return column
    try:
        a = np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as err:  # tensors on a device or with a gradient raise the last two
        lengths = "inhomogeneous" in str(err)
        got = "rows of different lengths" if lengths else f"a {type(x).__name__} that numpy cannot read: {err}"
        raise InputError(f"expected {name} to be an array of numbers, got {got}") from err
    if a.dtype != object:
        return a
    column = None if isinstance(x, (np.ndarray, list, tuple)) else _column_of_objects(x, a, name)
    if column is None:
        raise InputError(f"expected {name} to be an array of numbers, got dtype object{_of_what(x, a)}")
    return column


def _column(x: Any, name: str) -> npt.NDArray[Any] | None:
    """A column of lists as a matrix (n, d); None for what numpy reads itself, as pandas' numbers."""
    if not is_arrow(x) or hasattr(x, "iloc"):
        return None
    with contextlib.suppress(MissingDependencyError):  # numbers can do without
        return arrow_matrix(x, name)
    return None


def _column_of_objects(x: Any, a: npt.NDArray[Any], name: str) -> npt.NDArray[Any] | None:
    """A column ``x`` of lists, of which numpy made objects ``a`` (n,), as a matrix (n, d); None if it is none."""
    if is_arrow(x) and not hasattr(x, "iloc"):
        return arrow_matrix(x, name)
    with contextlib.suppress(MissingDependencyError):  # np.stack, which the message names, makes numbers of them too
        return arrow_matrix(x if is_arrow(x) else a, name)
    return None


def _of_what(x: Any, a: npt.NDArray[Any]) -> str:
    """Say what ``x`` was before it became an array ``a`` of objects, and what would make numbers of it."""
    if hasattr(x, "toarray"):
        return f" from sparse {type(x).__name__}: its toarray() holds numbers"
    if a.ndim == 1 and len(a) and isinstance(a[0], (list, tuple, np.ndarray)):
        return ", each row one of its own: np.stack makes them one array"
    if hasattr(x, "columns"):
        return f" from {type(x).__name__}: not all of its columns are plain numbers"
    return "" if isinstance(x, np.ndarray) else f" from {type(x).__name__}"


def as_vectors(x: Any, d: int | None = None, *, name: str = "x", first_row: int = 0) -> FloatMatrix:
    """Return ``x`` as a C-contiguous float32 array of shape (n, d) without NaN or infinity.

    Parameters
    ----------
    x : array_like of shape (n, d)
        Floating point or integer numbers; copied only where dtype or layout differ.
    d : int, optional
        The number of columns expected; any where None.
    name : str
        What the message calls the array.
    first_row : int
        Added to row numbers in messages, for callers that pass a matrix in chunks.

    Raises
    ------
    InputError
        If ``x`` is not a numeric matrix of that width, or holds a value that float32 cannot.
    """
    given, rows = _as_floats(x, d, name)
    if not _looks_finite(rows):
        _refuse_infinite(given, rows, name, first_row)
    return rows


def _as_floats(x: Any, d: int | None, name: str) -> tuple[npt.NDArray[Any], FloatMatrix]:
    """``x`` as the matrix (n, d) that it is, and as one of float32, whatever its numbers."""
    a = as_array(x, name=name)
    if a.dtype.kind not in "fiub" or a.dtype.itemsize > 8:
        wide = ": float64 is the widest known" if a.dtype.kind == "f" else ""
        raise InputError(f"expected {name} to hold float or integer numbers, got dtype {a.dtype}{wide}")
    if a.ndim != 2:
        single = f": {name}[None] is one row" if a.ndim == 1 and len(a) else ""
        raise InputError(f"expected {name} of shape (n, {'d' if d is None else d}), got shape {a.shape}{single}")
    if d is not None and a.shape[1] != d:
        raise InputError(f"expected {name} with {d} columns, got {a.shape[1]}")
    if a.shape[1] == 0:
        raise InputError(f"expected {name} with at least one column, got shape {a.shape}")
    if a.dtype == np.float32 and a.flags.c_contiguous:
        return a, a
    with np.errstate(over="ignore"):
        return a, np.ascontiguousarray(a, dtype=np.float32)


def _refuse_infinite(given: npt.NDArray[Any], rows: FloatMatrix, name: str, first_row: int) -> None:
    """Raise InputError for the first number of rows (n, d) that is not finite, as it was ``given``, if there is one."""
    bad = ~np.isfinite(rows).all(axis=1)
    if not bad.any():
        return
    row = int(np.argmax(bad))
    column = int(np.argmax(~np.isfinite(rows[row])))
    raise InputError(
        f"expected finite float32 numbers, got {given[row, column]} in row {first_row + row}, column {column} of {name}"
    )


def _looks_finite(x: FloatMatrix) -> bool:
    """Whether all of x (n, d) is finite, or else whether it may not be: of many numbers one sum tells."""
    if x.size <= _FEW:
        return bool(np.isfinite(x).all())
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.sum()))


def as_ids(ids: Any, n: int | None = None, *, name: str = "ids") -> IdArray:
    """Return ``ids`` as a contiguous int64 array of shape (n,).

    Raises
    ------
    InputError
        If ``ids`` is not one-dimensional, not integer, out of the int64 range, or not ``n`` long.
    """
    a = as_array(ids, name=name)
    if a.ndim != 1 or (a.size and a.dtype.kind not in "iu"):
        raise InputError(f"expected {name} to be a one-dimensional integer array, got {a.dtype} of shape {a.shape}")
    if a.dtype == np.uint64 and a.size and int(a.max()) > np.iinfo(np.int64).max:
        raise InputError(f"expected {name} that fit in int64, got {int(a.max())}")
    if n is not None and len(a) != n:
        raise InputError(f"expected {n} {name}, got {len(a)}")
    return np.ascontiguousarray(a, dtype=np.int64)


def as_codes(codes: Any, code_size: int) -> ByteMatrix:
    """Return ``codes`` as a C-contiguous uint8 array of shape (n, code_size).

    Raises
    ------
    InputError
        If it has another dtype or width.
    """
    a = as_array(codes, name="codes")
    if a.dtype != np.uint8 or a.ndim != 2 or a.shape[1] != code_size:
        raise InputError(f"expected codes of shape (n, {code_size}) and dtype uint8, got {a.dtype} of shape {a.shape}")
    return np.ascontiguousarray(a)


def as_integer(value: Any, name: str, *, least: int = 0, most: int | None = None) -> int:
    """Return ``value`` as an int between ``least`` and ``most``.

    Raises
    ------
    InputError
        If it is not an integer (bool excluded) or lies outside.
    """
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if is_integer and least <= value and (most is None or value <= most):
        return int(value)
    bound = f"an integer >= {least}" if most is None else f"an integer from {least} to {most}"
    raise InputError(f"expected {name} to be {bound}, got {value if is_integer else repr(value)}")


def as_rows(x: Any, d: int, *, cosine: bool, name: str = "x", first_row: int = 0) -> tuple[FloatMatrix, IdArray]:
    """Return ``x`` (n, d) as ``as_vectors`` does, its rows of length one where ``cosine``.

    Also returns the numbers (zeros,) of rows of length zero under cosine, which stay zero; see ``warn_of_zeros``.

    Raises
    ------
    InputError
        As ``as_vectors`` does, and for numbers beyond ``LARGEST`` where lengths matter.
    """
    if not cosine:
        rows = as_vectors(x, d, name=name, first_row=first_row)
        beyond = np.abs(rows).max(axis=1, initial=0) > LARGEST
        if beyond.any():
            row = int(np.argmax(beyond))
            raise InputError(
                f"expected numbers up to {LARGEST:g}, whose squares float32 can add up, "
                f"got {np.abs(rows[row]).max():g} in row {first_row + row}"
            )
        return rows, _NO_ROWS
    given, rows = _as_floats(x, d, name)
    unit, norms = np.empty(rows.shape, np.float32), np.empty(len(rows))
    if kernels.lengths.divide(rows, unit, norms):
        return unit, _NO_ROWS
    _refuse_infinite(given, rows, name, first_row)
    return unit, np.flatnonzero(norms == 0) + first_row


def warn_of_zeros(zeros: IdArray, n: int) -> None:
    """Give a ZeroVectorWarning, at the caller's line, where ``zeros`` (zeros,) of n vectors have no direction."""
    if not len(zeros):
        return
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "lplr_index":
        level, frame = level + 1, frame.f_back
    message = f"{len(zeros)} of {n} vectors have length zero, row {zeros[0]} first: no direction for cosine to compare"
    warnings.warn(message, ZeroVectorWarning, stacklevel=level)


def row_chunks(x: Any, rows: int) -> Iterator[tuple[int, Any]]:
    """Cut ``x`` (n, d) into chunks of ``rows`` rows, unchecked, each with its first row number; one chunk if n is 0.

    Raises
    ------
    InputError
        If ``x`` is no matrix.
    """
    a = as_array(x)
    if a.ndim != 2:
        a = as_vectors(a)
    for start in range(0, max(len(a), 1), rows):
        yield start, a[start : start + rows]


def as_number(value: Any, name: str, *, least: float = -math.inf) -> float:
    """Return ``value`` as a finite float, ``least`` or more.

    Raises
    ------
    InputError
        If it is not one.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as err:
        raise InputError(f"expected {name} to be a number, got {value!r}") from err
    if not np.isfinite(number):
        raise InputError(f"expected {name} to be finite, got {number}")
    if number < least:
        raise InputError(f"expected {name} to be at least {least:g}, got {number:g}")
    return number


def unit_rows(x: FloatMatrix) -> tuple[FloatMatrix, npt.NDArray[np.float64]]:
    """Return the rows of ``x`` (n, d) divided by their L2 norms, and the norms (n,).

    Rows of length zero stay zero. Each row is handled by itself, so the result does not depend on the batch.
    """
    unit, norms = np.empty(x.shape, np.float32), np.empty(len(x))
    kernels.lengths.divide(x, unit, norms)
    return unit, norms


def as_half(x: npt.NDArray[np.floating]) -> FloatMatrix:
    """Float32 numbers that are float16 numbers too, as files store them, of x (n, m)."""
    return np.ascontiguousarray(x.astype(np.float16), np.float32)


def joined(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Parts (n, ...) one after the other; a single one as it is."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def some_rows(x: npt.NDArray[Any], most: int, seed: int | np.random.Generator) -> npt.NDArray[Any]:
    """At most ``most`` rows of x (n, ...), a seeded choice over all of it, in their order; x where it has no more."""
    if len(x) <= most:
        return x
    return np.ascontiguousarray(x[np.sort(np.random.default_rng(seed).choice(len(x), most, replace=False))])
