"""What can go wrong with models before there are any: packages that do not fit, are missing, or are other things."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from commands import without
from lplr_index.embedding import SentenceEncoder, image_encoder
from lplr_index.embedding.operators import require_torchvision
from lplr_index.embedding.sentences import no_folder_taken_for, require_sentence_transformers
from lplr_index.embedding.weights import loading
from lplr_index.errors import InputError, MissingDependencyError, UnsupportedError


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


@pytest.mark.parametrize(
    ("package", "ask", "extra"),
    [
        ("torch", require_torchvision, "image"),
        ("sentence_transformers", require_sentence_transformers, "text"),
        ("sentence_transformers", SentenceEncoder, "text"),
        ("torch", image_encoder, "image"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, package, ask, extra):
    without(monkeypatch, package)

    with pytest.raises(MissingDependencyError, match=rf'package {package}, which pip install "lplr_index\[{extra}\]"'):
        ask()


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


def test_whatever_a_model_raises_becomes_one_error():
    with pytest.raises(InputError, match=r"a model that can be loaded, got 'm': first$"), loading("m"):
        raise OSError("first\nsecond")
    for passed in (MemoryError, UnsupportedError, KeyboardInterrupt):
        with pytest.raises(passed), loading("m"):
            raise passed
