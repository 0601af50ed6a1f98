"""extras.py: optional packages, or the sentence that names what brings them."""

from __future__ import annotations

import os

import pytest

from lplr_index.errors import MissingDependencyError
from lplr_index.extras import require


def test_a_missing_package_names_the_extra_that_brings_it():
    assert require("os.path", "files") is os.path
    with pytest.raises(MissingDependencyError, match=r'pip install "lplr_index\[files\]"'):
        require("a_package_nobody_has.part", "files")


def test_a_package_that_cannot_be_loaded_says_why(tmp_path, monkeypatch):
    (tmp_path / "half_a_package.py").write_text("import a_package_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(MissingDependencyError, match=r"expected the package half_a_package.*a_package_nobody_has"):
        require("half_a_package", "all")
