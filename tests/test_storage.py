"""storage.py: what was written comes back, and what is not whole or not true is refused by name."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from conftest import low_rank_vectors
from indexes import EVERY_KIND, filled, queries, rows, trained
from lplr_index import IndexLPLR, deserialize_index, read_index, serialize_index, storage, verify_index, write_index
from lplr_index.arrays import as_rows
from lplr_index.codecs.scalar import ScalarCodec
from lplr_index.errors import (
    ChecksumError,
    FormatError,
    HeaderError,
    InputError,
    NotAnIndexError,
    TruncatedError,
    VersionError,
    WriteError,
)
from lplr_index.gains import NO_GAIN, Gain
from lplr_index.lloyd import lloyd_max
from lplr_index.metric import METRICS
from lplr_index.model import Model

# A file, taken apart and put together as FORMAT.md says, by nothing of the package


def take_apart(data):
    """Return the header and the bytes of each section."""
    _, _, length, _, _ = struct.unpack("<8sIIII", data[:24])
    header, body = json.loads(data[24 : 24 + length]), data[24 + length :]
    parts = {s["name"]: body[s["offset"] : s["offset"] + s["nbytes"]] for s in header["sections"]}
    return header, parts


def put_together(header, parts, *, version=1, settle=True, text=None):
    """Return a file with correct checksums; with ``settle`` the table of sections is that of the parts."""
    body = b""
    for section in header["sections"] if settle else ():
        part = parts[section["name"]]
        section |= {"offset": len(body), "nbytes": len(part), "crc32": zlib.crc32(part)}
        body += part + bytes(-len(part) % 64)
    if not settle:
        body = b"".join(part + bytes(-len(part) % 64) for part in parts.values())
    text = json.dumps(header).encode() if text is None else text
    text += b" " * (-(24 + len(text)) % 64)
    prefix = struct.pack("<8sIII", b"\x89LPLR\r\n\x1a", version, len(text), zlib.crc32(text))
    return prefix + struct.pack("<I", zlib.crc32(prefix)) + text + body


def array_of(header, parts, name):
    section = next(s for s in header["sections"] if s["name"] == name)
    return np.frombuffer(parts[name], section["dtype"]).reshape(section["shape"])


def filled_sections(header):
    """Return the sections that have bytes; of centroids, for one, there may be none."""
    return [section for section in header["sections"] if section["nbytes"]]


def put(header, parts, name, array):
    """Replace a section."""
    section = next(s for s in header["sections"] if s["name"] == name)
    section["shape"], parts[name] = list(array.shape), np.ascontiguousarray(array, section["dtype"]).tobytes()


@cache
def example(metric="l2", kind="auto-2", n=70, *, own_ids=True):
    """Return the bytes of an index; with ids and every scalar unless asked otherwise."""
    return bytes(serialize_index(filled(metric, kind, n=n, ids=np.arange(n)[::-1] * 3 if own_ids else None)))


def array_names(metric="l2", kind="auto-2"):
    """Return the names of the sections of an example."""
    return [section["name"] for section in take_apart(example(metric, kind))[0]["sections"]]


def assert_same_index(index, expected):
    assert repr(index) == repr(expected)
    assert index.settings == expected.settings
    assert bytes(serialize_index(index)) == bytes(serialize_index(expected))
    if index.is_trained:
        assert index.model.digest == expected.model.digest
        for actual, each in zip(index.search(queries(), 20), expected.search(queries(), 20), strict=True):
            np.testing.assert_array_equal(actual, each)
        np.testing.assert_array_equal(index.reconstruct_n(), expected.reconstruct_n())
        np.testing.assert_array_equal(index.sa_encode(rows(30)), expected.sa_encode(rows(30)))


# Round trips


@pytest.mark.parametrize(("metric", "kind"), EVERY_KIND)
def test_round_trip(tmp_path, metric, kind):
    index = filled(metric, kind, n=70)
    write_index(index, tmp_path / "a.lplr")

    for mapped in (True, False):
        for verify in (True, False):
            assert_same_index(read_index(tmp_path / "a.lplr", mmap=mapped, verify=verify), index)
    assert_same_index(verify_index(str(tmp_path / "a.lplr")), index)
    assert_same_index(deserialize_index(serialize_index(index)), index)
    assert (tmp_path / "a.lplr").read_bytes() == bytes(serialize_index(index))


def spared(metric):
    """Return an index of 12 bytes a row, and a norm, whose gains of four bits are the last nibble."""
    x = as_rows(rows(1000), 48, cosine=metric == "cosine")[0]
    usual = trained(metric, "nq-4").model
    levels = [lloyd_max(x[:, j], 2) for j in range(40)]
    model = Model(
        usual.mu, np.eye(40, 48, dtype=np.float32), None, ScalarCodec.build(levels, np.ones(40), 12, spare=True)
    )
    norms = model.norms(model.codec.decode(model.encode(x)))
    gain = Gain.fit(np.linalg.norm(x.astype(float), axis=1), norms, 4, power=0.8)
    model = replace(model, gain=gain, norm=usual.norm)
    settings = IndexLPLR(48, (14 if metric == "l2" else 12) / 6, metric).settings
    index = IndexLPLR.restored(settings, model, None)
    index.add(rows(70))
    return index


@pytest.mark.parametrize("metric", METRICS)
def test_gains_of_four_bits_make_a_file_of_version_2(metric):
    index = spared(metric)

    data = bytes(serialize_index(index))

    assert struct.unpack("<I", data[8:12]) == (3 if metric == "l2" else 2,)
    header, parts = take_apart(data)
    gain = index.model.gain
    assert header["gain"] == {"bits": 4, "least": gain.least, "power": 0.8, "usual": gain.usual}
    assert header["gain_step"] == gain.step
    back = deserialize_index(data)
    assert_same_index(back, index)
    assert back.model.gain == gain
    # Row 17, as FORMAT.md has it: byte 2 of the last column, high nibble.
    at = 16 * (header["nibbles"] - 1) + 2
    c = int(array_of(header, parts, "blocks")[0, at]) >> 4
    plain = replace(index.model, gain=NO_GAIN).decode(index.rows.codes(17, 1))[0]
    np.testing.assert_allclose(index.reconstruct(17), (gain.least + c * gain.step) * plain, rtol=1e-5)
    assert c > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gain", None),
        ("gain", 4),
        ("gain", {}),
        ("bits", 5),
        ("bits", 4.0),
        ("bits", 0),
        ("bits", None),
        ("least", "0"),
        ("least", -9.0),
        ("least", float("nan")),
        ("power", float("inf")),
        ("usual", 0),
        ("usual", True),
    ],
)
def test_gains_that_make_no_sense_in_a_file(tmp_path, name, value):
    header, parts = take_apart(bytes(serialize_index(spared("cosine"))))
    (header if name == "gain" else header["gain"])[name] = value

    refuses(put_together(header, parts, version=2), tmp_path, HeaderError, "expected ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("norm", None),
        ("norm", 8),
        ("norm", {}),
        ("bits", 5),
        ("bits", 8.0),
        ("bits", 0),
        ("bits", 16),
        ("bits", None),
        ("least", "0"),
        ("least", -9.0),
        ("least", 1e9),
        ("most", float("nan")),
        ("most", 0),
        ("most", True),
    ],
)
def test_norms_that_make_no_sense_in_a_file(tmp_path, name, value):
    header, parts = take_apart(bytes(serialize_index(filled("l2", "auto-norm", n=40))))
    assert header["norm"]["bits"] == 8
    (header if name == "norm" else header["norm"])[name] = value

    refuses(put_together(header, parts, version=3), tmp_path, HeaderError, "expected ")


@pytest.mark.parametrize("metric", METRICS)
def test_four_bits_of_gain_need_a_nibble_of_their_own(tmp_path, metric):
    header, parts = take_apart(bytes(serialize_index(filled(metric, "nq-4", n=40))))
    header |= {"gain_step": 0.1, "gain": {"bits": 4, "least": 0.0, "power": 1.0, "usual": 1.0}}

    refuses(put_together(header, parts, version=2), tmp_path, HeaderError, "expected nibble 47 free for gains")


@pytest.mark.parametrize(
    ("nbits_R", "sections"), [(1, ["R_index", "R_values"]), (8, ["R_index", "R_values"]), (16, ["R_half"]), (32, ["R"])]
)
def test_every_bit_of_the_right_factor_is_kept(nbits_R, sections):
    """In the smallest of three forms that can."""
    index = IndexLPLR(48, metric="ip", method="lsvd", rank=11, nbits=4, nbits_R=nbits_R)
    index.train(rows(500))

    read = deserialize_index(serialize_index(index))

    np.testing.assert_array_equal(read.model.R, index.model.R)
    names = [section["name"] for section in take_apart(bytes(serialize_index(index)))[0]["sections"]]
    assert names == ["mu", *sections, "encoder", "bits", "levels", "fields", "blocks"]


def removed(index, ids):
    index.remove_ids(ids)
    return index


STATES = {
    "untrained": lambda: IndexLPLR(48, 2.0, "l2", seed=5),
    "untrained lplr": lambda: IndexLPLR(48, 2.0, "ip", "lplr", nbits_R=16),
    "empty": trained,
    "one row": lambda: filled(n=1),
    "whole blocks": lambda: filled(n=64),
    "ids": lambda: filled("l2", n=70, ids=np.random.default_rng(0).permutation(2**40 + np.arange(70))),
    "removed": lambda: removed(filled("l2", n=70), np.arange(0, 70, 2)),
    "last ones removed": lambda: removed(filled(n=70), [68, 69]),
    "all removed": lambda: removed(filled(n=70), np.arange(70)),
    "many pieces": lambda: filled("ip", n=3000),
}


@pytest.mark.parametrize("state", STATES)
def test_round_trip_of_every_state(tmp_path, state):
    index = STATES[state]()
    write_index(index, tmp_path / "a.lplr")

    for read in (read_index(tmp_path / "a.lplr"), deserialize_index(bytes(serialize_index(index)))):
        assert_same_index(read, index)
        assert read.rows.ids.next_id == index.rows.ids.next_id
        if index.is_trained:
            for each in (read, index):
                each.add(rows(80)[70:])
                each.remove_ids([0, 3])
            assert_same_index(read, index)
            np.testing.assert_array_equal(read.rows.ids.all(), index.rows.ids.all())
        index = STATES[state]()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 100), max_size=4), st.booleans(), st.integers(0, 2**32 - 1))
def test_any_history_round_trips(sizes, mapped, seed):
    """Grow, write, read, lose rows, and again: after every step the file is what the index is."""
    rng = np.random.default_rng(seed)
    index = trained("l2")
    for n in sizes:
        index.add_with_ids(rows(n), index.rows.ids.next_id + rng.permutation(2 * n)[:n])
        index.remove_ids(rng.permutation(index.rows.ids.all())[: n // 3])
        read = deserialize_index(serialize_index(index))
        np.testing.assert_array_equal(naive.rows_of(read), naive.rows_of(index))
        np.testing.assert_array_equal(read.rows.ids.all(), index.rows.ids.all())
        index = read if mapped else index


# Size


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("own_ids", [False, True])
def test_a_row_costs_its_bytes_and_nothing_else(metric, own_ids):
    sizes = [len(example(metric, n=n, own_ids=own_ids)) for n in (320, 640, 2560)]

    row = trained(metric).code_size + 8 * own_ids
    assert (sizes[1] - sizes[0], sizes[2] - sizes[1]) == (320 * row, 1920 * row)


@pytest.mark.parametrize(("metric", "kind"), EVERY_KIND)
def test_size_is_that_of_the_formula(metric, kind):
    data, index = example(metric, kind), deserialize_index(example(metric, kind))
    header, _ = take_apart(data)

    model = index.model
    sizes = [model.mu.nbytes, *(array.nbytes for array in model.codec.arrays.values())]
    sizes += [8 * 70, -(-70 // 32) * 32 * index.code_size]
    if model.encoder is not None:
        sizes.append(model.encoder.nbytes)
    if model.R is not None:  # two bytes an entry where that keeps it, or one and a table of its values
        fits = np.array_equal(model.R.astype(np.float16), model.R)
        sizes += [2 * model.R.size] if fits else [model.R.size, 4 * len(np.unique(model.R))]
    start = -(-(24 + len(json.dumps(header, separators=(",", ":")))) // 4096) * 4096
    assert len(data) == start + sum(-(-size // 64) * 64 for size in sizes)
    assert all(section["offset"] % 64 == 0 for section in header["sections"])


# Mapped files


def test_a_mapped_file_is_never_changed(tmp_path):
    path = tmp_path / "a.lplr"
    write_index(filled(n=70), path)
    before = path.read_bytes()
    index = read_index(path)
    assert not next(iter(index.rows)).blocks.is_writeable
    assert next(iter(read_index(path, mmap=False).rows)).blocks.is_writeable

    index.add(rows(200)[70:])
    index.remove_ids(np.arange(0, 200, 3))
    index.search(queries(), 5)

    assert path.read_bytes() == before
    expected = removed(filled(n=200), np.arange(0, 200, 3))
    assert_same_index(index, expected)


def test_a_mapped_index_is_written_over_its_own_file(tmp_path):
    path = tmp_path / "a.lplr"
    write_index(filled(n=70), path)
    index = read_index(path)
    index.add(rows(100)[70:])

    write_index(index, path)

    assert_same_index(read_index(path), filled(n=100))
    assert_same_index(index, filled(n=100))


@pytest.mark.parametrize("mapped", [True, False])
def test_an_index_outlives_its_file(tmp_path, mapped):
    write_index(filled(n=70), tmp_path / "a.lplr")
    index = read_index(tmp_path / "a.lplr", mmap=mapped)
    (tmp_path / "other.lplr").write_bytes(b"something else")
    os.replace(tmp_path / "other.lplr", tmp_path / "a.lplr")  # noqa: PTH105 - what another program does
    assert_same_index(index, filled(n=70))
    (tmp_path / "a.lplr").unlink()
    assert_same_index(index, filled(n=70))


def test_mapping_holds_no_file_open(tmp_path):
    path = tmp_path / "a.lplr"
    write_index(filled(n=70), path)
    handles = Path("/proc/self/fd")
    if not handles.exists():
        pytest.skip("no /proc here")
    before = len(list(handles.iterdir()))

    indexes = [read_index(path) for _ in range(50)]

    assert len(list(handles.iterdir())) <= before + 50  # a mapping may keep one, and no more
    del indexes
    assert len(list(handles.iterdir())) == before


def test_reading_maps_instead_of_loading(tmp_path):
    index = IndexLPLR(16, 8.0, "ip", "nq", nbits=8)
    index.train(low_rank_vectors(100, 16))
    index.add_sa_codes(np.zeros((500_000, 16), np.uint8))
    write_index(index, tmp_path / "a.lplr")
    del index

    def peak(**options):
        tracemalloc.start()
        read = read_index(tmp_path / "a.lplr", **options)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert read.ntotal == 500_000
        return most

    assert peak() < 2_000_000
    assert peak(mmap=False) > 8_000_000


def test_writing_takes_little_memory(tmp_path):
    index = IndexLPLR(16, 8.0, "ip", "nq", nbits=8)
    index.train(low_rank_vectors(100, 16))
    index.add_sa_codes(np.zeros((4_000_000, 16), np.uint8))
    tracemalloc.start()

    write_index(index, tmp_path / "a.lplr")

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 40_000_000
    assert (tmp_path / "a.lplr").stat().st_size > 64_000_000


# Writing whole files or none


def test_a_failure_half_way_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.lplr"
    write_index(filled(n=40), path)
    old = path.read_bytes()
    parts = storage._parts

    def broken(index):
        written = list(parts(index))
        yield from written[: len(written) // 2]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "_parts", broken)
    with pytest.raises(WriteError, match=r"cannot write .*a\.lplr: No space left on device"):
        write_index(filled(n=70), path)

    assert path.read_bytes() == old
    assert [each.name for each in tmp_path.iterdir()] == ["a.lplr"]


KILLED = """
    import os, signal, sys
    import lplr_index
    from lplr_index import storage

    index, parts = lplr_index.read_index(sys.argv[1], mmap=False), storage._parts

    def killed(index):
        written = list(parts(index))
        yield from written[: len(written) // 2]
        os.kill(os.getpid(), signal.SIGKILL)

    storage._parts = killed
    lplr_index.write_index(index, sys.argv[1])
"""


def test_a_process_that_is_killed_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.lplr"
    write_index(filled(n=40), path)
    old = path.read_bytes()

    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(path)], timeout=120, check=False)

    assert done.returncode < 0
    assert path.read_bytes() == old


@pytest.mark.parametrize("write", [serialize_index, lambda what: write_index(what, "never.lplr")])
def test_only_an_index_is_written(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InputError, match="expected an IndexLPLR or IndexRefineLPLR to write, got ndarray"):
        write(np.zeros(3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [np.zeros(3), np.zeros((2, 2), np.uint8), "text", None, [1, 2]])
def test_only_bytes_are_deserialized(data):
    with pytest.raises(InputError, match="expected bytes or a one-dimensional uint8 array, got"):
        deserialize_index(data)


def test_bytes_of_every_kind_are_deserialized():
    data, expected = example(), deserialize_index(example())

    for same in (bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)):
        assert_same_index(deserialize_index(same), expected)


def test_the_bytes_given_may_change_afterwards():
    data = np.frombuffer(example(), np.uint8).copy()
    index = deserialize_index(data)
    data[:] = 0

    assert_same_index(index, deserialize_index(example()))


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_index(tmp_path / "none.lplr")
    with pytest.raises(IsADirectoryError):
        read_index(tmp_path)


# Damage


def refuses(data, tmp_path, kind=FormatError, message=""):
    """Check that every way to read these bytes raises one clear error that names the file."""
    path = tmp_path / "damaged.lplr"
    path.write_bytes(data)
    for mapped in (True, False):
        with pytest.raises(FormatError) as caught:
            read_index(path, mmap=mapped)
        text = str(caught.value)
        assert isinstance(caught.value, kind), text
        assert text.startswith(f"{path}: expected "), text
        assert re.search(message, text), text
        assert "\n" not in text
        assert len(text) < 1000
    with pytest.raises(kind, match=r"^data: expected "):
        deserialize_index(data)


PREFIX = 24


def header_end(data):
    return PREFIX + struct.unpack("<I", data[12:16])[0]


FOREIGN = {
    "text": b"This is no index at all, but it is long enough to hold one.\n" * 10,
    "numpy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'",
    "zeros": bytes(5000),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "faiss": b"IxFI" + bytes(100),
    "line ends translated": b"\x89LPLR\n\x1a" + bytes(100),
    "one byte": b"x",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files(tmp_path, name):
    refuses(FOREIGN[name], tmp_path, NotAnIndexError, r"expected an index file, which starts with .*LPLR.*, got b")


@pytest.mark.parametrize("size", [0, 1, 7, 8, 23])
def test_a_file_shorter_than_its_first_bytes(tmp_path, size):
    refuses(example()[:size], tmp_path, TruncatedError, f"expected at least 24 bytes, got {size}")


def test_a_file_shorter_than_its_header(tmp_path):
    end = header_end(example())
    for size in (24, 25, end - 1):
        message = f"expected a header of {end - 24} bytes, got {size - 24}"
        refuses(example()[:size], tmp_path, TruncatedError, message)


def test_a_file_shorter_than_its_sections(tmp_path):
    data = example()
    end = header_end(data)
    for size in (end, end + 1, len(data) - 64, len(data) - 1):
        message = f"expected {len(data) - end} bytes after the header, got {size - end}"
        refuses(data[:size], tmp_path, TruncatedError, message)


@pytest.mark.parametrize("more", [b"\0", bytes(64), b"x" * 1000])
def test_a_file_with_something_behind_it(tmp_path, more):
    refuses(example() + more, tmp_path, HeaderError, "bytes after the header, got .*: something was appended")


@pytest.mark.parametrize("version", [0, 6, 2**32 - 1])
def test_another_version(tmp_path, version):
    header, parts = take_apart(example())
    message = f"expected format version 1 to 5, got {version}"
    refuses(put_together(header, parts, version=version), tmp_path, VersionError, message)


def flipped(data, at, bit=0):
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def test_every_bit_of_the_first_bytes_is_checked(tmp_path):
    for at in range(PREFIX):
        for bit in range(8):
            kind = NotAnIndexError if at < 8 else ChecksumError
            refuses(flipped(example(), at, bit), tmp_path, kind)


def test_every_section_is_named_when_it_is_damaged(tmp_path):
    header, _ = take_apart(example())
    names = [section["name"] for section in header["sections"]]
    trellis = ["centroids", "sizes", "book", "places", "unit"]
    assert names == ["mu", "R_half", *trellis, "bits", "levels", "fields", "ids", "blocks", "tails"]
    end = header_end(example())
    for section in filled_sections(header):
        for at in (0, section["nbytes"] // 2, section["nbytes"] - 1):
            data = flipped(example(), end + section["offset"] + at, 3)
            refuses(data, tmp_path, ChecksumError, f"expected section {section['name']} to match its checksum")
        last = end + section["offset"] + section["nbytes"]
        if section["nbytes"] % 64:
            refuses(flipped(example(), last), tmp_path, ChecksumError, f"zeros after section {section['name']}")


def test_the_header_is_checked(tmp_path):
    for at in (24, 100, header_end(example()) - 1):
        refuses(flipped(example(), at), tmp_path, ChecksumError, "expected the header to match its checksum")


def test_without_verify_only_the_rows_are_not_checked(tmp_path):
    header, _ = take_apart(example())
    end, path = header_end(example()), tmp_path / "a.lplr"
    for section in filled_sections(header):
        path.write_bytes(flipped(example(), end + section["offset"]))
        if section["name"] in ("blocks", "tails"):
            assert read_index(path, verify=False).ntotal == 70
        else:
            with pytest.raises(ChecksumError):
                read_index(path, verify=False)


def spoil(data, rng):
    """Damage a file in one of the ways that files are damaged."""
    size = len(data)
    at, length = int(rng.integers(size)), int(2 ** rng.uniform(0, np.log2(size)))
    noise = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
    other = int(rng.integers(size))
    block = data[other : other + length]
    ways = [
        lambda: flipped(data, at, int(rng.integers(8))),
        lambda: data[:at] + noise[:1] + data[at + 1 :],
        lambda: data[:at],
        lambda: data[:at] + noise + data[at:],
        lambda: data + noise,
        lambda: data + bytes(length),
        lambda: data[:at] + bytes(length) + data[at + length :],
        lambda: data[:at] + noise + data[at + length :],
        lambda: data[:at] + data[at + length :],
        lambda: data[:at] + block + data[at + len(block) :],
    ]
    return ways[int(rng.integers(len(ways)))]()


FILES = {
    "auto l2 ids": example,
    "auto cosine": lambda: example("cosine", "auto-1", own_ids=False),
    "auto stages": lambda: example("ip", "auto-stages"),
    "lplr": lambda: example("ip", "lplr-4", own_ids=False),
    "nq": lambda: example("l2", "nq-1", 33),
    "untrained": lambda: bytes(serialize_index(IndexLPLR(48))),
}


@pytest.mark.parametrize("name", FILES)
def test_random_damage_is_always_found(tmp_path, name):
    """More than two thousand damaged files in all: each is refused by name, none takes memory."""
    data, rng = FILES[name](), np.random.default_rng(len(name))
    path, tried = tmp_path / "damaged.lplr", 0
    tracemalloc.start()
    for _ in range(600):
        damaged = spoil(data, rng)
        if damaged == data:
            continue
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=f"^{re.escape(str(path))}: expected ") as caught:
            read_index(path, mmap=bool(tried % 2))
        assert type(caught.value) is not FormatError
        tried += 1
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tried > 450
    assert most < 5_000_000 + 4 * len(data)


@settings(max_examples=200)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_at_all(tail, magic):
    with pytest.raises(FormatError):
        deserialize_index((b"\x89LPLR\r\n\x1a" if magic else b"") + tail)


# Lies: headers that are intact and describe what cannot be


def lie(change, metric="l2", kind="auto-2", *, own_ids=True, settle=True):
    header, parts = take_apart(example(metric, kind, own_ids=own_ids))
    assert deserialize_index(put_together(header, parts)).ntotal == 70  # the truth is accepted
    header, parts = take_apart(example(metric, kind, own_ids=own_ids))
    change(header, parts)
    return put_together(header, parts, settle=settle)


def changed(name, change):
    """Return a lie about the contents of a section."""

    def apply(header, parts):
        put(header, parts, name, change(array_of(header, parts, name).copy()))

    return apply


def with_value(index, value):
    def change(array):
        array[index] = value
        return array

    return change


def setting(**values):
    return lambda header, _: header["settings"].update(values)


def stating(**values):
    return lambda header, _: header.update(values)


def section_stating(which=0, **values):
    return lambda header, _: header["sections"][which].update(values)


CONTENTS = {
    "ids twice": changed("ids", with_value(0, 3)),
    "negative id": changed("ids", with_value(0, -1)),
    "fewer ids": changed("ids", lambda a: a[1:]),
    "nan level": changed("levels", with_value(5, np.nan)),
    "infinite level": changed("levels", with_value(5, np.inf)),
    "fewer levels": changed("levels", lambda a: a[1:]),
    "levels as a matrix": changed("levels", lambda a: a[:, None]),
    "nan in mu": changed("mu", with_value(0, np.nan)),
    "mu of another length": changed("mu", lambda a: a[1:]),
    "mu as a matrix": changed("mu", lambda a: a[None]),
    "mu as a number": changed("mu", lambda a: a[0]),
    "nan in R": changed("R_half", with_value((0, 0), np.nan)),
    "R transposed": changed("R_half", lambda a: a.T),
    "no column": changed("bits", lambda a: a[:0]),
    "a column of 0 bits": changed("bits", with_value(0, 0)),
    "a column of 9 bits": changed("bits", with_value(0, 9)),
    "bits as a matrix": changed("bits", lambda a: a[:, None]),
    "field of no column": changed("fields", with_value((-1, 0), 200)),
    "field of a negative column": changed("fields", with_value((0, 0), -1)),
    "columns out of order": changed("fields", lambda a: a[::-1]),
    "nibble out of range": changed("fields", with_value((0, 1), 18)),
    "negative nibble": changed("fields", with_value((0, 1), -1)),
    "mask of no bits": changed("fields", with_value((0, 3), 0)),
    "mask of five bits": changed("fields", with_value((0, 3), 31)),
    "negative shift": changed("fields", with_value((0, 2), -1)),
    "shift out of the nibble": changed("fields", with_value((0, 2), 4)),
    "shift of 64": changed("fields", with_value((0, 2), 64)),
    "shift out of the code": changed("fields", with_value((0, 4), 8)),
    "shift of 64 in the code": changed("fields", with_value((0, 4), 64)),
    "negative shift in the code": changed("fields", with_value((0, 4), -1)),
    "no fields": changed("fields", lambda a: a[:0]),
    "four numbers a field": changed("fields", lambda a: a[:, :4]),
    "fields flat": changed("fields", lambda a: a.reshape(-1)),
    "a block missing": changed("blocks", lambda a: a[1:]),
    "blocks of another width": changed("blocks", lambda a: a[:, 32:]),
    "blocks flat": changed("blocks", lambda a: a.reshape(-1)),
}

STATEMENTS = {
    "ntotal one more": stating(ntotal=71),
    "ntotal huge": stating(ntotal=2**62),
    "ntotal beyond int64": stating(ntotal=2**63),
    "ntotal negative": stating(ntotal=-1),
    "ntotal a float": stating(ntotal=70.0),
    "ntotal a text": stating(ntotal="70"),
    "ntotal true": stating(ntotal=True),
    "next_id negative": stating(next_id=-1),
    "next_id none": stating(next_id=None),
    "nibbles odd": stating(nibbles=17),
    "nibbles huge": stating(nibbles=2**60),
    "nibbles a text": stating(nibbles="18"),
    "gain_step nan": stating(gain_step=float("nan")),
    "gain_step infinite": stating(gain_step=float("inf")),
    "gain_step negative": stating(gain_step=-1.0),
    "gain_step none": stating(gain_step=None),
    "no gain": stating(gain_step=0.0),
    "norm_unit nan": stating(norm_unit=float("nan")),
    "norm_unit negative": stating(norm_unit=-1.0),
    "no norm": stating(norm_unit=0.0),
    "norm_unit a text": stating(norm_unit="0"),
    "trained one": stating(trained=1),
    "not trained": stating(trained=False),
    "sections none": stating(sections=None),
    "sections of numbers": stating(sections=[1, 2]),
    "no sections": stating(sections=[]),
    "settings none": stating(settings=None),
    "settings a list": stating(settings=[1]),
    "a setting more": setting(speed=3),
    "d zero": setting(d=0),
    "d of another": setting(d=47),
    "d huge": setting(d=2**40),
    "d a float": setting(d=48.0),
    "metric unknown": setting(metric="hamming"),
    "metric none": setting(metric=None),
    "metric of another": setting(metric="ip"),
    "method unknown": setting(method="pq"),
    "method a list": setting(method=["auto"]),
    "method of another": setting(method="nq"),
    "code_size of another": setting(code_size=13),
    "code_bytes of another": setting(code_bytes=8),
    "code_bytes huge": setting(code_bytes=2**40, code_size=2**40 + 3),
    "code_bytes negative": setting(code_bytes=-3, code_size=0),
    "rank for auto": setting(rank=7),
    "seed negative": setting(seed=-1),
    "seed a text": setting(seed="0"),
}

SECTIONS = {
    "unknown name": section_stating(name="nu"),
    "name a number": section_stating(name=1),
    "another dtype": section_stating(dtype="<f8"),
    "object dtype": section_stating(dtype="|O"),
    "dtype a number": section_stating(dtype=4),
    "same name twice": section_stating(1, name="mu", dtype="<f4"),
    "negative shape": section_stating(shape=[-48]),
    "shape of floats": section_stating(shape=[48.0]),
    "shape none": section_stating(shape=None),
    "shape huge": section_stating(shape=[2**62, 2**62]),
    "shape huge and empty": section_stating(shape=[2**62, 0]),
    "shape of many ones": section_stating(shape=[1] * 100 + [48]),
    "shape of truths": section_stating(shape=[True] * 48),
    "nbytes of another": section_stating(nbytes=193),
    "nbytes huge": section_stating(nbytes=2**62, shape=[2**60]),
    "nbytes negative": section_stating(nbytes=-192),
    "offset with a hole": section_stating(1, offset=256 + 64),
    "offset that overlaps": section_stating(1, offset=0),
    "offset negative": section_stating(0, offset=-64),
    "offset odd": section_stating(1, offset=193),
    "crc a text": section_stating(crc32="0"),
    "crc negative": section_stating(crc32=-1),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_lies_in_a_section(tmp_path, name):
    refuses(lie(CONTENTS[name]), tmp_path, HeaderError)


TRELLIS = {
    "a stage less": changed("centroids", lambda a: a[1:]),
    "centroids of another size": changed("centroids", lambda a: a[:, :255]),
    "centroids of fewer columns": changed("centroids", lambda a: a[:, :, :-1]),
    "centroids as a matrix": changed("centroids", lambda a: a[0]),
    "nan centroid": changed("centroids", with_value((0, 0, 0), np.nan)),
    "a group of no column": changed("sizes", with_value(0, 0)),
    "a group too large": changed("sizes", with_value(-1, 65535)),
    "fewer groups": changed("sizes", lambda a: a[1:]),
    "sizes as a matrix": changed("sizes", lambda a: a[None]),
    "nan in the book": changed("book", with_value((0, 0, 0), np.nan)),
    "infinity in the book": changed("book", with_value((-1, 1, 15), np.inf)),
    "book of fewer columns": changed("book", lambda a: a[1:]),
    "book of eight words": changed("book", lambda a: a[:, :, :8]),
    "book that looks back from the start": changed("book", with_value((0, 1, 0), 1.0)),
    "nibble of two": changed("places", lambda a: a[np.maximum(np.arange(len(a)) - 1, 0)]),
    "place out of range": changed("places", with_value(0, 10_000)),
    "negative place": changed("places", with_value(0, -1)),
    "fewer places": changed("places", lambda a: a[1:]),
    "unit zero": changed("unit", with_value(0, 0)),
    "unit nan": changed("unit", with_value(0, np.nan)),
    "no unit": changed("unit", lambda a: a[:0]),
    "units": changed("unit", lambda a: np.repeat(a, 2)),
}


@pytest.mark.parametrize("name", TRELLIS)
def test_lies_about_a_trellis(tmp_path, name):
    refuses(lie(TRELLIS[name], kind="auto-stages"), tmp_path, HeaderError)


@pytest.mark.parametrize("name", STATEMENTS)
def test_lies_in_the_header(tmp_path, name):
    refuses(lie(STATEMENTS[name], settle="sections" not in name), tmp_path, HeaderError)


@pytest.mark.parametrize("name", SECTIONS)
def test_lies_about_sections(tmp_path, name):
    refuses(lie(SECTIONS[name], settle=False), tmp_path, HeaderError)


@pytest.mark.parametrize("key", sorted(take_apart(example())[0]))
def test_a_header_without_one_of_its_parts(tmp_path, key):
    refuses(lie(lambda header, _: header.pop(key), settle=False), tmp_path, HeaderError)


@pytest.mark.parametrize("key", ["name", "dtype", "shape", "offset", "nbytes", "crc32"])
def test_a_section_without_one_of_its_parts(tmp_path, key):
    refuses(lie(lambda header, _: header["sections"][2].pop(key), settle=False), tmp_path, HeaderError)


@pytest.mark.parametrize("key", sorted(take_apart(example())[0]["settings"]))
def test_settings_without_one_of_them(tmp_path, key):
    refuses(lie(lambda header, _: header["settings"].pop(key)), tmp_path, HeaderError)


@pytest.mark.parametrize("name", [name for name in array_names() if name != "ids"])
def test_a_section_that_is_missing(tmp_path, name):
    def remove(header, parts):
        header["sections"] = [s for s in header["sections"] if s["name"] != name]
        del parts[name]

    refuses(lie(remove), tmp_path, HeaderError)


@pytest.mark.parametrize("kind", ["lplr-4", "dsvd-5", "lsvd-8", "nq-4"])
@pytest.mark.parametrize(
    "change", [setting(rank=3), setting(nbits=2), setting(nbits_R=9), setting(method="auto"), setting(code_bytes=5)]
)
def test_lies_about_the_published_methods(tmp_path, kind, change):
    refuses(lie(change, kind=kind), tmp_path, HeaderError)


def test_an_entry_of_the_right_factor_without_a_value(tmp_path):
    def change(header, parts):
        values = array_of(header, parts, "R_values")
        put(header, parts, "R_values", values[: len(values) // 2])

    refuses(lie(change, kind="lplr-4"), tmp_path, HeaderError)


TEXTS = {
    "not JSON": b"{'ntotal': 3}",
    "cut off": b'{"ntotal": 3',
    "nothing": b"",
    "a list": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "not UTF-8": b'{"ntotal": "\xff\xfe"}',
    "too many digits": b'{"ntotal": ' + b"9" * 5000 + b"}",
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"settings":' * 100_000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_header_that_is_no_header(tmp_path, name):
    header, parts = take_apart(example())
    refuses(put_together(header, parts, text=TEXTS[name]), tmp_path, HeaderError)


def test_a_header_too_long_to_be_one(tmp_path):
    """Refused by its length, before it is read."""
    prefix = struct.pack("<8sIII", b"\x89LPLR\r\n\x1a", 1, 2**32 - 64, 0)
    data = prefix + struct.pack("<I", zlib.crc32(prefix)) + bytes(1000)
    refuses(data, tmp_path, HeaderError, "expected a header of at most 16777216 bytes, got 4294967232")


def test_lies_take_no_memory():
    tracemalloc.start()
    for change in (stating(ntotal=2**62), setting(d=2**40), stating(nibbles=2**60)):
        with pytest.raises(HeaderError):
            deserialize_index(lie(change))
    for change in (section_stating(shape=[2**62]), section_stating(nbytes=2**62, shape=[2**60])):
        with pytest.raises(FormatError):
            deserialize_index(lie(change, settle=False))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000


@settings(max_examples=300)
@given(st.data())
def test_any_lie_in_any_number_is_refused_or_harmless(data):
    """Whatever a header with a correct checksum says: an error by name, or an index that searches without a crash."""
    header, parts = take_apart(example())
    holder = data.draw(st.sampled_from([header, header["settings"], *header["sections"]]))
    key = data.draw(st.sampled_from(sorted(set(holder) - {"settings", "sections"})))
    numbers = st.one_of(
        st.integers(-3, 2000), st.floats(), st.text(max_size=3), st.none(), st.lists(st.integers(0, 99), max_size=3)
    )
    holder[key] = data.draw(numbers)
    try:
        index = deserialize_index(put_together(header, parts, settle=False))
    except FormatError:
        return
    if index.is_trained:
        D, I = index.search(queries(2), 3)
        assert D.shape == I.shape == (2, 3)
