"""errors.py: every class is ours, is what Python expects, and says one sentence."""

from __future__ import annotations

import inspect

import pytest

from lplr_index import errors

CLASSES = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_ours_and_one_of_pythons(name):
    kind = CLASSES[name]

    assert kind.__doc__
    if issubclass(kind, Warning):
        assert issubclass(kind, UserWarning)
        return
    assert issubclass(kind, errors.LPLRError)
    if kind is not errors.LPLRError:
        builtins = [base for base in kind.__mro__ if base.__module__ == "builtins"]
        assert builtins[0] not in (Exception, BaseException)


def test_defects_of_files_are_format_errors():
    defects = {name for name, kind in CLASSES.items() if issubclass(kind, errors.FormatError)}

    assert defects == {
        "FormatError",
        "MissingFileError",
        "NotAnIndexError",
        "VersionError",
        "TruncatedError",
        "ChecksumError",
        "HeaderError",
    }


def test_an_unknown_id_prints_its_message_without_quotes():
    assert str(errors.UnknownIdError("expected an id, got 3")) == "expected an id, got 3"
    assert str(errors.UnknownIdError()) == ""
    with pytest.raises(KeyError):
        raise errors.UnknownIdError("x")
