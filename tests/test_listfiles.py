"""Files of indexes in lists: what was written comes back, and lists that do not fit are refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import naive
from indexes import in_lists, queries, rows
from lplr_index import (
    IndexIVFLPLR,
    IndexRefineLPLR,
    deserialize_index,
    read_index,
    serialize_index,
    verify_index,
    write_index,
)
from lplr_index.errors import FormatError, HeaderError
from lplr_index.listfiles import LIST_DTYPES
from lplr_index.metric import METRICS
from test_storage import assert_same_index, put, put_together, take_apart


def example(metric="cosine", n=70):
    """Return an index in lists whose rows have ids of their own."""
    index = in_lists(metric)
    index.add_with_ids(rows(n), np.arange(n)[::-1] * 3)
    return index


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("own_ids", [False, True])
def test_round_trip(tmp_path, metric, own_ids):
    index = example(metric) if own_ids else in_lists(metric, 70)
    write_index(index, tmp_path / "a.lplr")

    for mapped in (True, False):
        back = read_index(tmp_path / "a.lplr", mmap=mapped, verify=mapped)
        assert isinstance(back, IndexIVFLPLR)
        assert (back.nlist, back.nprobe) == (12, 3)
        assert_same_index(back, index)
        np.testing.assert_array_equal(naive.lists_of(back), naive.lists_of(index))
        np.testing.assert_array_equal(back.search(queries(), 9, nprobe=12), index.search(queries(), 9, nprobe=12))
        assert back.range_search(queries(), 0.1)[0].tolist() == index.range_search(queries(), 0.1)[0].tolist()
    assert_same_index(verify_index(tmp_path / "a.lplr"), index)
    assert struct.unpack("<I", (tmp_path / "a.lplr").read_bytes()[8:12]) == (4,)


def test_a_file_that_is_read_goes_on_growing(tmp_path):
    write_index(in_lists(n=100), tmp_path / "a.lplr")
    index = read_index(tmp_path / "a.lplr")
    index.add(rows(130)[100:])
    index.remove_ids([5, 120])
    expected = in_lists(n=130)
    expected.remove_ids([5, 120])

    np.testing.assert_array_equal(index.search(queries(), 20), expected.search(queries(), 20))
    assert bytes(serialize_index(index)) == bytes(serialize_index(expected))


def test_the_way_rows_came_is_not_in_the_file():
    other = in_lists()
    for start in range(0, 90, 9):
        other.add(rows(90)[start : start + 9])
        other.search(queries(1), 1)

    assert bytes(serialize_index(other)) == bytes(serialize_index(in_lists(n=90)))


@pytest.mark.parametrize("state", ["untrained", "empty"])
def test_an_index_without_rows(state):
    index = in_lists("l2") if state == "empty" else IndexIVFLPLR(48, 2.0, "l2", nlist=12, nprobe=5)

    back = deserialize_index(serialize_index(index))

    assert_same_index(back, index)
    assert (back.nlist, back.nprobe) == (12, index.nprobe)


def test_a_second_stage_after_lists(tmp_path):
    np.save(tmp_path / "x.npy", rows(60))
    index = IndexRefineLPLR(in_lists(), originals=tmp_path / "x.npy")
    index.add(rows(60))
    write_index(index, tmp_path / "a.lplr")

    back = read_index(tmp_path / "a.lplr")

    assert isinstance(back.base_index, IndexIVFLPLR)
    np.testing.assert_array_equal(back.search(queries(), 5), index.search(queries(), 5))


def test_a_row_costs_its_code_and_the_number_of_its_list():
    sizes = [len(serialize_index(in_lists(n=n))) for n in (640, 1280)]
    assert sizes[1] - sizes[0] == 640 * (in_lists().code_size + 1)


LIES = {
    "a list that is not there": ("list_numbers", lambda a: np.full_like(a, 12)),
    "too few numbers": ("list_numbers", lambda a: a[:-1]),
    "wide numbers": ("list_numbers", lambda a: np.repeat(a, 2, axis=1)),
    "too few centroids": ("list_centroids", lambda a: a[1:]),
    "narrow centroids": ("list_centroids", lambda a: a[:, 1:]),
    "no finite centroids": ("list_centroids", lambda a: a * np.nan),
    "a reach of no number": ("list_reach", lambda a: a * np.nan),
    "too few reaches": ("list_reach", lambda a: a[1:]),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_about_lists(name):
    section, change = LIES[name]
    header, parts = take_apart(bytes(serialize_index(example())))
    stated = next(each for each in header["sections"] if each["name"] == section)
    before = np.frombuffer(parts[section], stated["dtype"]).reshape(stated["shape"])
    put(header, parts, section, change(before))

    with np.errstate(all="ignore"), pytest.raises(HeaderError, match="expected"):
        deserialize_index(put_together(header, parts, version=4))


@pytest.mark.parametrize("said", [None, {}, {"nlist": 12}, {"nlist": 0, "nprobe": 1}, {"nlist": 12, "nprobe": 0}, 7])
def test_lies_in_the_header(said):
    header, parts = take_apart(bytes(serialize_index(example())))
    header["lists"] = said

    with pytest.raises(HeaderError, match="expected"):
        deserialize_index(put_together(header, parts, version=4))


@pytest.mark.parametrize("name", sorted({*LIST_DTYPES} - {"list_basis"}))  # which not every index has
def test_sections_that_are_missing_or_too_many(name):
    header, parts = take_apart(bytes(serialize_index(example())))
    some = [each for each in header["sections"] if each["name"] != name]
    with pytest.raises(HeaderError, match="expected"):
        deserialize_index(put_together(header | {"sections": some}, parts, version=4))
    del header["lists"]
    with pytest.raises(HeaderError, match="expected no lists in an index without them, got list_"):
        deserialize_index(put_together(header, parts, version=4))


def test_random_damage_is_always_found(rng):
    data = np.frombuffer(bytes(serialize_index(example())), np.uint8)
    for _ in range(200):
        damaged = data.copy()
        damaged[rng.integers(len(data))] ^= np.uint8(1 << rng.integers(8))
        with pytest.raises(FormatError, match="expected"):
            deserialize_index(damaged)
