"""factorization/budgets.py: the rank that a budget pays for."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lplr_index.errors import InputError
from lplr_index.factorization import budgets
from lplr_index.factorization.budgets import bits_with_q, rank_for_budget


@pytest.mark.parametrize(
    ("shape", "nbits", "nbits_R", "bits", "rank"),
    [
        ((1000, 1000), 4, 8, 1, 83),
        ((1000, 1000), 4, 8, 2, 166),
        ((1534, 1433), 4, 8, 1, 124),
        ((1000, 1000), 8, 8, 1, 62),
        ((25000, 768), 8, 8, 2, 186),
        ((10, 4), 1, 1, 8, 4),  # never above full rank
    ],
)
def test_rank_for_budget(shape, nbits, nbits_R, bits, rank):
    assert rank_for_budget(*shape, nbits, nbits_R, bits) == rank


@given(
    st.integers(1, 500), st.integers(1, 500), st.integers(1, 8), st.integers(1, 8), st.floats(0.1, 8), st.floats(0.1, 2)
)
def test_rank_is_the_largest_within_the_budget(n, d, nbits, nbits_R, bits, ratio):
    budget, cost = ratio * bits * n * d, n * nbits + d * nbits_R
    if budget < cost:
        with pytest.raises(InputError, match="expected a budget of at least"):
            rank_for_budget(n, d, nbits, nbits_R, bits, ratio=ratio)
        return

    rank = rank_for_budget(n, d, nbits, nbits_R, bits, ratio=ratio)

    assert 1 <= rank <= min(n, d)
    assert rank * cost <= budget * (1 + 1e-12)
    assert (rank + 1) * cost > budget * (1 - 1e-12) or rank == min(n, d)


@pytest.mark.parametrize(
    "arguments", [(0, 5, 8, 8, 1), (5, 0, 8, 8, 1), (5, 5, 9, 8, 1), (5, 5, 8, 9, 1), (5, 5, 8, 8, 0)]
)
def test_bad_budgets(arguments):
    with pytest.raises(InputError, match="expected"):
        rank_for_budget(*arguments)


def test_docstrings_are_true():
    failed, attempted = doctest.testmod(budgets)

    assert failed == 0 < attempted


@pytest.mark.parametrize("arguments", [(0, 5, 1), (5, 0, 1), (5, 5, -1), (5, 5, 1.5)])
def test_bad_sizes_with_q(arguments):
    with pytest.raises(InputError, match="expected"):
        bits_with_q(*arguments)
