"""storage.py with a second stage: residuals in the same file, original vectors by their path and checksums."""

from __future__ import annotations

import re
import zlib

import numpy as np
import pytest

from indexes import filled, queries, rows, trained
from lplr_index import (
    IndexLPLR,
    IndexRefineLPLR,
    deserialize_index,
    read_index,
    serialize_index,
    verify_index,
    write_index,
    write_vectors,
)
from lplr_index.errors import (
    ChecksumError,
    FormatError,
    HeaderError,
    InputError,
    UnsupportedError,
    VectorFileError,
)
from lplr_index.metric import METRICS
from test_storage import array_of, filled_sections, put, put_together, take_apart

N = 70


def with_residuals(metric="l2", n=N, *, trained_too=True, bits=2.0):
    index = IndexRefineLPLR(IndexLPLR(48, 1.0, metric), refine_bits=bits, k_factor=2.5)
    if trained_too:
        index.train(rows(1500))
        index.add_with_ids(rows(n), np.arange(n)[::-1] * 3)
    return index


def with_originals(folder, metric="l2", name="x.npy", n=N):
    write_vectors(folder / name, rows(200))
    return IndexRefineLPLR(filled(metric, n=n), originals=folder / name, k_factor=3)


def assert_same_index(index, wanted):
    assert repr(index) == repr(wanted)
    assert bytes(serialize_index(index)) == bytes(serialize_index(wanted))
    assert (index.k_factor, index.code_size) == (wanted.k_factor, wanted.code_size)
    if wanted.is_trained:
        for actual, each in zip(index.search(queries(), 9), wanted.search(queries(), 9), strict=True):
            np.testing.assert_array_equal(actual, each)
        np.testing.assert_array_equal(index.reconstruct_n(), wanted.reconstruct_n())
        np.testing.assert_array_equal(index.sa_encode(rows(30)), wanted.sa_encode(rows(30)))


# Round trips


@pytest.mark.parametrize("metric", METRICS)
def test_residuals_round_trip(tmp_path, metric):
    index = with_residuals(metric)
    write_index(index, tmp_path / "a.lplr")

    for mapped in (True, False):
        for verify in (True, False):
            assert_same_index(read_index(tmp_path / "a.lplr", mmap=mapped, verify=verify), index)
    assert_same_index(verify_index(tmp_path / "a.lplr"), index)
    assert_same_index(deserialize_index(serialize_index(index)), index)
    read = read_index(tmp_path / "a.lplr")
    for each in (read, index):
        each.add(rows(100)[N:])
        each.remove_ids([0, 3, 6])
    assert_same_index(read, index)
    assert read.refine.lengths == index.refine.lengths


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["x.npy", "x.fvecs"])
def test_originals_round_trip(tmp_path, metric, name):
    index = with_originals(tmp_path, metric, name)
    write_index(index, tmp_path / "a.lplr")

    for read in (
        read_index(tmp_path / "a.lplr"),
        verify_index(tmp_path / "a.lplr"),
        deserialize_index(serialize_index(index)),
    ):
        assert_same_index(read, index)
    assert not isinstance(read_index(tmp_path / "a.lplr").base_index, IndexRefineLPLR)


@pytest.mark.parametrize("n", [0, 1, 64])
def test_other_numbers_of_rows(n):
    index = with_residuals(n=n)

    assert_same_index(deserialize_index(serialize_index(index)), index)


def test_what_is_not_trained(tmp_path):
    untrained = with_residuals(trained_too=False)
    half = IndexRefineLPLR(trained("ip"), refine_bits=0.5)
    write_vectors(tmp_path / "x.npy", rows(200))
    originals = IndexRefineLPLR(IndexLPLR(48), originals=tmp_path / "x.npy")

    for index in (untrained, half, originals):
        read = deserialize_index(serialize_index(index))
        assert_same_index(read, index)
        assert not read.is_trained
        for each in (read, index):
            each.train(rows(500))
            each.add(rows(20))
        assert_same_index(read, index)


def test_a_row_costs_its_bytes():
    few, many = (len(serialize_index(with_residuals("cosine", n))) for n in (320, 640))

    assert many - few == 320 * (6 + 12 + 8)  # both codes and an id


# Where the original vectors are


def test_originals_beside_the_index_are_found(tmp_path):
    (tmp_path / "old").mkdir()
    index = with_originals(tmp_path / "old")
    write_index(index, tmp_path / "old" / "a.lplr")
    wanted = index.search(queries(), 5)
    (tmp_path / "old").rename(tmp_path / "new")

    read = verify_index(tmp_path / "new" / "a.lplr")

    np.testing.assert_array_equal(read.search(queries(), 5)[1], wanted[1])
    assert read.refine.path == str(tmp_path / "new" / "x.npy")


def test_originals_elsewhere_are_named(tmp_path):
    index = with_originals(tmp_path)
    write_index(index, tmp_path / "a.lplr")
    data = serialize_index(index)
    wanted = index.search(queries(), 5)
    (tmp_path / "x.npy").rename(tmp_path / "moved.npy")
    write_vectors(tmp_path / "other.fvecs", rows(200))

    message = r"no such file: .*x\.npy; read_index\(\.\.\., originals=\.\.\.\) says where the original vectors are now"
    for read in (lambda: read_index(tmp_path / "a.lplr"), lambda: deserialize_index(data)):
        with pytest.raises(VectorFileError, match=message):
            read()
    for originals in (tmp_path / "moved.npy", str(tmp_path / "other.fvecs"), rows(200)):
        for read in (
            read_index(tmp_path / "a.lplr", originals=originals),
            verify_index(tmp_path / "a.lplr", originals=originals),
            deserialize_index(data, originals=originals),
        ):
            np.testing.assert_array_equal(read.search(queries(), 5)[1], wanted[1])
    with pytest.raises(
        ChecksumError, match=r"a\.lplr: expected 200 rows of 48 in .*, got 199 of 48: they were changed"
    ):
        read_index(tmp_path / "a.lplr", originals=rows(199))


def test_the_matrix_of_several_is_remembered(tmp_path):
    np.savez(tmp_path / "x.npz", a=rows(3), b=rows(200))
    index = IndexRefineLPLR(filled(n=N), originals=tmp_path / "x.npz", key="b")
    write_index(index, tmp_path / "a.lplr")

    assert read_index(tmp_path / "a.lplr").refine.key == "b"
    (tmp_path / "x.npz").rename(tmp_path / "y.npz")
    assert_same = read_index(tmp_path / "a.lplr", originals=tmp_path / "y.npz").search(queries(), 5)[1]
    np.testing.assert_array_equal(assert_same, index.search(queries(), 5)[1])
    write_vectors(tmp_path / "z.npy", rows(200))
    read_index(tmp_path / "a.lplr", originals=tmp_path / "z.npy")


def test_originals_that_were_changed_are_noticed(tmp_path):
    index = with_originals(tmp_path)
    write_index(index, tmp_path / "a.lplr")
    message = (
        r"a\.lplr: expected .*x\.npy to hold the vectors it held when the index was written, got others: they were"
    )

    write_vectors(tmp_path / "x.npy", rows(201)[1:])
    for read in (read_index, verify_index):
        with pytest.raises(ChecksumError, match=message):
            read(tmp_path / "a.lplr")
    write_vectors(tmp_path / "x.npy", rows(199))
    with pytest.raises(
        ChecksumError, match=r"expected 200 rows of 48 in .*, as when the index was written, got 199 of 48"
    ):
        read_index(tmp_path / "a.lplr")
    (tmp_path / "x.npy").unlink()
    with pytest.raises(VectorFileError, match="no such file"):
        read_index(tmp_path / "a.lplr")


def test_a_single_changed_row_is_noticed_by_verify(tmp_path):
    """Among many rows; reading looks at 256 of them."""
    x = np.repeat(rows(1000), 2, axis=0)
    np.save(tmp_path / "x.npy", x)
    base = trained("ip")
    base.add(x)
    write_index(IndexRefineLPLR(base, originals=tmp_path / "x.npy"), tmp_path / "a.lplr")
    x[4] += 1e-3
    np.save(tmp_path / "x.npy", x)

    assert read_index(tmp_path / "a.lplr").ntotal == 2000
    with pytest.raises(ChecksumError, match="they were changed"):
        verify_index(tmp_path / "a.lplr")


def test_an_array_cannot_be_written(tmp_path):
    index = IndexRefineLPLR(filled(n=N), originals=rows(N))
    (tmp_path / "a.lplr").write_bytes(b"old")

    with pytest.raises(UnsupportedError, match="expected original vectors in a file"):
        write_index(index, tmp_path / "a.lplr")
    assert (tmp_path / "a.lplr").read_bytes() == b"old"


def test_originals_are_given_only_where_they_are_needed(tmp_path):
    for index in (filled(n=N), with_residuals()):
        with pytest.raises(InputError, match="expected originals only for an index that refines by original vectors"):
            deserialize_index(serialize_index(index), originals=rows(N))


# Damage and lies


@pytest.fixture(scope="module")
def residuals():
    return bytes(serialize_index(with_residuals()))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    return bytes(serialize_index(with_originals(tmp_path_factory.mktemp("originals"))))


def test_every_section_is_checked(residuals):
    header, _ = take_apart(residuals)
    start = len(residuals) - max(s["offset"] + s["nbytes"] + -s["nbytes"] % 64 for s in header["sections"])
    names = [section["name"] for section in header["sections"]]
    assert {"refine.mu", "refine.blocks"} < set(names)
    assert "refine.ids" not in names
    for section in filled_sections(header):
        damaged = bytearray(residuals)
        damaged[start + section["offset"] + section["nbytes"] // 2] ^= 4
        with pytest.raises(ChecksumError, match=re.escape(f"expected section {section['name']} to match")):
            deserialize_index(bytes(damaged))


def test_without_verify_only_the_rows_are_not_checked(tmp_path, residuals):
    header, _ = take_apart(residuals)
    start = len(residuals) - max(s["offset"] + s["nbytes"] + -s["nbytes"] % 64 for s in header["sections"])
    for section in filled_sections(header):
        damaged = bytearray(residuals)
        damaged[start + section["offset"]] ^= 4
        (tmp_path / "a.lplr").write_bytes(damaged)
        if section["name"].endswith(("blocks", "tails")):
            read_index(tmp_path / "a.lplr", verify=False)
        else:
            with pytest.raises(ChecksumError):
                read_index(tmp_path / "a.lplr", verify=False)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, -1, -64, -1000])
def test_truncated(residuals, size):
    with pytest.raises(FormatError):
        deserialize_index(residuals[:size])


def changed(data, change):
    """Return the file with a header changed by ``change``, and correct checksums."""
    header, parts = take_apart(data)
    change(header)
    return put_together(header, parts)


RESIDUAL_LIES = {
    "no k_factor": lambda h: h["refine"].pop("k_factor"),
    "k_factor of another type": lambda h: h["refine"].update(k_factor="4"),
    "k_factor below one": lambda h: h["refine"].update(k_factor=0.5),
    "k_factor beyond": lambda h: h["refine"].update(k_factor=1e400),
    "no stage at all": lambda h: h.pop("refine"),
    "a stage that is none": lambda h: h.update(refine=3),
    "an empty stage": lambda h: h.update(refine={}),
    "an unknown stage": lambda h: h.update(refine={"k_factor": 4, "third": {}}),
    "residuals that are none": lambda h: h["refine"].update(residuals=[]),
    "no code_size": lambda h: h["refine"]["residuals"].pop("code_size"),
    "another code_size": lambda h: h["refine"]["residuals"].update(code_size=11),
    "no lengths": lambda h: h["refine"]["residuals"].pop("lengths"),
    "other lengths": lambda h: h["refine"]["residuals"].update(lengths="long"),
    "lengths of another type": lambda h: h["refine"]["residuals"].update(lengths=1),
    "not trained": lambda h: h["refine"]["residuals"].update(trained=False),
    "trained otherwise": lambda h: h["refine"]["residuals"].update(trained=1),
    "a gain": lambda h: h["refine"]["residuals"].update(gain_step=0.01),
    "a norm": lambda h: h["refine"]["residuals"].update(norm_unit=1.0),
    "other nibbles": lambda h: h["refine"]["residuals"].update(nibbles=22),
    "negative nibbles": lambda h: h["refine"]["residuals"].update(nibbles=-24),
    "an untrained base": lambda h: h.update(trained=False),
}


@pytest.mark.parametrize("name", RESIDUAL_LIES)
def test_lies_about_residuals(residuals, name):
    with pytest.raises(HeaderError):
        deserialize_index(changed(residuals, RESIDUAL_LIES[name]))


def test_residuals_of_other_numbers_of_rows(residuals):
    header, parts = take_apart(residuals)
    blocks = array_of(header, parts, "refine.blocks")
    for wrong in (blocks[:-1], np.concatenate([blocks, blocks]), blocks[:, :-32]):
        put(header, parts, "refine.blocks", wrong)
        with pytest.raises(HeaderError, match="expected blocks of 70 rows in"):
            deserialize_index(put_together(header, parts))


def test_a_section_that_is_missing(residuals):
    header, _ = take_apart(residuals)
    for name in [s["name"] for s in header["sections"] if s["name"].startswith("refine.")]:
        header, parts = take_apart(residuals)
        header["sections"] = [s for s in header["sections"] if s["name"] != name]
        if name == "refine.encoder":
            continue
        with pytest.raises(HeaderError):
            deserialize_index(put_together(header, parts))


ORIGINALS_LIES = {
    "an unknown field": lambda h: h["refine"]["originals"].update(more=1),
    "a missing field": lambda h: h["refine"]["originals"].pop("crc32"),
    "a path of another type": lambda h: h["refine"]["originals"].update(path=3),
    "a path that is none": lambda h: h["refine"]["originals"].update(path="a\0b"),
    "a key of another type": lambda h: h["refine"]["originals"].update(key=3),
    "no rows": lambda h: h["refine"]["originals"].update(n=0),
    "columns of another type": lambda h: h["refine"]["originals"].update(d=48.0),
    "a checksum beyond": lambda h: h["refine"]["originals"].update(crc32=2**32),
    "originals that are none": lambda h: h["refine"].update(originals="x.npy"),
    "no k_factor": lambda h: h["refine"].pop("k_factor"),
}


@pytest.mark.parametrize("name", ORIGINALS_LIES)
def test_lies_about_originals(originals, name):
    with pytest.raises(HeaderError):
        deserialize_index(changed(originals, ORIGINALS_LIES[name]))


@pytest.mark.parametrize("field", ["n", "d", "sample_crc32"])
def test_originals_that_do_not_match(originals, field):
    with pytest.raises(ChecksumError, match="they were changed"):
        deserialize_index(changed(originals, lambda h: h["refine"]["originals"].update({field: 7})))


def test_ids_that_are_no_rows_of_the_originals(tmp_path):
    index = with_originals(tmp_path)
    index.remove_ids([0])
    header, parts = take_apart(bytes(serialize_index(index)))
    ids = array_of(header, parts, "ids").copy()
    ids[3] = 200
    put(header, parts, "ids", ids)

    with pytest.raises(HeaderError, match=r"expected ids from 0 to 199, row numbers of originals .*, got 200"):
        deserialize_index(put_together(header, parts))


def test_damage_anywhere_in_the_header_is_found(originals):
    length = int.from_bytes(originals[12:16], "little")
    assert zlib.crc32(originals[24 : 24 + length]) == int.from_bytes(originals[16:20], "little")
    for at in range(24, 24 + length, 97):
        damaged = bytearray(originals)
        damaged[at] ^= 1
        with pytest.raises(ChecksumError, match="expected the header to match its checksum"):
            deserialize_index(bytes(damaged))


def test_the_file_is_what_the_format_says(tmp_path, residuals):
    """FORMAT.md: names, dtypes and shapes of a second code; path and checksums of original vectors."""
    header, parts = take_apart(residuals)
    index = deserialize_index(residuals)

    stage = header["refine"]
    assert set(stage) == {"k_factor", "residuals"}
    assert (stage["k_factor"], stage["residuals"]["code_size"], stage["residuals"]["trained"]) == (2.5, 12, True)
    np.testing.assert_array_equal(array_of(header, parts, "refine.mu"), index.refine.model.mu)
    assert array_of(header, parts, "refine.blocks").shape == (3, 32 * 12)
    write_index(with_originals(tmp_path), tmp_path / "a.lplr")
    header, _ = take_apart((tmp_path / "a.lplr").read_bytes())
    assert header["refine"] == {
        "k_factor": 3.0,
        "originals": {
            "path": str(tmp_path / "x.npy"),
            "key": None,
            "n": 200,
            "d": 48,
            "sample_crc32": zlib.crc32(rows(200).astype("<f4").tobytes()),
            "crc32": zlib.crc32(rows(200).astype("<f4").tobytes()),
        },
    }
