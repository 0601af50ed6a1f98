"""caldera/regression.py: the best of a rank in the norm of H, and factors that are no worse than rounding it."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest

import naive
from lplr_index.caldera.lattice import LatticeQuantizer
from lplr_index.caldera.regression import CodedMatrix, Weight, best_of_rank, quantized_factors
from lplr_index.quantizers import CastQuantizer
from matrices import decaying

EXACT = partial(CastQuantizer.train, nbits=32)
COARSE = partial(LatticeQuantizer.train, nbits=3, per="column")


@pytest.fixture(scope="module")
def weight():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 30)) * np.arange(1, 31) ** -0.7 @ rng.standard_normal((30, 30))
    return Weight.of(x.T @ x / 100)


def test_roots_are_roots(weight):
    np.testing.assert_allclose(weight.root @ weight.root, weight.second_moment, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(weight.root @ weight.inverse_root, np.eye(30), atol=1e-8)
    error = np.random.default_rng(1).standard_normal((5, 30))
    assert weight.squared(error) == pytest.approx(np.square(error @ weight.root).sum())


@pytest.mark.parametrize("rank", [1, 7, 30])
def test_best_of_rank_is_the_global_optimum(weight, rank):
    """Its error is that of Eckart and Young for A H^(1/2); nothing else of that rank is nearer."""
    A = decaying(80, 30).astype(float)

    L, R = best_of_rank(A, weight, rank)

    found = naive.weighted_error(A, L @ R, weight.second_moment)
    assert found == pytest.approx(naive.rank_floor(A @ weight.root, rank), abs=1e-6)
    assert (L.shape, R.shape) == ((80, rank), (rank, 30))
    np.testing.assert_allclose(np.square(L).sum(axis=0), np.square(R @ weight.root).sum(axis=1), rtol=1e-5)


def test_exact_factors_are_the_best_of_their_rank(weight):
    A = decaying(80, 30).astype(float)

    factors = quantized_factors(A, weight, 7, EXACT, EXACT, turns=2)

    found = naive.weighted_error(A, factors.product(), weight.second_moment)
    assert found == pytest.approx(naive.rank_floor(A @ weight.root, 7), rel=1e-4)


def test_quantized_factors_are_better_than_quantizing_the_best(weight):
    A = decaying(80, 30).astype(float)
    L, R = best_of_rank(A, weight, 7)
    rounded = CodedMatrix.of(L, COARSE).values @ CodedMatrix.of(R.T, COARSE).values.T

    errors = [
        naive.weighted_error(
            A, quantized_factors(A, weight, 7, COARSE, COARSE, turns=turns).product(), weight.second_moment
        )
        for turns in range(1, 6)
    ]

    assert errors[0] < naive.weighted_error(A, rounded, weight.second_moment)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("nbits", [2, 3, 4])
def test_of_all_turns_the_best_pair_is_kept(weight, nbits):
    """Turns by themselves go up and down: each of these has a worse one among seven."""
    train = partial(LatticeQuantizer.train, nbits=nbits, per="column")
    A = decaying(80, 30).astype(float)

    errors = [
        weight.squared(A - quantized_factors(A, weight, 15, train, train, turns=turns).product())
        for turns in range(1, 8)
    ]

    assert all(after <= before * (1 + 1e-9) for before, after in pairwise(errors))
    assert len(set(errors)) < 7


def test_codes_stand_for_the_values(weight):
    factors = quantized_factors(decaying(80, 30).astype(float), weight, 7, COARSE, EXACT, turns=1)

    for each in (factors.left, factors.right):
        decoded = each.quantizer.decode(each.quantizer.unpack(each.packed(), 7))
        np.testing.assert_array_equal(decoded, each.values)
