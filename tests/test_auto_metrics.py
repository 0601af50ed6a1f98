"""auto/metrics.py: E E^T is a power of the second moment, and the identity where it should be, exactly."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.auto import Metrics, Recipe
from lplr_index.auto.metrics import energy_metric, query_metric


def power_of(moment, power):
    values, vectors = np.linalg.eigh(moment)
    return (vectors * (values / values.max()) ** power) @ vectors.T


@pytest.fixture
def centred(rng):
    return (rng.standard_normal((500, 6)) * [3, 2, 1, 1, 0.5, 0.2]).astype(np.float32)


@pytest.mark.parametrize("power", [1.15, 1.45, 2.0])
def test_rows_stand_for_queries_that_nobody_knows(centred, power):
    metric = Metrics(centred, None, 10, 0)(Recipe(power=power))

    moment = centred.T.astype(float) @ centred / len(centred)
    np.testing.assert_allclose(metric @ metric.T, power_of(moment, power - 1), atol=1e-4)


@pytest.mark.parametrize("power", [1.15, 2.0])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_queries_have_their_share(rng, centred, power, share):
    queries = rng.standard_normal((90, 6)).astype(np.float32) @ rng.standard_normal((6, 6)).astype(np.float32)

    metric = Metrics(centred, queries, 10, 0)(Recipe(power=power, query_share=share))

    rows, asked = (x.T.astype(float) @ x / np.square(x, dtype=float).sum() for x in (centred, queries))
    np.testing.assert_allclose(metric @ metric.T, power_of((1 - share) * rows + share * asked, power - 1), atol=1e-4)
    np.testing.assert_allclose(metric, metric.T, atol=1e-12)


def test_without_a_share_queries_do_not_matter(rng, centred):
    queries = rng.standard_normal((90, 6)).astype(np.float32)

    plain, given = (Metrics(centred, xq, 10, 0)(Recipe(power=1.4)) for xq in (None, queries))

    np.testing.assert_array_equal(plain, given)


@pytest.mark.parametrize("recipe", [Recipe(power=1), Recipe(power=1, query_share=1), Recipe(power=1, query_share=0.5)])
def test_a_power_of_one_is_plain_squared_error(centred, recipe):
    np.testing.assert_array_equal(Metrics(centred, centred[:50], 10, 0)(recipe), np.eye(6))


@pytest.mark.parametrize("power", [1.0, 1.45, 2.0])
def test_an_identity_gives_the_plain_method(centred, power):
    queries = np.eye(6, dtype=np.float32) * 3

    np.testing.assert_array_equal(Metrics(centred, queries, 10, 0)(Recipe(power=power, query_share=1)), np.eye(6))
    np.testing.assert_array_equal(query_metric(np.eye(6) / 6, power), np.eye(6))


@pytest.mark.parametrize("power", [1.0, 1.5])
def test_directions_of_no_energy_keep_a_weight(power):
    metric = energy_metric(np.array([1.0, 0.0]), np.eye(3, 2, dtype=np.float32), power)

    assert np.linalg.matrix_rank(metric) >= 2
    np.testing.assert_array_equal(energy_metric(np.zeros(2), np.eye(2, dtype=np.float32), power), np.eye(2))
    np.testing.assert_array_equal(query_metric(np.zeros((2, 2)), power), np.eye(2))


def test_few_bytes_of_many_dimensions_take_few_directions(rng):
    centred = rng.standard_normal((300, 100)).astype(np.float32)

    metric = Metrics(centred, None, 1, 0)(Recipe(power=1.5))

    assert 16 <= metric.shape[1] <= 100
    assert metric.shape[0] == 100
