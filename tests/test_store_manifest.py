"""The manifest says what counts, all of it or by name what is wrong."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace

import pytest

from damage import forgeries, mutants
from lplr_index.errors import ChecksumError, FormatError, HeaderError, NotAnIndexError
from lplr_index.settings import Settings
from lplr_index.store.manifest import Entry, Manifest, pack_manifest, parse_manifest
from lplr_index.store.segments import Stamp
from stores import written

SETTINGS = Settings.of(48, 2.0, "cosine", "auto", None, None, 8, 0)
BARE = Manifest(1, SETTINGS, "int", None, None, "journal-00000001", (), 0, 1)
FULL = replace(
    BARE,
    ids="str",
    digest="a" * 64,
    model=Stamp("model-aaaaaaaaaaaaaaaa", 9000, 1),
    segments=(
        Entry(Stamp("segment-00000002", 5000, 7), 100),
        Entry(Stamp("segment-00000004", 5000, 8), 100, Stamp("live-00000005", 4200, 9), 3),
    ),
    next_id=200,
    serial=5,
)


@pytest.mark.parametrize("manifest", [BARE, FULL])
def test_it_comes_back(manifest):
    assert parse_manifest(pack_manifest(manifest)) == manifest


def test_the_names_are_those_of_all_files_that_count():
    assert BARE.names == {"journal-00000001"}
    expected = "journal-00000001 model-aaaaaaaaaaaaaaaa segment-00000002 segment-00000004 live-00000005"
    assert FULL.names == set(expected.split())


def test_every_flipped_bit_has_a_name():
    data = pack_manifest(FULL)
    for at in range(0, len(data), 3):
        copy = bytearray(data)
        copy[at] ^= 1 << at % 8
        with pytest.raises((ChecksumError, NotAnIndexError)):
            parse_manifest(bytes(copy))


def said(**changes):
    """Return the bytes of a manifest that says other things, under checksums that are right."""
    data = pack_manifest(FULL)
    length = int.from_bytes(data[12:16], "little")
    header = json.loads(data[24 : 24 + length])
    header["store"] |= changes
    text = json.dumps(header).encode()
    text += b" " * (-(24 + len(text)) % 4096)
    prefix = data[:12] + len(text).to_bytes(4, "little") + zlib.crc32(text).to_bytes(4, "little")
    return prefix + zlib.crc32(prefix).to_bytes(4, "little") + text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 3}, "expected a store of version 1 to 2, got 3"),
        ({"more": 1}, "expected digest, generation"),
        ({"journal": "../journal-00000001"}, "expected the name of a file of a store"),
        ({"journal": "segment-00000002"}, "expected a manifest whose parts fit together"),
        ({"generation": -1}, "expected a whole number"),
        ({"ids": "uuid"}, "expected a manifest whose parts fit together"),
        ({"model": None}, "expected a digest of a model, or neither"),
        ({"next_id": 2**63}, "expected a whole number"),
        ({"settings": {}}, "expected code_bytes"),
        ({"segments": [1]}, "expected a segment to be a JSON object"),
        ({"segments": [{"file": None, "rows": 1, "live": None, "dead": 0}]}, "expected a segment of some rows"),
    ],
)
def test_what_does_not_fit_has_a_name(changes, words):
    assert parse_manifest(said()) == FULL
    with pytest.raises(HeaderError, match=words):
        parse_manifest(said(**changes))


def fuzz(data, count):
    for copies in (mutants(data, 0, count), forgeries(data, 1, count)):
        for copy in copies:
            try:
                manifest = parse_manifest(copy)
            except FormatError:
                continue
            assert parse_manifest(pack_manifest(manifest)) == manifest
            assert not any("/" in name or "." in name for name in manifest.names)


def test_mutants_raise_nothing_untyped(tmp_path):
    fuzz(pack_manifest(FULL), 1000)
    fuzz((written(tmp_path / "s") / "manifest").read_bytes(), 500)


@pytest.mark.slow
def test_many_mutants_raise_nothing_untyped():
    fuzz(pack_manifest(FULL), 25_000)
