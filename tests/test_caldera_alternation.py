"""caldera/alternation.py and the methods "caldera" and "lq-lora" of ``factorize``."""

from __future__ import annotations

import pkgutil

import numpy as np
import pytest

import naive
from lplr_index import caldera
from lplr_index.caldera.alternation import DAMPING, damped_second_moment
from lplr_index.caldera.grids import GridQuantizer
from lplr_index.caldera.lattice import LatticeQuantizer
from lplr_index.caldera.plan import QUANTIZERS
from lplr_index.errors import InputError, UnsupportedError
from lplr_index.factorization import bits_with_q, factorize, rank_for_budget
from lplr_index.factorization.with_q import Q_METHODS
from lplr_index.factors import Factorization, QPlusLR
from matrices import decaying

A = decaying(200, 60)


@pytest.fixture(scope="module")
def queries():
    """Return 150 vectors to calibrate with and 150 more of the same kind, along axes that are not those of A."""
    rng = np.random.default_rng(5)
    axes = np.linalg.qr(rng.standard_normal((60, 60)))[0]
    drawn = (rng.standard_normal((300, 60)) * np.arange(1, 61) ** -0.8) @ axes
    return drawn[:150], drawn[150:]


def damped_error(f, calibration):
    return naive.weighted_error(A.astype(float), f.reconstruct(), damped_second_moment(calibration, 60))


def test_the_picture_has_every_module():
    assert all(module.name in caldera.__doc__.split("::")[1] for module in pkgutil.iter_modules(caldera.__path__))


# --- The published numbers --------------------------------------------------------------------------------------------

LLAMA_2_7B = [(4096, 4096)] * 4 + [(11008, 4096)] * 2 + [(4096, 11008)]  # the matrices of a layer


@pytest.mark.parametrize(
    ("rank", "nbits", "published"),
    [(64, 4, 2.1), (128, 4, 2.2), (256, 4, 2.4), (64, 16, 2.4), (128, 16, 2.79), (256, 16, 3.58)],
)
def test_bits_are_the_published_ones(rank, nbits, published):
    entries = sum(n * d for n, d in LLAMA_2_7B)
    bits = sum(n * d * bits_with_q(n, d, rank, nbits=nbits, nbits_R=nbits) for n, d in LLAMA_2_7B) / entries

    assert round(bits, 2) == published


def test_bits_are_those_of_the_arrays_but_for_scales_and_filling():
    f = factorize(A, "caldera", rank=16, turns=1)
    scales = f.quantizer_L.nbytes + f.quantizer_R.nbytes + f.quantizer_Q.nbytes + sum(r.nbytes for r in f.rotations)

    assert f.quantizer_L.nbytes == f.quantizer_R.nbytes == 16 * 4
    assert (
        8 * (f.nbytes - scales - 200) == bits_with_q(200, 60, 16) * A.size
    )  # 60 columns are coded as 64: a byte a row
    held = (f.codes_Q, f.codes_L, f.codes_R, f.quantizer_Q.scale, f.quantizer_L.scale, f.quantizer_R.scale)
    assert f.nbytes == sum(array.nbytes for array in (*held, *(r.signs for r in f.rotations)))
    assert all(codes.dtype == np.uint8 for codes in held[:3])


def test_a_budget_pays_for_q_first():
    f = factorize(A, "caldera", bits=3.5, turns=1)

    assert f.rank == rank_for_budget(200, 60, 4, 4, 1.5)
    assert bits_with_q(200, 60, f.rank) <= 3.5 < bits_with_q(200, 60, f.rank + 1)


# --- Against the definitions ------------------------------------------------------------------------------------------


def test_a_calibration_that_favours_no_direction_is_none():
    with_it, without = (factorize(A, "caldera", rank=8, calibration=x, turns=3) for x in (3 * np.eye(60), None))

    for name in ("codes_Q", "codes_L", "codes_R", "errors"):
        np.testing.assert_array_equal(getattr(with_it, name), getattr(without, name))


@pytest.mark.parametrize("quantizer", ["e8", "uniform"])
def test_without_calibration_it_is_the_plain_alternation(quantizer):
    """As a twin has it that knows no H: decompositions of what is left, least squares, rounding without feedback."""

    def trained(x, nbits, per):
        if quantizer == "e8":
            return LatticeQuantizer.train(x, nbits, per)
        return GridQuantizer.train(x, quantizer, nbits, per)

    def rounded(nbits, per):
        def rounded_so(x):
            narrow = x.astype(np.float32)
            each = trained(narrow, nbits, per)
            return each.decode(each.encode(narrow)).astype(float)

        return rounded_so

    rounders = {"Q": rounded(2, "matrix"), "L": rounded(4, "column"), "R": rounded(4, "column")}
    *_, errors = naive.q_plus_lr(A.astype(float), 8, 2, 3, rounders)

    f = factorize(A, "caldera", rank=8, quantizer=quantizer, turns=2, inner_turns=3, incoherence=False)

    np.testing.assert_allclose(f.errors, errors, rtol=5e-3)  # a code next to a boundary may differ, and what follows
    assert f.relative_error(A) == pytest.approx(min(f.errors), rel=1e-4)


def test_lq_lora_is_the_plain_alternation_with_exact_factors():
    def rounded(x):
        quantizer = GridQuantizer.train(x.astype(np.float32), "normalfloat", 3, "block")
        return quantizer.decode(quantizer.encode(x.astype(np.float32))).astype(float)

    *_, errors = naive.q_plus_lr(A.astype(float), 8, 4, 1, {"Q": rounded, "L": lambda x: x, "R": lambda x: x})

    f = factorize(A, "lq-lora", rank=8, nbits_Q=3, nbits=32, nbits_R=32, turns=4)

    np.testing.assert_allclose(f.errors, errors[: len(f.errors)], rtol=1e-3)


def test_lq_lora_stops_at_the_first_increase():
    f = factorize(A, "lq-lora", rank=20, nbits_Q=2, turns=60)

    assert len(f.errors) < 60
    assert f.errors[-1] > f.errors[-2]
    assert list(f.errors[:-1]) == sorted(f.errors[:-1], reverse=True)
    assert f.relative_error(A) == pytest.approx(f.errors[-2], rel=1e-3)


# --- What has to hold -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantizer", QUANTIZERS)
@pytest.mark.parametrize("calibrated", [True, False])
def test_the_best_turn_is_kept(quantizer, calibrated, queries):
    calibration = queries[0].astype(np.float32) if calibrated else None
    found = [
        factorize(A, "caldera", rank=8, quantizer=quantizer, calibration=calibration, turns=turns) for turns in (1, 4)
    ]

    assert [len(f.errors) for f in found] == [1, 4]
    assert found[0].errors[0] == found[1].errors[0]
    for f in found:
        assert damped_error(f, calibration) == pytest.approx(min(f.errors), rel=1e-4)
    assert damped_error(found[1], calibration) <= damped_error(found[0], calibration) * (1 + 1e-6)


def test_what_is_calibrated_is_better_for_other_queries_of_that_kind(queries):
    calibration, held_out = queries
    with_it, without = (factorize(A, "caldera", rank=8, calibration=x) for x in (calibration, None))

    assert with_it.nbytes == without.nbytes
    assert with_it.relative_error(A, held_out) < 0.8 * without.relative_error(A, held_out)
    assert with_it.relative_error(A) > without.relative_error(A)


def test_the_lattice_is_better_than_the_grid_at_two_bits():
    x = np.random.default_rng(0).standard_normal((400, 128))
    lattice, grid = (
        factorize(x, "caldera", rank=0, quantizer=each).relative_error(x) ** 2 for each in ("e8", "uniform")
    )

    assert lattice == pytest.approx(0.09, rel=0.04)
    assert grid == pytest.approx(0.1188, rel=0.02)


@pytest.mark.parametrize(
    "steps",
    [
        [{"rank": rank} for rank in (0, 8, 16, 32)],
        [{"rank": 8, "nbits_Q": nbits} for nbits in (2, 3, 4)],
        [{"rank": 16, "nbits": nbits, "nbits_R": nbits} for nbits in (2, 3, 4, 16)],
        [{"rank": 16, "quantizer": "uniform", "nbits_Q": nbits} for nbits in (1, 2, 3, 4, 6, 8)],
    ],
)
def test_everything_added_helps(steps):
    found = [factorize(A, "caldera", **options) for options in steps]
    errors, sizes = [f.relative_error(A) for f in found], [f.nbytes for f in found]

    assert errors == sorted(errors, reverse=True)
    assert sizes == sorted(sizes)
    assert len(set(errors)) == len(steps)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 3), (33, 65)])
@pytest.mark.parametrize("method", Q_METHODS)
def test_any_shape(shape, method):
    x = np.random.default_rng(1).standard_normal(shape)

    f = factorize(x, method, rank=1, turns=2)

    assert f.Q.shape == f.reconstruct().shape == shape
    assert (f.L.shape, f.R.shape) == ((shape[0], 1), (1, shape[1]))
    assert f.relative_error(x) < 0.7


@pytest.mark.parametrize("method", Q_METHODS)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_zeros_are_zeros(method, quantizer):
    f = factorize(np.zeros((10, 9)), method, rank=2, quantizer=quantizer)

    assert not f.reconstruct().any()
    assert f.relative_error(np.zeros((10, 9))) == 0
    assert f.errors[0] == 0


@pytest.mark.parametrize("unit", [1e-25, 1e-3, 1e3, 1e25])
def test_units_do_not_matter(unit):
    f, scaled = (factorize(A * factor, "caldera", rank=8, turns=2) for factor in (1, np.float32(unit)))

    assert scaled.relative_error(A * np.float32(unit)) == pytest.approx(f.relative_error(A), rel=0.02)


def test_rotations_help_where_few_entries_are_large():
    x = A.copy()
    x[::40, ::15] += 3
    on, off = (factorize(x, "caldera", rank=0, incoherence=each).relative_error(x) for each in (True, False))

    assert on < 0.7 * off


# --- The questions of a factorization ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"method": "caldera"}, {"method": "lq-lora"}, {"method": "caldera", "rank": 0}])
def test_it_answers_what_a_factorization_does(options, queries):
    f = factorize(A, **{"rank": 8, "turns": 2, **options})

    assert isinstance(f, Factorization)
    assert isinstance(f, QPlusLR)
    assert f.method == options["method"]
    whole = f.reconstruct()
    assert f.Q.dtype == f.L.dtype == f.R.dtype == whole.dtype == np.float32
    np.testing.assert_allclose(whole, f.Q + f.L @ f.R, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(f.reconstruct([199, 0, 0]), whole[[199, 0, 0]], rtol=1e-4, atol=1e-6)
    assert f.bits_per_entry == 8 * f.nbytes / A.size
    assert f.relative_error(A) == pytest.approx(naive.relative_error(A.astype(float), whole), rel=1e-5)
    second_moment = queries[1].T @ queries[1]
    expected = naive.weighted_error(A.astype(float), whole, second_moment)
    assert f.relative_error(A, queries[1]) == pytest.approx(expected, rel=1e-5)
    shifted = f.normalized_and_shifted(A + 1)
    assert shifted.relative_error(A + 1) < f.relative_error(A + 1)
    for question in (lambda: f.encode(A[:2]), lambda: f.encoder):
        with pytest.raises(UnsupportedError, match=f"expected a method that codes rows one by one .*got '{f.method}'"):
            question()


def test_seeds_are_those_of_the_rotations():
    first, again, other = (factorize(A, "caldera", rank=4, turns=1, seed=seed) for seed in (0, 0, 1))

    np.testing.assert_array_equal(first.codes_Q, again.codes_Q)
    assert not np.array_equal(first.codes_Q, other.codes_Q)


def test_second_moments_are_damped_and_have_no_unit(queries):
    found = damped_second_moment(queries[0].astype(np.float32), 60)
    expected = queries[0].T @ queries[0]
    expected *= 60 / np.trace(expected)

    np.testing.assert_allclose(found * (1 + DAMPING), expected + DAMPING * np.eye(60), rtol=1e-4, atol=1e-5)
    assert np.trace(found) == pytest.approx(60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 61}, "expected rank to be an integer from 0 to 60, got 61"),
        ({}, "expected either rank or bits, got rank=None and bits=None"),
        ({"bits": 2}, "expected bits above the 2 of Q, got 2"),
        ({"bits": 2.01}, "expected a budget of at least"),
        ({"rank": 2, "nbits_Q": 1}, "expected nbits_Q to be one of 2, 3, 4, got 1"),
        ({"rank": 2, "nbits": 8}, "expected nbits to be one of 2, 3, 4, 16, 32, got 8"),
        ({"rank": 2, "nbits_R": 9, "quantizer": "uniform"}, "expected nbits_R to be one of 1, 2"),
        ({"rank": 2, "quantizer": "e7"}, "expected quantizer to be one of e8, uniform, normalfloat, got 'e7'"),
        ({"rank": 2, "turns": 0}, "expected turns to be an integer >= 1, got 0"),
        ({"rank": 2, "inner_turns": 0}, "expected inner_turns to be an integer >= 1, got 0"),
        ({"rank": 2, "incoherence": 1}, "expected incoherence to be True, False or None, got 1"),
        ({"rank": 2, "calibration": np.eye(5)}, "expected calibration with 60 columns, got 5"),
        (
            {"rank": 2, "calibration": np.zeros((3, 60))},
            "expected calibration with a vector that is not zero, got 3 rows",
        ),
        ({"rank": 2, "A": np.full((9, 60), 3e38)}, r"expected A with a norm up to 1e\+30, .* got 6.97137e\+39"),
        ({"rank": 2, "refit": True}, "expected no refit with method 'caldera'"),
        ({"rank": 2, "sketch": "gaussian"}, "expected no sketch with method 'caldera', which takes rank, bits, "),
        ({"rank": 2, "scale": "row"}, "expected scale to be 'matrix' or 'column'"),
        ({"rank": 2, "method": "lq-lora", "nbits": 4}, "expected nbits to be one of 16, 32, got 4"),
        (
            {"rank": 2, "method": "lq-lora", "calibration": np.eye(60)},
            "expected calibration with method 'caldera' only",
        ),
        ({"rank": 2, "method": "lplr", "nbits_Q": 2}, "expected no nbits_Q with method 'lplr'"),
        ({"rank": 2, "method": "lplr", "calibration": np.eye(60)}, "expected no calibration with method 'lplr'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        factorize(**{"A": A, "method": "caldera", **arguments})
