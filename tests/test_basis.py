"""basis.py: directions by falling energy, and the way back from R."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import low_rank_vectors
from lplr_index import basis
from lplr_index.basis import energy_basis, right_inverse


def energies_of(A):
    return np.linalg.svd(A.astype(float), compute_uv=False) ** 2 / len(A)


def centred(n, d):
    x = low_rank_vectors(n, d)
    return x - x.mean(axis=0)


@pytest.mark.parametrize(("n", "d"), [(500, 30), (20, 30), (1, 5), (300, 1)])
def test_the_exact_basis(n, d):
    A = centred(n, d) if n > 1 else low_rank_vectors(1, d)

    energies, directions = energy_basis(A, d, 0)

    assert (energies.shape, directions.shape, directions.dtype) == ((d,), (d, d), np.float32)
    exact = np.zeros(d)
    exact[: min(n, d)] = energies_of(A)
    np.testing.assert_allclose(energies, exact, atol=1e-6 * exact[0])
    np.testing.assert_allclose(directions.T @ directions, np.eye(d), atol=1e-5)
    np.testing.assert_allclose(np.square(A @ directions).mean(axis=0), energies, atol=1e-5 * exact[0])
    assert (np.diff(energies) <= 0).all()


def test_the_randomized_basis_is_taken_where_few_of_many_are_needed():
    A = centred(500, 300)

    energies, directions = energy_basis(A, 8, 0)

    exact = energies_of(A)
    assert len(energies) == 24
    assert directions.shape == (300, 24)
    np.testing.assert_allclose(directions.T @ directions, np.eye(24), atol=1e-5)
    np.testing.assert_allclose(energies[:8], exact[:8], rtol=1e-3)
    assert energies[:8].sum() > 0.999 * exact[:8].sum()
    assert energies.min() >= 0


def test_both_ways_give_the_same_directions():
    A = centred(500, 300)
    _, few = energy_basis(A, 8, 0)
    _, all_of_them = energy_basis(A, 300, 0)

    assert all_of_them.shape == (300, 300)
    np.testing.assert_allclose(np.abs((few[:, :4] * all_of_them[:, :4]).sum(axis=0)), 1, atol=1e-3)


@pytest.mark.parametrize("most", [8, 300])
def test_the_largest_entry_of_a_direction_is_positive(most):
    _, directions = energy_basis(centred(500, 300), most, 0)

    largest = np.abs(directions).argmax(axis=0)
    assert (directions[largest, np.arange(directions.shape[1])] > 0).all()


def test_the_same_seed_gives_the_same_bytes():
    A = centred(500, 300)

    np.testing.assert_array_equal(energy_basis(A, 8, 7)[1], energy_basis(A, 8, 7)[1])
    assert not np.array_equal(energy_basis(A, 8, 7)[1], energy_basis(A, 8, 8)[1])


def test_fewer_rows_than_directions():
    A = low_rank_vectors(3, 300)

    energies, directions = energy_basis(A, 8, 0)

    np.testing.assert_allclose(energies[:3], energies_of(A), rtol=1e-4)
    assert np.isfinite(directions).all()
    assert (energies[3:] < 1e-6 * energies[0]).all()


def test_rows_of_zeros():
    energies, directions = energy_basis(np.zeros((10, 6), np.float32), 6, 0)

    assert not energies.any()
    np.testing.assert_allclose(directions.T @ directions, np.eye(6), atol=1e-6)


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_right_inverse(rng, rank):
    R = rng.standard_normal((rank, 12)).astype(np.float32)

    inverse = right_inverse(R)

    assert (inverse.shape, inverse.dtype) == ((12, rank), np.float32)
    np.testing.assert_allclose(R @ inverse, np.eye(rank), atol=1e-4)
    x = rng.standard_normal((40, 12))
    best = np.linalg.lstsq(R.T.astype(float), x.T, rcond=None)[0].T
    np.testing.assert_allclose(x @ inverse, best, atol=1e-3)


def test_right_inverse_of_less_than_full_rank():
    R = np.ones((2, 4), np.float32)

    np.testing.assert_allclose(R @ right_inverse(R) @ R, R, atol=1e-6)
    assert not right_inverse(np.zeros((2, 4), np.float32)).any()


def test_the_choice_is_by_operations(monkeypatch):
    taken = []
    monkeypatch.setattr(
        basis, "_randomized_basis", lambda A, *_: taken.append(A.shape) or (np.ones(2), np.eye(A.shape[1], 2))
    )

    energy_basis(np.zeros((1000, 20), np.float32), 4, 0)
    energy_basis(np.zeros((100, 2000), np.float32), 4, 0)

    assert taken == [(100, 2000)]
