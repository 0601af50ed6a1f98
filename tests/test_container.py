"""container.py: arrays under a header, whatever they mean; test_storage.py damages real files in every way."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest

from lplr_index.container import MAGIC, natural, pack, stated, unpack
from lplr_index.errors import ChecksumError, HeaderError

DTYPES = {"a": "<f4", "b": "|u1", "none": "<i8"}


def packed():
    a = np.arange(6, dtype="<f4").reshape(2, 3)
    b = [np.arange(100, dtype=np.uint8), np.arange(30, dtype=np.uint8)]
    data = b"".join(pack({"answer": 42}, [("a", "<f4", (2, 3), [a]), ("b", "|u1", (13, 10), b)], 2))
    return np.frombuffer(data, np.uint8).copy(), a, np.concatenate(b).reshape(13, 10)


def test_what_is_packed_is_unpacked():
    data, a, b = packed()

    header, arrays = unpack(data, DTYPES)

    assert header["answer"] == 42
    assert list(arrays) == ["a", "b"]
    np.testing.assert_array_equal(arrays["a"], a)
    np.testing.assert_array_equal(arrays["b"], b)
    assert all(np.shares_memory(array, data) for array in arrays.values())


def test_the_layout_is_that_of_the_format():
    data, a, b = packed()
    magic, version, length, crc, own = struct.unpack("<8sIIII", data[:24].tobytes())
    text = data[24 : 24 + length].tobytes()

    assert (magic, version) == (MAGIC, 2)
    assert (24 + length) % 4096 == 0
    assert (crc, own) == (zlib.crc32(text), zlib.crc32(data[:20].tobytes()))
    assert [section["offset"] for section in json.loads(text)["sections"]] == [0, 64]
    assert data[24 + length :].tobytes() == a.tobytes() + bytes(40) + b.tobytes() + bytes(62)


def test_a_checksum_is_compared_unless_it_is_left_out():
    data, _, _ = packed()
    data[4096 + 64 + 5] ^= 1  # in b

    with pytest.raises(ChecksumError, match="expected section b to match its checksum, got other bytes"):
        unpack(data, DTYPES)
    _, arrays = unpack(data, DTYPES, frozenset({"b"}))
    assert arrays["b"][0, 5] == 4


def test_only_known_arrays_are_taken():
    with pytest.raises(HeaderError, match=r"expected each of the known sections once .*, got 'b' as '\|u1'"):
        unpack(packed()[0], {"a": "<f4"})


def test_what_a_header_states():
    assert stated({"n": 3}, "n", (int, float)) == 3
    for holder in ({}, {"n": "3"}, {"n": True}):
        with pytest.raises(HeaderError, match="expected 'n' to be of type int, got"):
            stated(holder, "n", int)


def test_natural_numbers():
    assert natural(0) == 0
    assert natural(2**63 - 1) == 2**63 - 1
    for value in (-1, 2**63, 1.0, True, None, "1"):
        with pytest.raises(HeaderError, match="expected a whole number from 0 to"):
            natural(value)
