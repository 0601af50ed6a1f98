"""norms.py: lengths as codes, and what codes are worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from lplr_index.errors import InputError
from lplr_index.norms import BITS, NO_NORM, Norm

MOST = 1.25**32  # times the longest usual row: the longest a byte can tell


def sample(seed, n=3000, spread=0.3):
    return np.random.default_rng(seed).lognormal(sigma=spread, size=n)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-4, 0.05, 0.3, 1.0]), st.sampled_from([1e-18, 1.0, 1e12]))
def test_a_byte_stands_for_the_nearest_length(seed, spread, scale):
    lengths = scale * sample(seed, spread=spread)
    norm = Norm.fit(lengths, 8)
    norm.check()
    far = np.concatenate([lengths, np.array([0.0, 0.1, 0.5, 2.0, 20.0, MOST, 1e6]) * lengths.max()])

    codes = norm.encode(far)

    assert (codes.shape, codes.dtype) == ((len(far), 1), np.uint8)
    levels = naive.byte_lengths(norm)
    assert (np.diff(levels) >= 0).all()
    assert levels[0] == 0
    nearest = np.abs(far[:, None] - levels).min(axis=1)
    np.testing.assert_allclose(np.abs(far - levels[codes[:, 0]]), nearest, rtol=1e-6, atol=1e-9 * scale)
    np.testing.assert_allclose(norm.rounded(far), levels[codes[:, 0]] ** 2, rtol=1e-6, atol=1e-7 * norm.unit)


def test_a_byte_is_precise_for_usual_rows_and_coarse_for_others():
    lengths = sample(0)
    norm = Norm.fit(lengths, 8)

    usual = (lengths > np.quantile(lengths, 0.001)) & (lengths < np.quantile(lengths, 0.999))
    stored = np.sqrt(norm.rounded(lengths))

    assert np.abs(stored - lengths)[usual].max() < 0.003 * np.ptp(lengths[usual])
    assert (np.abs(stored - lengths) < 0.13 * lengths)[lengths > norm.least].all()
    assert norm.rounded(np.array([MOST * norm.most]))[0] == pytest.approx((MOST * norm.most) ** 2)


def test_where_rows_have_one_length_shorter_and_longer_ones_are_told_as_well():
    lengths = np.full(100, 0.7)

    norm = Norm.fit(lengths, 8)

    others = np.linspace(0, 1.5 * 0.7, 100)
    np.testing.assert_allclose(np.sqrt(np.maximum(norm.rounded(others), 0)), others, atol=1.01 * others[-1] / 207 / 2)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("lengths", [np.zeros(5), np.full(1, 1e-200), np.array([0.0, 1e15])])
def test_odd_samples(bits, lengths):
    norm = Norm.fit(lengths, bits)

    norm.check()
    assert np.isfinite(norm.rounded(lengths)).all()


def test_two_bytes_are_the_float16_of_older_files():
    lengths = sample(0)
    norm = Norm.fit(lengths, 16)

    codes = norm.encode(lengths)

    halves = codes.copy().view("<f2")[:, 0]
    assert norm == Norm(16, float(np.mean(lengths**2)))
    np.testing.assert_allclose(halves.astype(float), lengths**2 / norm.unit - 1, rtol=2**-11, atol=2**-25)
    np.testing.assert_allclose(norm.rounded(lengths), lengths**2, rtol=2e-3)
    assert np.isfinite(norm.encode(np.array([1e9])).copy().view("<f2").astype(float)).all()


def test_every_code_has_a_value():
    assert [len(Norm(bits, 1.0 * (bits > 0), 0.0, 1.0 * (bits == 8)).values) for bits in BITS] == [0, 256, 65536]
    values = Norm(16, 2.0).values
    halves = np.arange(1 << 16, dtype="<u2").view("<f2").astype(np.float32)
    fine = np.isfinite(halves)
    np.testing.assert_array_equal(values[fine], 2 * halves[fine])
    np.testing.assert_array_equal(values[~fine], halves[~fine])


def test_no_norm():
    assert Norm.fit(sample(0), 0) == NO_NORM == Norm()
    NO_NORM.check()


@pytest.mark.parametrize(
    "norm",
    [
        Norm(4, 1.0, 0.1, 1.0),
        Norm(0, 1.0),
        Norm(8, 0.0, 0.1, 1.0),
        Norm(8, 1.0, -0.1, 1.0),
        Norm(8, 1.0, 0.1, 0.05),
        Norm(8, 1.0, 0.0, 0.0),
        Norm(8, 1.0, 0.1, np.inf),
        Norm(8, np.nan, 0.1, 1.0),
        Norm(16, -1.0),
        Norm(16, np.inf),
        Norm(16, 1.0, 0.1, 1.0),
    ],
)
def test_norms_that_make_no_sense(norm):
    with pytest.raises(InputError, match="expected finite norms >= 0 in 0, 8, 16 bits, got"):
        norm.check()
