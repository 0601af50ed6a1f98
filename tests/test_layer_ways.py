"""benchmarks/layer_ways.py: what each way is given, at equal bytes, and how errors are counted."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from lplr_index.attempts import SLACK
from lplr_index.factorization import METHODS, factorize
from matrices import decaying

pytestmark = pytest.mark.usefixtures("scripts")

BITS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def ways(scripts):
    return importlib.import_module("layer_ways")


@pytest.fixture
def inputs(rng):
    """Give inputs that favour some of 64 directions."""
    axes = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    return (rng.standard_normal((2, 128, 64)) * np.arange(1, 65) ** -1.0 @ axes).astype(np.float32)


def test_every_method_of_the_package_has_a_way(ways):
    for bits in BITS:
        assert {way.method for way in ways.ways(bits).values()} == set(METHODS)


@pytest.mark.parametrize("bits", BITS)
def test_no_way_takes_more_than_its_budget(ways, inputs, bits):
    matrix = ways.Matrix("a", decaying(128, 64), *inputs)
    made = {}
    for name, way in ways.ways(bits).items():
        outcome = ways.compress(matrix, way, bits)
        if outcome.reason:
            assert outcome[:4] == (None, None, None, None)
        else:
            made[name] = outcome
            ranges = 2 * 4 * 128 if way.by_row else 0
            assert outcome.nbytes <= SLACK * bits * matrix.A.size / 8 + ranges
            assert outcome.error == pytest.approx(
                np.linalg.norm(matrix.A - outcome.approximation) / np.linalg.norm(matrix.A), rel=1e-5
            )

    assert {"LPLR 4/4", "NQ", ways.BY_ROW, "Q alone"} <= set(made)
    assert ("QET" in made) == (bits > 2)
    assert ("LQ-LORA" in made) == (bits > 2)


def test_ranges_of_rows_are_beyond_the_budget_but_counted(ways):
    matrix = ways.Matrix("a", decaying(128, 64))

    outcome = ways.compress(matrix, ways.ways(2)[ways.BY_ROW], 2)

    assert outcome.nbytes == 128 * 64 * 2 / 8 + 2 * 4 * 128
    row = matrix.A[7]
    found = outcome.approximation[7]
    np.testing.assert_allclose([found.min(), found.max()], [row.min(), row.max()], rtol=1e-5)


def test_calibration_lowers_the_error_of_inputs_like_those(ways, inputs):
    matrix = ways.Matrix("a", decaying(128, 64), *inputs)
    plain, calibrated = (
        ways.compress(matrix, ways.ways(2)[name], 2) for name in ("Q alone", f"Q alone{ways.CALIBRATED}")
    )

    assert calibrated.nbytes == plain.nbytes
    assert calibrated.activations < plain.activations
    assert calibrated.error > plain.error


def test_what_has_no_inputs_is_not_calibrated(ways):
    way = ways.ways(2)[f"Q alone{ways.CALIBRATED}"]
    outcome = ways.compress(ways.Matrix("a", decaying(128, 64)), way, 2)

    assert outcome.reason == "its inputs are not rows of one matrix"
    assert outcome.error is None


def test_errors_of_inputs_are_those_of_the_products(ways, inputs):
    A, X = decaying(128, 64), inputs[0]
    approximation = factorize(A, "nq", bits=3).reconstruct()

    error = ways.relative_error(A, approximation, ways.root(X.T @ X))

    assert error == pytest.approx(np.linalg.norm((A - approximation) @ X.T) / np.linalg.norm(A @ X.T), rel=1e-3)
    assert error != pytest.approx(ways.relative_error(A, approximation), rel=0.01)


def test_a_second_moment_stands_for_its_inputs(ways, inputs):
    X = inputs[0]
    root = ways.root(X.T @ X)

    assert root.shape == (64, 64)
    np.testing.assert_allclose(root.T @ root, X.T @ X, atol=1e-5 * np.linalg.norm(X) ** 2)
    assert np.isfinite(ways.root(np.diag([1.0, 0.0]))).all()


def test_wins_are_counted_where_both_have_an_error(ways):
    assert ways.wins([0.1, 0.5, None, 0.2, 0.3], [0.2, 0.4, 0.1, None, 0.3]) == (1, 3)
    assert ways.wins([], []) == (0, 0)
    with pytest.raises(ValueError, match="shorter"):
        ways.wins([0.1], [])
