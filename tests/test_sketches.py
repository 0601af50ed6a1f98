"""sketches.py: each matrix has the structure and the scale that its docstring promises."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.errors import InputError
from lplr_index.sketches import SKETCHES, gaussian, orthogonal, sparse_jl, srht, walsh_hadamard

SHAPES = [(1, 1), (5, 3), (8, 8), (37, 20), (64, 10)]


def seeded(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", SKETCHES)
@pytest.mark.parametrize(("d", "m"), SHAPES)
def test_shape_dtype_and_seed(name, d, m):
    S = SKETCHES[name](d, m, seeded())

    assert S.shape == (d, m)
    assert S.dtype == np.float32
    np.testing.assert_array_equal(S, SKETCHES[name](d, m, seeded()))
    if d > 1:
        assert not np.array_equal(S, SKETCHES[name](d, m, seeded(1)))


@pytest.mark.parametrize(("name", "scale"), [("gaussian", 1.0), ("srht", 1.0), ("sparse_jl", 1.0), ("orthogonal", 0.5)])
def test_mean_of_the_square_is_a_multiple_of_the_identity(name, scale):
    d, m, draws = 12, 6, 4000
    rng = seeded()

    drawn = np.stack([SKETCHES[name](d, m, rng) for _ in range(draws)]).astype(np.float64)
    squares = drawn @ drawn.transpose(0, 2, 1)

    five_errors = 5 * squares.std(axis=0) / np.sqrt(draws)
    assert (np.abs(squares.mean(axis=0) - scale * np.eye(d)) <= five_errors + 1e-6).all()


def test_gaussian_has_variance_one_over_m():
    S = gaussian(400, 250, seeded())

    assert abs(S.var() * 250 - 1) < 0.02
    assert abs(S.mean()) < 5 * S.std() / np.sqrt(S.size)


def test_srht_entries_and_orthogonality():
    S = srht(64, 64, seeded())

    np.testing.assert_array_equal(np.abs(S), np.float32(1 / 8))
    np.testing.assert_allclose(S @ S.T, np.eye(64), atol=1e-6)


def test_srht_pads_to_a_power_of_two():
    assert srht(5, 8, seeded()).shape == (5, 8)
    with pytest.raises(InputError, match="expected at most 8 columns of a Hadamard matrix padded from 5 rows, got 9"):
        srht(5, 9, seeded())


@pytest.mark.parametrize(("m", "s", "filled"), [(20, 8, 8), (20, 3, 3), (4, 8, 4)])
def test_sparse_jl_rows(m, s, filled):
    S = sparse_jl(50, m, seeded(), s=s)

    np.testing.assert_array_equal((S != 0).sum(axis=1), filled)
    np.testing.assert_array_equal(np.abs(S[S != 0]), np.float32(1 / np.sqrt(filled)))
    assert (S > 0).any()
    assert (S < 0).any()


@pytest.mark.parametrize(("d", "m"), [(30, 30), (30, 7)])
def test_orthogonal_columns(d, m):
    S = orthogonal(d, m, seeded())

    np.testing.assert_allclose(S.T @ S, np.eye(m), atol=1e-6)


def test_orthogonal_is_haar():
    """The trace of a Haar rotation has mean 0 and variance 1; QR without the sign fix has mean near -sqrt(m)."""
    rng = seeded()
    traces = [np.trace(orthogonal(10, 10, rng)) for _ in range(2000)]

    assert abs(np.mean(traces)) < 5 / np.sqrt(2000)
    assert abs(np.var(traces) - 1) < 0.2


def test_orthogonal_cannot_have_more_columns_than_rows():
    with pytest.raises(InputError, match="expected at most 3 orthonormal columns of length 3, got 4"):
        orthogonal(3, 4, seeded())


def test_walsh_hadamard_is_the_product_with_the_matrix():
    order = 32
    index = np.arange(order)
    parity = np.array([[int(i & j).bit_count() & 1 for j in index] for i in index])

    np.testing.assert_array_equal(walsh_hadamard(np.eye(order)), 1.0 - 2.0 * parity)


@pytest.mark.parametrize("order", [0, 3, 12])
def test_walsh_hadamard_needs_a_power_of_two(order):
    with pytest.raises(InputError, match=f"expected a power of two of rows, got {order}"):
        walsh_hadamard(np.zeros((order, 2)))


@pytest.mark.parametrize("name", SKETCHES)
@pytest.mark.parametrize(("d", "m"), [(0, 3), (3, 0), (2.0, 1), (3, True)])
def test_bad_shapes(name, d, m):
    with pytest.raises(InputError, match="to be an integer >= 1"):
        SKETCHES[name](d, m, seeded())
