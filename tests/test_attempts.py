"""What methods are given, and what becomes of their errors."""

from __future__ import annotations

import pytest

from lplr_index.attempts import CHOICES, attempt, check_methods, options_of
from lplr_index.errors import InputError, MissingDependencyError
from lplr_index.extras import require
from lplr_index.factorization import METHODS, PUBLISHED, factorize
from matrices import decaying


def test_published_methods_are_methods():
    assert set(PUBLISHED) <= set(METHODS) & set(CHOICES)
    assert check_methods([*METHODS]) == [*METHODS]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_its_options(method):
    f = factorize(decaying(60, 20), method, bits=8, **options_of(method, nbits=4, scale="column", sketch="orthogonal"))

    assert f.nbytes > 0


def test_other_methods_choose_for_themselves():
    assert options_of("of-tomorrow", nbits=4) == {}


def test_another_name_is_refused():
    with pytest.raises(InputError, match=r"expected methods among lplr, .*, got pq"):
        check_methods(["lplr", "pq"])


def test_what_is_made_is_kept_and_an_error_of_ours_is_the_reason():
    def refuse():
        raise InputError("too small")

    made, refused = attempt("a", 1.0, lambda: 7), attempt("b", 2.0, refuse)

    assert (made.method, made.bits, made.code, made.reason) == ("a", 1.0, 7, "")
    assert (refused.method, refused.bits, refused.code, refused.reason) == ("b", 2.0, None, "too small")


def test_a_missing_package_and_an_error_of_others_are_not_hidden():
    with pytest.raises(MissingDependencyError):
        attempt("a", 1.0, lambda: require("absent_package", "all"))
    with pytest.raises(ZeroDivisionError):
        attempt("a", 1.0, lambda: 1 // 0)
