"""``verify`` finds whatever is not as it was written, names it, and finds nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from indexes import rows
from lplr_index import open_store
from lplr_index.errors import ChecksumError, HeaderError, MissingFileError, NotAnIndexError
from lplr_index.store import verifying
from lplr_index.store.manifest import pack_manifest, parse_manifest
from lplr_index.store.verifying import verify
from stores import LISTS, file_of, flip, names, small, written


@pytest.mark.parametrize("nlist", LISTS)
@pytest.mark.parametrize("kind", ["int", "str"])
def test_a_whole_store(tmp_path, nlist, kind):
    assert verify(written(tmp_path / "s", kind, nlist)) == []


@pytest.mark.parametrize("nlist", LISTS)
@pytest.mark.parametrize("kind", ["int", "str"])
@pytest.mark.parametrize("file", ["model", "segment", "live", "journal"])
@pytest.mark.parametrize("place", [100, 4200, -40])
def test_a_flipped_bit(tmp_path, nlist, kind, file, place):
    damaged = file_of(written(tmp_path / "s", kind, nlist), file)
    if place >= damaged.stat().st_size:
        place = -40
    flip(damaged, place)
    (wrong,) = verify(tmp_path / "s")
    assert isinstance(wrong, ChecksumError)
    assert str(wrong).startswith(f"{damaged}: expected")


def test_all_that_is_wrong_is_listed(tmp_path):
    path = written(tmp_path / "s")
    segments = sorted(path.glob("segment-*"))
    flip(segments[0], -1)
    segments[1].unlink()
    wrong = verify(path)
    assert [type(each) for each in wrong] == [ChecksumError, MissingFileError]
    assert [str(segment) in str(each) for segment, each in zip(segments, wrong, strict=False)] == [True, True]


def test_no_store(tmp_path):
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "nothing")
    (wrong,) = verify(tmp_path)
    assert isinstance(wrong, NotAnIndexError)
    flip(written(tmp_path / "s") / "manifest", 30)
    (wrong,) = verify(tmp_path / "s")
    assert "manifest: expected the header to match its checksum" in str(wrong)


@pytest.mark.parametrize("kind", ["int", "str"])
def test_an_id_that_is_there_twice(tmp_path, kind, short_journals):
    """Of two segments that hold the same rows, as no store of ours writes them."""
    with small(tmp_path / "s", kind, background=False) as store:
        store.add(rows(70), names(range(70), kind))
    path = tmp_path / "s" / "manifest"
    manifest = parse_manifest(path.read_bytes())
    (entry,) = manifest.segments
    other = tmp_path / "s" / "segment-00000099"
    other.write_bytes((tmp_path / "s" / entry.file.name).read_bytes())
    twice = replace(entry, file=replace(entry.file, name=other.name))
    path.write_bytes(pack_manifest(replace(manifest, segments=(entry, twice))))
    (wrong,) = verify(tmp_path / "s")
    assert isinstance(wrong, HeaderError)
    assert "manifest: expected every id once, got one from 0 to 69 twice" in str(wrong)
    path.write_bytes(pack_manifest(replace(manifest, next_id=69)))
    (wrong,) = verify(tmp_path / "s")
    assert "expected ids below 69, got 69" in str(wrong)


def test_a_string_that_is_there_twice(tmp_path, monkeypatch, short_journals):
    with small(tmp_path / "s", "str", background=False) as store:
        store.add(rows(70), names(range(70), "str"))
        with pytest.MonkeyPatch.context() as patch:  # a store that forgets to look
            patch.setattr(type(store._writer.now()), "numbers_of", lambda _, ids: verifying.np.full(len(ids), -1))
            store.add(rows(1), names([5], "str"))
    (wrong,) = verify(tmp_path / "s")
    assert "expected every id once, got a string twice" in str(wrong)


def test_a_store_that_changes_meanwhile(tmp_path, monkeypatch):
    path = written(tmp_path / "s")
    open_segment = verifying.open_segment
    with open_store(path) as store:

        def late(*args, **kwargs):
            monkeypatch.setattr(verifying, "open_segment", open_segment)
            store.compact()
            return open_segment(*args, **kwargs)

        monkeypatch.setattr(verifying, "open_segment", late)
        assert store.verify() == []
