"""The packed layout of small codes: one little-endian bit string a row.

A row of m codes of ``nbits`` bits each is one string of m * nbits bits:

* code j occupies bits j * nbits to (j + 1) * nbits - 1 of the string, its lowest bit first;
* bit i of the string is bit i % 8 (0 = least significant) of byte i // 8 of the row;
* the row ends at the next whole byte, and the bits that fill that byte are zero.

Rows do not share bytes, so any block of rows can be packed or unpacked by itself.
With 8 bits the layout is the codes themselves; with 4 bits the even columns are the low nibbles.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lplr_index.arrays import ByteMatrix, as_integer
from lplr_index.errors import InputError


def code_size(m: int, nbits: int) -> int:
    """Return the bytes that a row of ``m`` codes of ``nbits`` bits (1 to 8) occupies."""
    return (m * as_integer(nbits, "nbits", least=1, most=8) + 7) // 8


def pack(codes: ByteMatrix, nbits: int) -> ByteMatrix:
    """Return the rows of ``codes`` as bit strings.

    Parameters
    ----------
    codes : ndarray of shape (n, m), uint8
        Each below 2 ** nbits.
    nbits : int
        Bits per code, 1 to 8.

    Returns
    -------
    ndarray of shape (n, code_size(m, nbits)), uint8

    Raises
    ------
    InputError
        If ``codes`` is not a uint8 matrix or holds a code that ``nbits`` bits cannot.
    """
    _check_bytes(codes, "codes")
    n, m = codes.shape
    size = code_size(m, nbits)
    if codes.size and int(codes.max()) >> nbits:
        raise InputError(f"expected codes below {1 << nbits} for {nbits} bits, got {int(codes.max())}")
    # Eight codes are nbits whole bytes, so they are put together in one 64-bit word.
    count = (m + 7) // 8
    groups = _padded(codes, 8).reshape(n, count, 8)
    words = np.zeros((n, count), dtype="<u8")
    for j in range(8):
        words |= groups[:, :, j].astype("<u8") << np.uint64(j * nbits)
    as_bytes = words.view(np.uint8).reshape(n, count, 8)[:, :, :nbits]
    return np.ascontiguousarray(as_bytes.reshape(n, count * nbits)[:, :size])


def unpack(packed: ByteMatrix, m: int, nbits: int) -> ByteMatrix:
    """Return the codes that ``pack`` made into bit strings.

    Parameters
    ----------
    packed : ndarray of shape (n, code_size(m, nbits)), uint8
    m : int
        Codes per row.
    nbits : int
        Bits per code, 1 to 8.

    Returns
    -------
    ndarray of shape (n, m), uint8

    Raises
    ------
    InputError
        If ``packed`` is not a uint8 matrix of that width.
    """
    _check_bytes(packed, "packed codes")
    n = len(packed)
    if packed.shape[1] != code_size(m, nbits):
        raise InputError(
            f"expected {code_size(m, nbits)} bytes a row for {m} codes of {nbits} bits, got {packed.shape[1]}"
        )
    count = (m + 7) // 8
    as_bytes = np.zeros((n, count, 8), dtype=np.uint8)
    as_bytes[:, :, :nbits] = _padded(packed, nbits).reshape(n, count, nbits)
    words = as_bytes.view("<u8")[:, :, 0]
    codes = np.empty(as_bytes.shape, dtype=np.uint8)
    mask = np.uint64((1 << nbits) - 1)
    for j in range(8):
        codes[:, :, j] = (words >> np.uint64(j * nbits)) & mask
    return np.ascontiguousarray(codes.reshape(n, count * 8)[:, :m])


def _padded(x: ByteMatrix, multiple: int) -> ByteMatrix:
    """Return ``x`` with columns of zeros up to a multiple of ``multiple``."""
    missing = -x.shape[1] % multiple
    return np.pad(x, ((0, 0), (0, missing))) if missing else x


def _check_bytes(x: Any, name: str) -> None:
    if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 2:
        what = f"{x.dtype} of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
        raise InputError(f"expected {name} to be a uint8 matrix, got {what}")
