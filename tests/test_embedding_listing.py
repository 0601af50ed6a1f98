"""embedding/listing.py: the files beside the vectors, a row each."""

from __future__ import annotations

import csv
import hashlib

import pytest

from embedders import texts
from lplr_index.embedding.listing import EXCERPT, Names, file_digest, write_items, write_labels
from lplr_index.errors import WriteError


def test_texts_stay_on_one_line(tmp_path):
    write_items(tmp_path / "items.csv", texts(["a\nb  c", "x" * 999]), ())

    with (tmp_path / "items.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert first["text"] == "a b c"
    assert second["text"] == "x" * EXCERPT


def test_names_follow_the_split(tmp_path):
    assert Names.of(tmp_path).labels == tmp_path / "labels.txt"
    assert Names.of(tmp_path, "test").vectors == tmp_path / "test.npy"
    assert Names.of(tmp_path, "test").parts == tmp_path / "test_parts"


def test_what_was_left_out_has_no_row(tmp_path):
    source = texts(["a", "b", "c"], ["x", "y", "z"])

    write_items(tmp_path / "items.csv", source, {1})
    write_labels(tmp_path / "labels.txt", source, {1})

    assert (tmp_path / "items.csv").read_text() == "row,id,label,text\n0,t0,x,a\n1,t2,z,c\n"
    assert (tmp_path / "labels.txt").read_text() == "x\nz\n"


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")

    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_whether_files_can_be_written_is_known_before_the_work(tmp_path):
    Names.of(tmp_path).check_writable()

    with pytest.raises(WriteError):
        Names.of(tmp_path / "absent").check_writable()
