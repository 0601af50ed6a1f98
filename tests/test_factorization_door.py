"""factorization/door.py: one function for every method, which gets what is given and no more."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lplr_index.errors import InputError
from lplr_index.factorization import door
from matrices import decaying


@pytest.fixture
def made(monkeypatch):
    """Replaces every method by one that says what it got, with the options a and b."""
    monkeypatch.setattr(door, "_MAKERS", dict.fromkeys(door.METHODS, lambda A, method, seed, *, a=1, b=2: (
        A, method, seed, a, b
    )))  # fmt: skip
    return door.factorize


@pytest.mark.parametrize("method", door.METHODS)
def test_a_method_gets_the_matrix_in_float32_and_the_options_given(made, method):
    A, *rest = made([[1, 2], [3, 4]], method, seed=5, a=None, b=7)

    assert A.dtype == np.float32
    assert A.tolist() == [[1, 2], [3, 4]]
    assert rest == [method, 5, 1, 7]


def test_an_option_that_a_method_does_not_take_is_named_with_those_it_does(made):
    with pytest.raises(InputError, match=re.escape("expected no c with method 'nq', which takes a, b, got 3")):
        made([[1.0]], "nq", c=3)


def test_a_matrix_without_rows_is_refused(made):
    with pytest.raises(InputError, match=re.escape("expected A with at least one row, got shape (0, 3)")):
        made(np.empty((0, 3)))


def test_the_default_is_the_papers_own_method():
    assert door.factorize(decaying(20, 10), rank=2).method == "lplr"
