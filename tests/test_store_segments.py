"""Segments and bits of rows that live: they come back, and what is damaged has a name."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from damage import forgeries, mutants
from indexes import in_lists, queries, rows, trained
from lplr_index.errors import ChecksumError, FormatError, HeaderError, InputError
from lplr_index.scanning import no_filter
from lplr_index.store.keys import Names
from lplr_index.store.listed import arrangement_of
from lplr_index.store.living import all_live, count
from lplr_index.store.segments import Contained, map_file, read_live, read_segment, write_live, write_segment

IDS = np.array([3, 4, 9, *range(20, 87)])


KINDS = ("vectors", "codes", "lists")  # of rows


def contained(ids, *, kind="codes", strings=False, pieces=1):
    """Return what a segment of some rows is made of, and their codes or vectors."""
    data = rows(len(ids)) if kind == "vectors" else index_of(kind).sa_encode(rows(len(ids)))
    named = Names.of_list([f"ø{i}" for i in ids]) if strings else None
    cut = np.array_split(np.arange(len(ids)), pieces)
    sections = arranged(kind).sections(data)
    what = Contained(len(ids), int(ids[0]), int(ids[-1]), [ids[part] for part in cut], sections, named)
    return what, data


def index_of(kind):
    return in_lists() if kind == "lists" else trained()


def arranged(kind="codes"):
    index = index_of(kind)
    return arrangement_of(index.settings, None if kind == "vectors" else index.model)


def again(folder, stamp, *, kind="codes", strings=False, whole=True):
    return read_segment(map_file(folder, stamp), arranged(kind), strings=strings, whole=whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strings", [True, False])
@pytest.mark.parametrize(("ids", "pieces"), [(IDS, 1), (IDS, 7), (np.arange(5, 105), 3), (np.array([2**62]), 1)])
def test_rows_come_back(tmp_path, kind, strings, ids, pieces):
    what, data = contained(ids, kind=kind, strings=strings, pieces=pieces)
    stamp = write_segment(tmp_path, "segment-00000001", arranged(kind), what)
    assert stamp.nbytes == (tmp_path / "segment-00000001").stat().st_size
    for whole in (True, False):
        segment = again(tmp_path, stamp, kind=kind, strings=strings, whole=whole)
        assert segment.n == len(ids)
        np.testing.assert_array_equal(segment.numbers.part(0, len(ids)), ids)
        np.testing.assert_array_equal(segment.rows.data(np.arange(len(ids))), data)
        assert (segment.numbers.stored is None) == (len(ids) == ids[-1] - ids[0] + 1)
        if strings:
            assert segment.names.of(np.arange(len(ids))) == [f"ø{i}" for i in ids]
            assert segment.names.find([f"ø{ids[-1]}", "nobody"]).tolist() == [len(ids) - 1, -1]
        if kind == "vectors":
            expected = data / np.linalg.norm(data.astype(float), axis=1)[:, None]
            np.testing.assert_array_equal(segment.rows.vectors(np.arange(len(ids))), expected.astype(np.float32))


def test_a_row_costs_what_it_should(tmp_path):
    what, _ = contained(np.arange(64))
    dense = write_segment(tmp_path, "segment-00000001", arranged(), what)
    what, _ = contained(np.arange(0, 128, 2))
    spread = write_segment(tmp_path, "segment-00000002", arranged(), what)
    assert dense.nbytes == 4096 + 64 * 12
    assert spread.nbytes == dense.nbytes + 64 * 8


def test_another_file_under_the_name_is_seen(tmp_path):
    what, _ = contained(IDS)
    stamp = write_segment(tmp_path, "segment-00000001", arranged(), what)
    for other in (replace(stamp, crc32=stamp.crc32 ^ 1), replace(stamp, nbytes=stamp.nbytes + 1)):
        with pytest.raises(ChecksumError, match="bytes as they were written"):
            map_file(tmp_path, other)
    with pytest.raises(HeaderError, match="expected codes of the training None, got"):
        again(tmp_path, stamp, kind="vectors")
    with pytest.raises(HeaderError, match="expected rows in blocks, ends, hashes, order, tails, text"):
        again(tmp_path, stamp, strings=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_by_who_reads_all(tmp_path, kind):
    what, _ = contained(IDS, kind=kind, strings=True)
    stamp = write_segment(tmp_path, "segment-00000001", arranged(kind), what)
    data = (tmp_path / stamp.name).read_bytes()
    for at in range(4096, len(data), 7):
        copy = np.frombuffer(data, np.uint8).copy()
        copy[at] ^= 1 << at % 8
        with pytest.raises(ChecksumError):
            read_segment(copy, arranged(kind), strings=True, whole=True)


def search_all(segment):
    """Search and range-search the rows."""
    kind = {"VectorRows": "vectors", "FlatRows": "codes", "ListedRows": "lists"}[type(segment.rows).__name__]
    asked = arranged(kind).asked(queries(3), 12, 1)
    worst = np.full(3, -np.inf, np.float32)
    asked.best(segment.rows, segment.numbers, 3, no_filter(), 1, worst)
    asked.above(segment.rows, segment.numbers, 0.0, no_filter(), 1)


def look(segment):
    """Use everything of a segment that was opened without a look at all of it."""
    some = np.arange(segment.n)
    segment.rows.data(some)
    assert segment.rows.vectors(some).shape == (segment.n, 48)
    segment.rows.by_row(segment.rows.by_place(some % 2 > 0))
    segment.rows.rows_at(segment.rows.places(some))
    search_all(segment)
    segment.numbers.find(segment.numbers.of(some))
    if segment.names is not None:
        segment.names.find(segment.names.of(some))


def fuzz(folder, count):
    for kind, strings in (("codes", False), ("codes", True), ("vectors", True), ("lists", False)):
        what, _ = contained(IDS, kind=kind, strings=strings)
        stamp = write_segment(folder, "segment-00000001", arranged(kind), what)
        data = (folder / stamp.name).read_bytes()
        for copies in (mutants(data, 0, count), forgeries(data, 1, count)):
            for i, copy in enumerate(copies):
                raw = np.frombuffer(copy, np.uint8)
                # Vectors whose checksum nobody asked for may be no numbers.
                with contextlib.suppress(FormatError, *([InputError] if kind == "vectors" else [])):
                    look(read_segment(raw, arranged(kind), strings=strings, whole=i % 2 == 0))


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_mutants_raise_nothing_untyped(tmp_path):
    fuzz(tmp_path, 300)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_many_mutants_raise_nothing_untyped(tmp_path):
    fuzz(tmp_path, 4000)


# Rows that live


def test_bits_of_other_rows(tmp_path):
    write_live(tmp_path, "live-00000001", all_live(40))
    data = np.fromfile(tmp_path / "live-00000001", np.uint8)
    for n in (39, 65):
        with pytest.raises(HeaderError, match=f"expected bits of {n} rows"):
            read_live(data, n)
    for copies in (mutants(data.tobytes(), 0, 300), forgeries(data.tobytes(), 1, 300)):
        for copy in copies:
            try:
                assert count(read_live(np.frombuffer(copy, np.uint8), 40), 40) <= 40
            except FormatError:
                continue
