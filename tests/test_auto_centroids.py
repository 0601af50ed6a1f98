"""auto/centroids.py: centroids find clusters, each stage takes away more, and few rows are no error."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.auto.centroids import grow_stages, refit_stages


def train_stages(y, stages, seed):
    """Return centroids as auto has them."""
    return refit_stages(y, grow_stages(y, stages, seed))


def left(y, centroids):
    """Return the mean squared error of rows that have only centroids."""
    return np.square(centroids.left(y), dtype=float).sum(axis=1).mean()


def test_clusters_are_found(rng):
    centres = 5 * rng.standard_normal((100, 8))
    y = (centres[rng.integers(100, size=3000)] + 0.1 * rng.standard_normal((3000, 8))).astype(np.float32)

    centroids = train_stages(y, 1, 0)

    assert centroids.table.shape == (1, 256, 8)
    assert centroids.table.dtype == np.float32
    assert left(y, centroids) < 0.05 * np.square(y).sum(axis=1).mean()


def test_each_stage_takes_away_more(rng):
    y = rng.standard_normal((3000, 6)).astype(np.float32)

    errors = [left(y, train_stages(y, stages, 0)) for stages in (0, 1, 2, 3)]

    assert errors[0] == pytest.approx(np.square(y).sum(axis=1).mean(), rel=1e-5)
    assert (np.array(errors[1:]) < 0.6 * np.array(errors[:-1])).all()


@pytest.mark.parametrize("n", [1, 2, 100, 256, 300])
@pytest.mark.parametrize("stages", [1, 2])
def test_few_rows(rng, n, stages):
    y = rng.standard_normal((n, 4)).astype(np.float32)

    centroids = train_stages(y, stages, 0)

    assert centroids.table.shape == (stages, 256, 4)
    assert np.isfinite(centroids.table).all()
    assert left(y, centroids) < 0.3 * np.square(y).sum(axis=1).mean()


def test_rows_that_are_all_alike():
    y = np.full((500, 3), 2.0, np.float32)

    centroids = train_stages(y, 2, 0)

    assert np.isfinite(centroids.table).all()
    assert left(y, centroids) < 0.01


def test_the_same_each_time_and_another_with_another_seed(rng):
    y = rng.standard_normal((600, 4)).astype(np.float32)

    first, again, other = (train_stages(y, 2, seed).table for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_stages_grow_on_those_before(rng):
    y = rng.standard_normal((600, 4)).astype(np.float32)
    whole = grow_stages(y, 3, 1)

    np.testing.assert_array_equal(grow_stages(y, 3, 1, grow_stages(y, 1, 1)).table, whole.table)
    np.testing.assert_array_equal(grow_stages(y, 2, 1, whole).table, whole.table[:2])


def test_a_refit_brings_the_sums_nearer(rng):
    y = rng.standard_normal((5000, 6)).astype(np.float32)
    grown = grow_stages(y, 2, 0)

    assert left(y, refit_stages(y, grown)) < left(y, grown)
