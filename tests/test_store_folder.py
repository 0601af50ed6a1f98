"""store/folder.py: names of a store's files, what is swept, and what is said of a folder that is none."""

from __future__ import annotations

import pytest

from lplr_index.errors import FormatError, MissingFileError, NotAnIndexError
from lplr_index.store import folder


@pytest.mark.parametrize("kind", ["segment", "live", "journal"])
def test_what_a_store_names_it_may_sweep_and_nothing_else(tmp_path, kind):
    names = [folder.file_name(kind, serial) for serial in (0, 12, 123_456_789)]
    for name in [*names, "model-0123456789abcdef", ".0123456789abcdef.tmp"]:
        (tmp_path / name).touch()
    for name in (folder.LOCK, "notes.txt", f"{kind}-12", "model-xyz"):
        (tmp_path / name).touch()
    assert folder.strangers(tmp_path).split(", ") == sorted(["model-xyz", "notes.txt", f"{kind}-12"])

    folder.sweep(tmp_path, None)

    assert {path.name for path in tmp_path.iterdir()} == {folder.LOCK, "notes.txt", f"{kind}-12", "model-xyz"}


def test_a_folder_without_a_manifest_is_no_store(tmp_path):
    (tmp_path / "file").touch()

    assert not folder.is_store(tmp_path)
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(NotAnIndexError, match="expected a store, a folder with a manifest, got"):
            folder.read_manifest(path)
    with pytest.raises(FileNotFoundError):
        folder.read_manifest(tmp_path / "nowhere")


def test_what_is_wrong_with_a_file_is_said_with_its_path(tmp_path):
    with pytest.raises(FormatError, match=r"journal-1: it is odd"), folder.naming(tmp_path, "journal-1"):
        raise FormatError("it is odd")
    with pytest.raises(MissingFileError, match="which the manifest names"), folder.naming(tmp_path, "segment-1"):
        (tmp_path / "segment-1").read_bytes()


def test_a_file_that_is_gone_is_removed_without_complaint(tmp_path):
    folder.remove(tmp_path, "segment-1")
