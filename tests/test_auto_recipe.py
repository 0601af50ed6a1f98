"""auto/recipe.py: what each choice of a recipe does, and that the result depends on nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import low_rank_vectors
from indexes import rows, training_rows
from lplr_index import IndexLPLR, serialize_index
from lplr_index.auto import Metrics, Recipe, fit
from lplr_index.auto.recipe import honest_energies
from lplr_index.basis import energy_basis
from lplr_index.settings import Settings
from lplr_index.training import train_auto

PLAIN = Recipe(power=1.4, stages=0)


@pytest.fixture(scope="module")
def centred():
    return training_rows() - training_rows().mean(axis=0)


def fitted(centred, recipe, nbytes=9, seed=0):
    return fit(centred, Metrics(centred, None, nbytes, seed)(recipe), recipe, nbytes, seed)


def missed(found, x):
    """Return the mean squared error of centred rows."""
    encoder = np.linalg.pinv(found.R.astype(float)) if found.encoder is None else found.encoder
    codes = found.codec.encode(np.ascontiguousarray(x @ encoder, np.float32))
    return np.square(x - found.codec.decode(codes).astype(float) @ found.R).sum(axis=1).mean()


def parts(found):
    arrays = {"R": found.R, **found.codec.arrays}
    return {name: (array.shape, array.tobytes()) for name, array in arrays.items()}


@pytest.mark.parametrize("stages", [0, 1, 2, 4])
@pytest.mark.parametrize("gain_bits", [0, 4, 8])
def test_codes_have_the_bytes_asked_for(centred, stages, gain_bits):
    found = fitted(centred, replace(PLAIN, stages=stages, gain_bits=gain_bits))

    found.codec.check()
    assert found.codec.encode(np.zeros((1, found.codec.m), np.float32)).shape == (1, 9)
    assert found.codec.stages == stages
    assert gain_bits != 4 or not found.codec.uses(found.codec.nibbles - 1)
    assert len(found.codec.places) == 2 * (9 - stages) - (gain_bits == 4)
    np.testing.assert_array_equal(found.R, found.R.astype(np.float16))


@pytest.mark.parametrize("nbytes", [1, 2, 3, 6, 24, 48])
def test_every_byte_counts(centred, nbytes):
    less, more = (missed(fitted(centred, replace(PLAIN, power=1), size), rows(500)) for size in (nbytes, nbytes + 1))

    assert more < less


def test_a_power_of_one_has_the_least_error(centred):
    errors = [missed(fitted(centred, replace(PLAIN, power=power)), centred) for power in (1, 1.4, 2)]

    assert errors[0] < errors[1] < errors[2]


def test_what_ablations_switch_off_is_worse(centred):
    plain = replace(PLAIN, power=1)
    best = missed(fitted(centred, plain), centred)

    for change in ({"window": 4}, {"mixed": False}, {"even": True}, {"rounds": 0}):
        worse = replace(plain, **change)
        assert missed(fitted(centred, worse), centred) > best


def test_a_refit_is_least_squares(centred):
    found = fitted(centred, replace(PLAIN, power=1, refit=True))
    codes = found.codec.encode(np.ascontiguousarray(centred @ found.encoder))
    L = found.codec.decode(codes).astype(float)

    least = np.square(centred - L @ np.linalg.lstsq(L, centred.astype(float), rcond=None)[0]).sum()

    assert np.square(centred - L @ found.R).sum() == pytest.approx(least, rel=1e-3)
    assert found.encoder.shape == found.R.T.shape


@pytest.mark.parametrize("recipe", [PLAIN, replace(PLAIN, stages=2), replace(PLAIN, refit=True)])
def test_the_same_each_time(centred, recipe):
    assert parts(fitted(centred, recipe)) == parts(fitted(centred, recipe))


@pytest.mark.parametrize("recipe", [PLAIN, replace(PLAIN, stages=2)])
def test_what_was_found_before_is_taken(centred, recipe):
    before, found = fitted(centred, replace(PLAIN, stages=1)), fitted(centred, recipe)

    again = fit(centred, Metrics(centred, None, 9, 0)(recipe), recipe, 9, 0, before)

    assert again.shapes is before.shapes
    np.testing.assert_array_equal(again.grown.table, found.grown.table)
    if not recipe.stages:
        other = replace(recipe, power=1.1)
        assert fit(centred, Metrics(centred, None, 9, 0)(other), other, 9, 0, before).grown.stages == 0


def test_the_same_once_more_is_the_same(centred):
    found = fitted(centred, PLAIN)

    assert parts(fit(centred, Metrics(centred, None, 9, 0)(PLAIN), PLAIN, 9, 0, found)) == parts(found)


@pytest.mark.parametrize("queries", [np.eye(48, dtype=np.float32), 7 * np.eye(48, dtype=np.float32)])
def test_queries_from_everywhere_give_the_plain_method(queries):
    """H = I: the same bytes as squared error gives."""
    options = {"l2": False, "seed": 0}
    asked = train_auto(training_rows(), 6, **options, queries=queries, recipe=Recipe(power=1.7, query_share=1.0))
    plain = train_auto(training_rows(), 6, **options, recipe=Recipe(power=1.0))

    assert asked.digest == plain.digest


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bytes_for_any_threads_and_batches(monkeypatch, threads):
    from threadpoolctl import threadpool_limits

    def build(sizes):
        recipe = Recipe(stages=2)
        model = train_auto(training_rows(), 14, l2=True, seed=0, recipe=recipe)
        index = IndexLPLR.restored(Settings.of(48, 14 / 6, "l2", "auto", None, None, 8, 0), model, None)
        for part in np.split(rows(300), sizes):
            index.add(part, threads=threads)
        return bytes(serialize_index(index))

    with threadpool_limits(1):
        expected = build([])
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    with threadpool_limits(threads):
        assert build([1, 2, 100, 133]) == expected


@pytest.mark.parametrize(("n", "d"), [(1, 5), (2, 5), (3, 1), (10, 2), (50, 7), (300, 130)])
@pytest.mark.parametrize("nbytes", [1, 2, 7])
def test_few_rows_and_odd_sizes(n, d, nbytes):
    x = low_rank_vectors(n, d)

    model = train_auto(x, nbytes, l2=False, seed=0)

    model.check()
    model.codec.check()
    assert model.encode(x).shape == (n, nbytes)
    assert np.isfinite(model.decode(model.encode(x))).all()


@pytest.mark.parametrize("n", [3, 1500])
@pytest.mark.parametrize("value", [0.0, 2.0])
def test_rows_that_are_all_alike(n, value):
    x = np.full((n, 6), value, np.float32)

    model = train_auto(x, 6, l2=True, seed=0)

    model.codec.check()
    np.testing.assert_allclose(model.decode(model.encode(x)), x, rtol=0.02)


def test_energies_of_few_rows_are_corrected(rng):
    """White noise has no first directions, whatever a small sample says."""
    rest = rng.standard_normal((60, 40)).astype(np.float32)
    energies, _ = energy_basis(rest, 40, 0)

    honest = honest_energies(rest, energies, 0)

    assert np.ptp(honest) < 0.6 * np.ptp(energies)
    assert (np.diff(honest) <= 0).all()
    many = rng.standard_normal((640, 40)).astype(np.float32)
    np.testing.assert_array_equal(honest_energies(many, energies, 0), energies)
    np.testing.assert_array_equal(honest_energies(rest[:1], energies, 0), energies)
