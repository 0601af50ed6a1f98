"""residuals.py: a second code is learned from what the first leaves, and puts back most of it."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from indexes import rows, trained
from lplr_index.errors import InputError, NotTrainedError
from lplr_index.residuals import LENGTHS, Residuals


def stage(metric="cosine", bits=2.0, kind="auto-2"):
    """Return residuals that know what that kind of index leaves of rows, and both stages' rows."""
    index = trained(metric, kind)
    x = rows(2000)
    if metric == "cosine":
        x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    x_hat = index.sa_decode(index.sa_encode(x))
    residuals = Residuals.of_bits(48, bits)
    residuals.train(x[:1500], x_hat[:1500], metric, 0)
    return residuals, x[1500:], x_hat[1500:]


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("bits", [0.5, 1, 2, 3.25, 4])
def test_errors_shrink_with_every_bit(metric, bits):
    residuals, x, x_hat = stage(metric, bits)

    codes = residuals.encode(x, x_hat)
    refined = residuals.decode(codes, x_hat)

    assert codes.shape == (500, residuals.code_size) == (500, int(bits * 6))
    before, after = (np.square(x - each).sum() for each in (x_hat, refined))
    assert after < before * 2.0 ** (-1.2 * bits)  # half of what the best code of a Gaussian could do


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_decode_is_the_twins(metric):
    residuals, x, x_hat = stage(metric)
    codes = residuals.encode(x, x_hat)

    expected = naive.refine_rows(x_hat, residuals.model.decode(codes), residuals.lengths)

    np.testing.assert_array_equal(residuals.decode(codes, x_hat), expected)


def test_lengths_are_those_that_are_known():
    assert stage("cosine")[0].lengths == "unit"
    assert stage("ip")[0].lengths == "own"
    assert stage("l2", bits=0.25)[0].lengths == "first"  # it has a gain
    assert stage("l2", bits=4)[0].lengths == "own"
    assert stage("l2", kind="nq-1")[0].lengths == "own"  # it has none


def test_a_row_of_length_zero_stays_one():
    residuals, x, x_hat = stage("cosine")
    nothing = np.zeros((1, 48), np.float32)

    assert not residuals.decode(residuals.encode(nothing, nothing), nothing).any()
    assert residuals.decode(residuals.encode(x, x_hat), x_hat).any(axis=1).all()


def test_rows_are_kept_in_order(rng):
    residuals, x, x_hat = stage()
    codes = residuals.encode(x, x_hat)
    for part in np.split(codes, [1, 1, 40, 333]):
        residuals.append(part)
    chosen = rng.integers(500, size=70)

    np.testing.assert_array_equal(residuals.rows(chosen, x_hat[chosen]), residuals.decode(codes, x_hat)[chosen])
    residuals.keep(np.arange(500) % 3 == 0)
    np.testing.assert_array_equal(residuals.store.rows(np.arange(167)), codes[::3])
    residuals.reset()
    assert residuals.store.ntotal == 0
    assert residuals.model is not None


def test_nothing_but_code_is_stored():
    residuals, _, _ = stage()

    assert residuals.model.code_size == residuals.code_size
    assert residuals.model.gain.bits == residuals.model.norm.bits == 0


def test_rows_without_a_residual():
    residuals = Residuals.of_bits(48, 1)
    x = rows(300)
    residuals.train(x, x, "ip", 0)

    np.testing.assert_allclose(residuals.decode(residuals.encode(x, x), x), x, atol=1e-5)


def test_before_training():
    with pytest.raises(NotTrainedError, match="got residuals that need train"):
        Residuals(6).encode(rows(1), rows(1))


@pytest.mark.parametrize("bits", [0, -1, 8.5, 0.1, 1e-9])
def test_bits_out_of_range(bits):
    with pytest.raises(InputError, match=r"expected refine_bits from 0\.1667, one byte a row, to 8, got"):
        Residuals.of_bits(48, bits)


@pytest.mark.parametrize("bits", ["x", None, np.nan, np.inf])
def test_bits_that_are_no_number(bits):
    with pytest.raises(InputError, match="expected refine_bits to be"):
        Residuals.of_bits(48, bits)


def test_parts_that_do_not_fit():
    residuals, _, _ = stage()

    residuals.check(48)
    Residuals(5).check(48)
    with pytest.raises(InputError, match="expected lengths to be one of own, unit, first, got 'long'"):
        Residuals(12, residuals.model, "long").check(48)
    for size, d in ((11, 48), (12, 47)):
        with pytest.raises(InputError, match=f"expected residuals of {size} bytes without scalars for d = {d}"):
            Residuals(size, residuals.model).check(d)
    with pytest.raises(InputError, match="expected residuals of 12 bytes without scalars"):
        Residuals(12, trained("cosine", "auto-2").model).check(48)  # which has a gain
    assert set(LENGTHS) == {"own", "unit", "first"}
