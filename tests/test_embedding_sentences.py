"""embedding/sentences.py before there is a model: arguments, texts, and folders that look like packages."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from commands import without
from lplr_index.embedding import SentenceEncoder
from lplr_index.embedding.sentences import no_folder_taken_for
from lplr_index.errors import InputError


def test_a_folder_is_not_taken_for_a_package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lplr_no_package").mkdir()
    (tmp_path / "lplr_module.py").write_text("")

    assert importlib.util.find_spec("lplr_no_package") is not None
    with no_folder_taken_for("lplr_no_package"):
        assert importlib.util.find_spec("lplr_no_package") is None
        with pytest.raises(ImportError):
            importlib.import_module("lplr_no_package")
    assert "lplr_no_package" not in sys.modules
    for package in ("lplr_module", "lplr_absent", "numpy"):
        there = importlib.util.find_spec(package) is not None
        with no_folder_taken_for(package):
            assert (importlib.util.find_spec(package) is not None) is there


def test_arguments_are_checked_before_anything_is_loaded(monkeypatch):
    without(monkeypatch, "sentence_transformers", "torch")

    with pytest.raises(InputError, match="expected pooling to be one of cls, mean, max, got 'sum'"):
        SentenceEncoder("m", pooling="sum")
    with pytest.raises(InputError, match="expected tokens to be an integer >= 1, got 0"):
        SentenceEncoder("m", tokens=0)
    with pytest.raises(InputError, match="expected batch to be an integer >= 1, got 0"):
        SentenceEncoder("m", batch=0)


def test_texts_are_stripped_and_must_say_something():
    assert SentenceEncoder.prepare(" a\nb ") == "a\nb"
    for empty in ("", " \n\u2028"):
        with pytest.raises(InputError, match="expected a text, got an empty one"):
            SentenceEncoder.prepare(empty)
