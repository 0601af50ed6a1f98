"""linalg.py: the same numbers as NumPy's direct routines, in blocks, for matrices without full rank too."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import naive
from lplr_index import linalg

SHAPES = [(200, 30), (30, 200), (50, 50), (7, 1), (1, 7)]


@pytest.fixture(params=[1, 300, 1 << 22], ids=["row by row", "some rows", "at once"])
def blocks(request, monkeypatch):
    """Run a test with blocks of three sizes."""
    monkeypatch.setattr(linalg, "_BLOCK_ENTRIES", request.param)


def matrix(n, d, rank=None, seed=0):
    rng = np.random.default_rng(seed)
    rank = min(n, d) if rank is None else rank
    A = rng.standard_normal((n, rank)) * np.arange(1, rank + 1) ** -1.0 @ rng.standard_normal((rank, d))
    return A.astype(np.float32)


@pytest.mark.parametrize(("n", "width", "entries"), [(10, 3, 9), (10, 100, 9), (9, 3, 9), (0, 3, 9), (5, 0, 9)])
def test_row_blocks_cover_all_rows_once(n, width, entries, monkeypatch):
    monkeypatch.setattr(linalg, "_BLOCK_ENTRIES", entries)

    slices = list(linalg.row_blocks(n, width))

    assert [row for each in slices for row in range(n)[each]] == list(range(n))
    assert all((each.stop - each.start) * width <= entries or each.stop - each.start == 1 for each in slices)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("shape", SHAPES)
def test_products(shape):
    A = matrix(*shape)
    exact, other = A.astype(float), np.random.default_rng(1).standard_normal((shape[1], 4))

    np.testing.assert_allclose(linalg.gram(A), exact.T @ exact, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(linalg.apply_gram(A, other), exact.T @ exact @ other, rtol=1e-10, atol=1e-10)
    projected = linalg.project(A, other.astype(np.float32))
    assert projected.dtype == np.float32
    np.testing.assert_allclose(projected, exact @ other.astype(np.float32), rtol=1e-7, atol=1e-9)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("shape", SHAPES)
def test_singular_pairs(shape):
    A = matrix(*shape)
    rank = max(1, min(shape) // 2)

    values, vectors = linalg.singular_pairs(A, rank)

    _, expected, Vt = naive.svd(A.astype(float), rank)
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    np.testing.assert_allclose(vectors, Vt.T, atol=1e-8)


@pytest.mark.parametrize("shape", [(40, 20), (20, 40)])
def test_singular_pairs_past_the_rank_are_zero(shape):
    values, vectors = linalg.singular_pairs(matrix(*shape, rank=3), 8)

    assert (values[:3] > 0).all()
    np.testing.assert_array_equal(values[3:], 0)
    np.testing.assert_array_equal(vectors[:, 3:], 0)
    np.testing.assert_allclose(vectors[:, :3].T @ vectors[:, :3], np.eye(3), atol=1e-9)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("n", [60, 20])
def test_least_squares(n):
    L, A = matrix(n, 12, seed=1), matrix(n, 9)

    expected = np.linalg.lstsq(L.astype(float), A.astype(float), rcond=None)[0]

    np.testing.assert_allclose(linalg.least_squares(L, A), expected, rtol=1e-6, atol=1e-8)


def test_least_squares_without_full_rank():
    """Equal, zero and combined columns: the residual is that of the direct solver, and R does not blow up."""
    L = matrix(80, 5, seed=1)
    L = np.hstack([L, L[:, :1], np.zeros((80, 1), np.float32), L[:, 1:2] - L[:, 2:3]])
    A = matrix(80, 9)

    R = linalg.least_squares(L, A)

    exact = L.astype(float)
    direct = np.linalg.lstsq(exact, A.astype(float), rcond=1e-6)[0]
    np.testing.assert_allclose(exact @ R, exact @ direct, atol=1e-6)
    assert np.abs(R).max() < 100


def test_least_squares_does_not_mind_the_scales_of_columns():
    L, A = matrix(80, 5, seed=1), matrix(80, 9)
    scales = np.float32(10.0) ** np.array([-12, -3, 0, 5, 12], np.float32)

    np.testing.assert_allclose(
        scales[:, None] * linalg.least_squares(L * scales, A), linalg.least_squares(L, A), rtol=1e-4, atol=1e-5
    )


def test_orthonormalise_is_unique():
    x = np.random.default_rng(0).standard_normal((9, 4))

    basis = linalg.orthonormalise(x)

    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-12)
    triangle = basis.T @ x
    np.testing.assert_allclose(triangle, np.triu(triangle), atol=1e-12)
    assert (np.diag(triangle) > 0).all()


def test_single_threaded_ends_with_the_context():
    def threads():
        return {each["num_threads"] for each in threadpool_info() if "numpy" in each["filepath"]}

    before = threads()
    assert before

    with linalg.single_threaded():
        assert threads() == {1}

    assert threads() == before


@pytest.mark.parametrize("shape", [*SHAPES, (0, 3)])
def test_column_energies(shape, rng):
    A = rng.standard_normal(shape).astype(np.float32)

    found = linalg.column_energies(A)

    np.testing.assert_allclose(found, np.square(A, dtype=float).sum(axis=0) / max(len(A), 1), rtol=1e-12)
    assert found.dtype == float
