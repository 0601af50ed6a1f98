"""embedding/parts.py: what is finished survives, and is believed only if its checksum says so."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from lplr_index.embedding.parts import Part, Parts, as_part, checksum, read_document, write_document
from lplr_index.errors import InputError


def test_a_part_without_its_facts_is_none():
    assert as_part({"key": "a", "rows": 1, "sha256": "b", "left_out": [[0, "why"]]}) == Part("a", 1, "b", ((0, "why"),))
    assert as_part({"key": "a", "rows": None, "sha256": "b", "left_out": []}) is None
    assert as_part({"key": "a", "rows": float("inf"), "sha256": "b", "left_out": []}) is None
    assert as_part([]) is None


X = np.arange(12, dtype=np.float32).reshape(3, 4)


def in_folder(folder, settings=None, **options):
    names = folder / "parts", folder / "vectors.npy", folder / "manifest.json"
    return Parts(*names, np.dtype(np.float16), settings or {"model": "m"}, **options)


def test_what_was_saved_is_found_again_by_another(tmp_path):
    saved = in_folder(tmp_path).save("a", X, [(3, "why")])

    found = in_folder(tmp_path).find("a")

    assert found == saved == Part("a", 3, checksum(X.astype(np.float16)), ((3, "why"),))
    np.testing.assert_array_equal(in_folder(tmp_path).rows(found), X)
    assert in_folder(tmp_path).find("b") is None


def test_a_damaged_part_is_counted_and_not_found(tmp_path):
    in_folder(tmp_path).save("a", X, [])
    file = tmp_path / "parts" / "a.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    parts = in_folder(tmp_path)

    assert parts.find("a") is None
    assert parts.damaged == 1


def test_parts_become_one_file_in_which_each_is_known(tmp_path):
    parts = in_folder(tmp_path)
    made = [parts.save("a", X, []), parts.save("b", X[:0], [(0, "empty")]), parts.save("c", X[:2] + 1, [])]

    assert parts.finish(made) == (5, 4)
    write_document(tmp_path / "manifest.json", {"settings": {"model": "m"}, "parts": [asdict(part) for part in made]})
    parts.clear()

    after = in_folder(tmp_path)
    assert [after.find(part.key) for part in made] == made
    np.testing.assert_array_equal(after.rows(made[2]), X[:2] + 1)
    assert not (tmp_path / "parts").exists()


def test_other_settings_are_refused_and_renewed(tmp_path):
    in_folder(tmp_path).save("a", X, [])

    with pytest.raises(InputError, match=r"expected model 'm', as for the vectors that are in .*, got 'other': choose"):
        in_folder(tmp_path, {"model": "other"})
    assert in_folder(tmp_path, {"model": "other"}, renew=True).find("a") is None


def test_vectors_of_another_origin_are_not_replaced(tmp_path):
    np.save(tmp_path / "vectors.npy", X)

    with pytest.raises(InputError, match=r"expected no .*vectors\.npy but one of this command's own, got one without"):
        in_folder(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_damaged_document_counts_as_absent(tmp_path, damage):
    (tmp_path / "a").write_bytes(damage)

    assert read_document(tmp_path / "a") == read_document(tmp_path / "absent") == {}
