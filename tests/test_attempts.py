"""What methods are given, and what becomes of their errors."""

from __future__ import annotations

import pytest

from lplr_index.attempts import CHOICES, SLACK, attempt, check_methods, factorize_within, options_of
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


def test_ranges_are_paid_for_by_rank():
    """By column they take 16 bytes a component, a third of what its codes take here."""
    A = decaying(40, 40)
    budget = 0.25 * A.nbytes
    options = {"nbits": 4, "nbits_R": 4, "scale": "column"}

    free = factorize(A, "lsvd", bits=8.0, **options)
    paid = factorize_within(A, budget, "lsvd", **options)

    assert free.nbytes > SLACK * budget
    assert 0.8 * budget < paid.nbytes <= SLACK * budget
    assert factorize_within(A, budget, "lsvd", header_bytes=400, **options).rank < paid.rank


def test_what_has_no_smaller_size_tells_its_own():
    A = decaying(64, 9)

    assert factorize_within(A, 64 * 9 / 8, "nq").nbytes == 64 * 2 + 8
    with pytest.raises(InputError, match="rank 1"):
        factorize_within(A, 4, "lplr")
