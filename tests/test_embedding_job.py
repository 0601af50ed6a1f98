"""An embedding survives interruption, damage and changes of its input, and never mixes two models."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from commands import files
from embedders import Hashing, expected, texts
from lplr_index.embedding import embed
from lplr_index.embedding.job import PART_ITEMS
from lplr_index.embedding.parts import as_part, read_document
from lplr_index.errors import InputError, VectorFileError, WriteError
from lplr_index.vectors import open_vectors

TEXTS = [f"text {number}" for number in range(11)]
LABELS = ["even", "odd"] * 5 + ["even"]
DONE = ["items.csv", "labels.txt", "manifest.json", "vectors.npy"]


def begin(folder, source=None, encoder=None, **options):
    """Embed in parts of three items."""
    source = texts(TEXTS, LABELS) if source is None else source
    return embed(source, encoder or Hashing(), folder, part_items=3, **options)


def vectors(folder, name="vectors.npy"):
    return np.load(folder / name)


def test_the_files_say_what_every_row_is(tmp_path):
    done = begin(tmp_path)

    assert sorted(files(tmp_path)) == DONE
    assert (done.n, done.d, done.kept, done.damaged, done.left_out) == (11, 8, 0, 0, ())
    assert vectors(tmp_path).dtype == np.float16
    np.testing.assert_array_equal(vectors(tmp_path), expected(TEXTS))
    assert (tmp_path / "labels.txt").read_text().splitlines() == LABELS
    with (tmp_path / "items.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[10] == {"row": "10", "id": "t10", "label": "even", "text": "text 10"}
    assert len(rows) == 11


def test_the_manifest_has_checksums_model_and_versions(tmp_path):
    begin(tmp_path)

    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["n"], manifest["d"]) == (11, 8)
    assert manifest["settings"] == {"dtype": "float16", "part_items": 3, "model": "hashing"}
    assert manifest["versions"]["hashing"] == "1"
    assert set(manifest["versions"]) >= {"python", "lplr_index"}
    assert manifest["input"]["items"] == 11
    digests = b"".join(hashlib.sha256(each.encode()).digest() for each in TEXTS)
    assert manifest["input"]["sha256"] == hashlib.sha256(digests).hexdigest()
    assert manifest["files"] == {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in DONE if name != "manifest.json"
    }
    assert [part["rows"] for part in manifest["parts"]] == [3, 3, 3, 2]
    assert as_part(manifest["parts"][0]).sha256 == hashlib.sha256(vectors(tmp_path)[:3].tobytes()).hexdigest()


def test_a_split_has_files_of_its_own(tmp_path):
    begin(tmp_path, split="train")
    begin(tmp_path, texts(["a"]), split="test")

    names = [f"train{name}" for name in (".npy", "_items.csv", "_labels.txt", "_manifest.json")]
    assert sorted(files(tmp_path)) == sorted([*names, "test.npy", "test_items.csv", "test_manifest.json"])
    np.testing.assert_array_equal(vectors(tmp_path, "test.npy"), expected(["a"]))


@pytest.mark.parametrize("after", range(len(TEXTS)))
def test_what_was_finished_before_an_interruption_is_kept(tmp_path, after):
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path, encoder=Hashing(interrupted_after=after))
    assert not {*DONE} & {*files(tmp_path)}
    encoder = Hashing()

    done = begin(tmp_path, encoder=encoder)

    assert done.kept == after // 3 * 3
    assert [each.decode() for each in encoder.seen] == TEXTS[done.kept :]
    np.testing.assert_array_equal(vectors(tmp_path), expected(TEXTS))
    assert sorted(files(tmp_path)) == DONE


def test_interruptions_in_a_row_come_to_an_end(tmp_path):
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path, encoder=Hashing(interrupted_after=3))

    assert begin(tmp_path, encoder=Hashing(interrupted_after=3)).kept == 9
    np.testing.assert_array_equal(vectors(tmp_path), expected(TEXTS))


@pytest.mark.parametrize("write", range(14))
def test_a_disk_that_fills_up_at_any_write_costs_nothing_that_was_finished(tmp_path, monkeypatch, write):
    """Parts take two writes each after the folder's settings, and the four files one each: the last is the manifest."""
    sync, count = os.fsync, iter(range(1000))

    def fill(handle):
        if next(count) == write:
            raise OSError(28, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill)
        # Of the folder, not the file: some file systems refuse it, and nothing is lost.
        patch.setattr("lplr_index.atomic.sync_folder", lambda _folder: None)
        try:
            begin(tmp_path)
        except WriteError:
            assert "manifest.json" not in files(tmp_path)
        else:
            assert write == 13
    kept = begin(tmp_path).kept

    assert kept == (11 if write >= 9 else max(0, (write - 1) // 2) * 3)
    np.testing.assert_array_equal(vectors(tmp_path), expected(TEXTS))
    assert sorted(files(tmp_path)) == DONE


def test_a_finished_embedding_is_verified_and_left_as_it_is(tmp_path):
    begin(tmp_path)
    before, stamp = files(tmp_path), (tmp_path / "vectors.npy").stat().st_mtime_ns

    encoder = Hashing()
    assert begin(tmp_path, encoder=encoder).kept == 11

    assert encoder.seen == []
    assert files(tmp_path) == before
    assert (tmp_path / "vectors.npy").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("part", range(4))
def test_a_damaged_part_of_the_finished_file_is_made_again(tmp_path, part):
    begin(tmp_path)
    whole = (tmp_path / "vectors.npy").read_bytes()
    damaged = bytearray(whole)
    damaged[128 + part * 3 * 16] ^= 1
    (tmp_path / "vectors.npy").write_bytes(damaged)
    encoder = Hashing()

    done = begin(tmp_path, encoder=encoder)

    assert (done.damaged, len(encoder.seen)) == (1, 11 - done.kept)
    assert [each.decode() for each in encoder.seen] == TEXTS[3 * part : 3 * part + 3]
    assert (tmp_path / "vectors.npy").read_bytes() == whole


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "emptied", "gone"])
def test_a_damaged_unfinished_part_is_made_again(tmp_path, suffix, how):
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path, encoder=Hashing(interrupted_after=6))
    file = min((tmp_path / "parts").glob(f"*{suffix}"), key=lambda file: (file.name == "settings.json", file.name))
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    kinds = {"flipped": bytes(data), "cut": bytes(data[:-30]), "emptied": b""}
    file.unlink() if how == "gone" else file.write_bytes(kinds[how])

    done = begin(tmp_path)

    assert done.kept == 3
    assert done.damaged == (0 if (suffix, how) == (".json", "gone") else 1)
    np.testing.assert_array_equal(vectors(tmp_path), expected(TEXTS))


def test_what_is_finished_and_cut_is_made_again(tmp_path):
    begin(tmp_path)
    (tmp_path / "vectors.npy").write_bytes((tmp_path / "vectors.npy").read_bytes()[:-1])

    assert begin(tmp_path).damaged == 4
    np.testing.assert_array_equal(vectors(tmp_path), expected(TEXTS))


@pytest.mark.parametrize("interrupted", [True, False])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder": Hashing(model="other")}, "expected model 'hashing', as for the vectors .* got 'other'"),
        ({"dtype": "float32"}, "expected dtype 'float16', .* got 'float32'"),
    ],
)
def test_other_settings_are_refused_until_renewed(tmp_path, interrupted, change, words):
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path, encoder=Hashing(interrupted_after=6))
    else:
        begin(tmp_path)
    before = files(tmp_path)

    with pytest.raises(InputError, match=words):
        begin(tmp_path, **change)
    assert files(tmp_path) == before

    done = begin(tmp_path, **change, renew=True)
    assert (done.kept, done.damaged) == (0, 0)
    np.testing.assert_array_equal(vectors(tmp_path), expected(TEXTS))


def test_a_renewal_that_is_interrupted_goes_on_as_what_it_was_to_become(tmp_path):
    begin(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        begin(tmp_path, encoder=Hashing(model="other", interrupted_after=6), renew=True)

    with pytest.raises(InputError, match="expected model 'other'"):
        begin(tmp_path)
    assert begin(tmp_path, encoder=Hashing(model="other")).kept == 6


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ([*TEXTS, "one more"], 9),
        ([*TEXTS[:9]], 9),
        (["other", *TEXTS[1:]], 8),
        ([*TEXTS[:4], "", *TEXTS[5:]], 8),
        (TEXTS[3:], 8),
        (TEXTS[1:], 0),
        (TEXTS[:3] * 3, 9),
    ],
)
def test_a_changed_input_costs_the_parts_that_changed(tmp_path, changed, kept):
    begin(tmp_path)

    done = begin(tmp_path, texts(changed))

    assert (done.kept, done.damaged) == (kept, 0)
    np.testing.assert_array_equal(vectors(tmp_path), expected(filter(None, changed)))
    assert not (tmp_path / "labels.txt").exists()
    assert begin(tmp_path, texts(changed)).kept == done.n


def test_what_cannot_be_embedded_is_left_out_and_named(tmp_path):
    some = ["", "a", "b", "", "", "", "c"]
    done = begin(tmp_path, texts(some, "ABCDEFG"))

    assert done.left_out == tuple((f"t{row}", "expected something, got nothing") for row in (0, 3, 4, 5))
    np.testing.assert_array_equal(vectors(tmp_path), expected("abc"))
    assert (tmp_path / "labels.txt").read_text() == "B\nC\nG\n"
    with (tmp_path / "items.csv").open(newline="") as stream:
        assert [(row["row"], row["id"]) for row in csv.DictReader(stream)] == [("0", "t1"), ("1", "t2"), ("2", "t6")]
    listed = json.loads((tmp_path / "manifest.json").read_text())["left_out"]
    assert listed[1] == {"id": "t3", "why": "expected something, got nothing"}
    again = begin(tmp_path, texts(some, "ABCDEFG"))
    assert (again.kept, again.left_out) == (3, done.left_out)


def test_nothing_to_embed_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"at least one item that can be embedded, got none .t0: expected something"):
        begin(tmp_path, texts(["", " "]))
    assert not {*DONE} & {*files(tmp_path)}


def test_a_vector_that_the_file_cannot_hold_names_its_item(tmp_path):
    with pytest.raises(InputError, match=r"finite numbers that fit float16, got up to [\d.]+ in that of t0"):
        begin(tmp_path, encoder=Hashing(scale=1e5))
    assert begin(tmp_path / "..", encoder=Hashing(scale=1e5), dtype="float32", split=tmp_path.name).n == 11
    with pytest.raises(InputError, match="got up to nan in that of t0"):
        begin(tmp_path, encoder=Hashing(scale=np.nan), renew=True)


def test_files_of_others_are_not_replaced(tmp_path):
    (tmp_path / "vectors.npy").write_bytes(b"mine")

    with pytest.raises(InputError, match=r"got one without manifest\.json"):
        begin(tmp_path)

    assert files(tmp_path) == {"vectors.npy": b"mine"}
    assert begin(tmp_path, renew=True).n == 11


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"parts": [{"key": 1}]}', b'{"parts": [[]], "settings": []}'])
def test_a_damaged_manifest_is_no_reason_to_believe_the_vectors(tmp_path, damage):
    begin(tmp_path)
    (tmp_path / "manifest.json").write_bytes(damage)

    if b"parts" in damage:
        assert begin(tmp_path).kept == 0
    else:
        with pytest.raises(InputError, match="without manifest"):
            begin(tmp_path)
    assert begin(tmp_path, renew=True).n == 11


def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path):
    source = replace(texts(TEXTS), count=12)

    with pytest.raises(VectorFileError, match="expected 12 items in texts, as before, got 11"):
        begin(tmp_path, source)


def test_arguments_are_checked_before_the_work(tmp_path):
    encoder = Hashing()
    with pytest.raises(InputError, match="dtype to be one of float16, float32, got 'int8'"):
        begin(tmp_path, encoder=encoder, dtype="int8")
    with pytest.raises(WriteError, match="there is no folder"):
        begin(tmp_path / "absent", encoder=encoder)
    (tmp_path / "labels.txt").mkdir()
    with pytest.raises(WriteError, match=r"labels\.txt: it is there and is not a regular file"):
        begin(tmp_path, encoder=encoder)

    assert encoder.seen == []


def test_progress_counts_items(tmp_path):
    told = []
    begin(tmp_path, progress=lambda *step: told.append(step))

    assert {stage for stage, _, _ in told} == {"embedding"}
    assert {total for _, _, total in told} == {11}
    done = [count for _, count, _ in told]
    assert (done[0], done[-1]) == (0, 11)
    assert done == sorted(done)
    assert {2, 3, 5, 6} <= set(done)  # batches of two in parts of three


def test_what_is_written_is_what_other_commands_read(tmp_path):
    begin(tmp_path)

    with open_vectors(tmp_path) as source:  # a folder with one file of vectors
        assert (source.n, source.d, source.dtype) == (11, 8, np.float16)


@pytest.mark.parametrize(("stride", "part_items"), [(2, PART_ITEMS), (1000, 1000)])
def test_a_part_is_no_smaller_than_what_the_encoder_takes_at_once(tmp_path, stride, part_items):
    encoder = Hashing()
    encoder.stride = stride
    embed(texts(TEXTS), encoder, tmp_path)

    assert read_document(tmp_path / "manifest.json")["settings"]["part_items"] == part_items
