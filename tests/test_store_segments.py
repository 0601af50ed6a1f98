"""Segments and bits of rows that live: they come back, and what is damaged has a name."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from damage import forgeries, mutants
from indexes import rows, trained
from lplr_index.blocks import BLOCK
from lplr_index.container import mapped
from lplr_index.errors import ChecksumError, FormatError, HeaderError, InputError
from lplr_index.scanning import no_filter, pack_filter
from lplr_index.store.keys import Names
from lplr_index.store.segments import (
    Contained,
    all_live,
    bits,
    count,
    died,
    killed,
    lives,
    map_file,
    read_live,
    read_segment,
    write_live,
    write_segment,
)

IDS = np.array([3, 4, 9, *range(20, 87)])


def contained(ids, *, codes=True, strings=False, pieces=1):
    """Return what a segment of some rows is made of, and their codes or vectors."""
    index = trained()
    data = index.sa_encode(rows(len(ids))) if codes else rows(len(ids))
    form = index.model.form if codes else None
    named = Names.of_list([f"ø{i}" for i in ids]) if strings else None
    cut = np.array_split(np.arange(len(ids)), pieces)
    what = Contained(
        len(ids), int(ids[0]), int(ids[-1]), [ids[part] for part in cut], [data[part] for part in cut], form,
        data.shape[1], named,
    )  # fmt: skip
    return what, data


def again(folder, stamp, *, codes=True, strings=False, whole=True):
    model = trained().model if codes else None
    return read_segment(map_file(folder, stamp), model, 48, cosine=True, strings=strings, whole=whole)


@pytest.mark.parametrize("codes", [True, False])
@pytest.mark.parametrize("strings", [True, False])
@pytest.mark.parametrize(("ids", "pieces"), [(IDS, 1), (IDS, 7), (np.arange(5, 105), 3), (np.array([2**62]), 1)])
def test_rows_come_back(tmp_path, codes, strings, ids, pieces):
    what, data = contained(ids, codes=codes, strings=strings, pieces=pieces)
    stamp = write_segment(tmp_path, "segment-00000001", trained().model.digest if codes else None, what)
    assert stamp.nbytes == (tmp_path / "segment-00000001").stat().st_size
    for whole in (True, False):
        segment = again(tmp_path, stamp, codes=codes, strings=strings, whole=whole)
        assert segment.n == len(ids)
        np.testing.assert_array_equal(segment.numbers.part(0, len(ids)), ids)
        np.testing.assert_array_equal(segment.data(np.arange(len(ids))), data)
        assert (segment.numbers.stored is None) == (len(ids) == ids[-1] - ids[0] + 1)
        if strings:
            assert segment.names.of(np.arange(len(ids))) == [f"ø{i}" for i in ids]
            assert segment.names.find([f"ø{ids[-1]}", "nobody"]).tolist() == [len(ids) - 1, -1]
        if not codes:
            expected = data / np.linalg.norm(data.astype(float), axis=1)[:, None]
            np.testing.assert_array_equal(segment.door, expected.astype(np.float32))


def test_a_row_costs_what_it_should(tmp_path):
    what, _ = contained(np.arange(64))
    dense = write_segment(tmp_path, "segment-00000001", trained().model.digest, what)
    what, _ = contained(np.arange(0, 128, 2))
    spread = write_segment(tmp_path, "segment-00000002", trained().model.digest, what)
    assert dense.nbytes == 4096 + 64 * 12
    assert spread.nbytes == dense.nbytes + 64 * 8


def test_another_file_under_the_name_is_seen(tmp_path):
    what, _ = contained(IDS)
    stamp = write_segment(tmp_path, "segment-00000001", trained().model.digest, what)
    for other in (replace(stamp, crc32=stamp.crc32 ^ 1), replace(stamp, nbytes=stamp.nbytes + 1)):
        with pytest.raises(ChecksumError, match="bytes as they were written"):
            map_file(tmp_path, other)
    with pytest.raises(HeaderError, match="expected codes of the training None, got"):
        again(tmp_path, stamp, codes=False)
    with pytest.raises(HeaderError, match="expected rows in blocks, ends, hashes, order, text"):
        again(tmp_path, stamp, strings=True)


def test_a_flipped_bit_is_found_by_who_reads_all(tmp_path):
    what, _ = contained(IDS, strings=True)
    stamp = write_segment(tmp_path, "segment-00000001", trained().model.digest, what)
    data = (tmp_path / stamp.name).read_bytes()
    for at in range(4096, len(data), 7):
        copy = np.frombuffer(data, np.uint8).copy()
        copy[at] ^= 1 << at % 8
        with pytest.raises(ChecksumError):
            read_segment(copy, trained().model, 48, cosine=True, strings=True, whole=True)


def look(segment):
    """Use everything of a segment that was opened without a look at all of it."""
    some = np.arange(segment.n)
    segment.data(some)
    segment.numbers.find(segment.numbers.of(some))
    if segment.names is not None:
        segment.names.find(segment.names.of(some))
    if segment.vectors is not None:
        assert segment.door.shape == (segment.n, 48)


def fuzz(folder, count):
    for codes, strings in ((True, False), (True, True), (False, True)):
        what, _ = contained(IDS, codes=codes, strings=strings)
        model = trained().model if codes else None
        stamp = write_segment(folder, f"segment-{codes:08d}", model.digest if model else None, what)
        data = (folder / stamp.name).read_bytes()
        for copies in (mutants(data, 0, count), forgeries(data, 1, count)):
            for i, copy in enumerate(copies):
                raw = np.frombuffer(copy, np.uint8)
                # Vectors whose checksum nobody asked for may be no numbers.
                with contextlib.suppress(FormatError, *([] if codes else [InputError])):
                    look(read_segment(raw, model, 48, cosine=True, strings=strings, whole=i % 2 == 0))


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_mutants_raise_nothing_untyped(tmp_path):
    fuzz(tmp_path, 300)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_many_mutants_raise_nothing_untyped(tmp_path):
    fuzz(tmp_path, 4000)


# Rows that live


@pytest.mark.parametrize("n", [1, 31, 32, 33, 200])
def test_rows_that_live(tmp_path, rng, n):
    mask = rng.random(n) < 0.5
    mask[0] = True
    live = pack_filter(mask)
    np.testing.assert_array_equal(bits(live, 0, n), mask)
    np.testing.assert_array_equal(bits(live, n // 3, n), mask[n // 3 :])
    np.testing.assert_array_equal(bits(live, 0, n // 2), mask[: n // 2])
    np.testing.assert_array_equal(lives(live, np.arange(-1, n)), [False, *mask])
    assert count(live, n) == mask.sum()
    with (tmp_path / write_live(tmp_path, "live-00000001", live).name).open("rb") as stream:
        np.testing.assert_array_equal(read_live(mapped(stream), n), live)
    fewer = killed(live, n, np.flatnonzero(mask)[:2])
    np.testing.assert_array_equal(died(live, fewer, n), np.flatnonzero(mask)[:2])
    assert live is not fewer
    assert count(live, n) == mask.sum()  # the old one is as it was: a search may be using it


def test_rows_that_all_live():
    assert count(no_filter(), 40) == count(all_live(40), 40) == 40
    assert bits(no_filter(), 3, 40).all()
    assert lives(no_filter(), np.array([-1, 0])).tolist() == [False, True]
    few = killed(no_filter(), 40, np.array([33, 33, 1]))
    assert count(few, 40) == 38
    assert died(no_filter(), few, 40).tolist() == [1, 33]
    assert died(few, no_filter(), 40).tolist() == []
    assert len(all_live(40)) == -(-40 // BLOCK)


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
