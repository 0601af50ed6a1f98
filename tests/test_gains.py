"""gains.py: lengths as codes, and what codes are worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lplr_index.errors import InputError
from lplr_index.gains import NO_GAIN, Gain

KINDS = st.tuples(st.sampled_from([4, 8]), st.sampled_from([0.0, 0.5, 0.8, 1.0, 1.3]))


def sample(seed, n=2000, spread=0.1):
    """Return lengths of rows, and of reconstructions that are a little shorter."""
    rng = np.random.default_rng(seed)
    lengths = rng.lognormal(sigma=0.5, size=n)
    return lengths, lengths / (1.2 * rng.lognormal(sigma=spread, size=n))


@given(KINDS, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.01, 0.1, 1.0]))
def test_gains_are_the_nearest_levels(kind, seed, spread):
    bits, power = kind
    lengths, norms = sample(seed, spread=spread)
    gain = Gain.fit(lengths, norms, bits, power)
    gain.check()

    codes = gain.encode(lengths, norms)

    assert codes.dtype == np.uint8
    levels = gain.decode(np.arange(1 << bits, dtype=np.uint8))
    assert levels[0] == 0
    assert (np.diff(levels[1:]) > 0).all()
    assert gain.most == pytest.approx(levels[-1])
    ratio = lengths / norms
    wanted = gain.usual * (ratio / gain.usual) ** power
    np.testing.assert_allclose(
        np.abs(gain.decode(codes) - wanted), np.abs(levels[1:] - wanted[:, None]).min(axis=1), atol=1e-9 * gain.most
    )
    assert (codes > 0).all()


def test_four_bits_cover_the_usual_gains_and_little_more():
    lengths, norms = sample(0)
    gain = Gain.fit(lengths, norms, 4, 1.0)

    usual = np.quantile(lengths / norms, [0.001, 0.999])
    levels = gain.decode(np.arange(1, 16, dtype=np.uint8))

    assert levels[0] < usual[0] < usual[1] < levels[-1]
    assert levels[-1] - levels[0] < 1.2 * (usual[1] - usual[0])


def test_eight_bits_are_multiples_with_headroom():
    lengths, norms = sample(0)
    gain = Gain.fit(lengths, norms, 8, 1.0)

    assert gain == Gain(8, 0.0, 1.5 * float(np.quantile(lengths / norms, 0.999)) / 255, 1.0, 1.0)
    assert gain.is_multiple
    assert NO_GAIN.is_multiple
    assert not Gain.fit(lengths, norms, 4, 1.0).is_multiple
    assert not Gain.fit(lengths, norms, 8, 0.9).is_multiple


def test_a_power_draws_ratios_towards_the_usual_one():
    lengths, norms = sample(0)
    gain = Gain.fit(lengths, norms, 8, 0.5)

    assert gain.usual == np.median(lengths / norms)
    gains = gain.decode(gain.encode(lengths, norms))
    assert np.std(gains) < 0.6 * np.std(lengths / norms)
    fixed = Gain(8, step=0.01, power=0.0, usual=1.25).encode(lengths, norms)
    assert (fixed == 125).all()


@pytest.mark.parametrize(("bits", "least"), [(8, 0.0), (4, -0.5), (4, 0.25)])
def test_gains_are_clipped_and_zero_for_rows_of_length_zero_only(bits, least):
    gain = Gain(bits, least, 0.5)
    most = (1 << bits) - 1

    codes = gain.encode(np.array([0.0, 1e-20, 2.0, 2.0, 1e20, 0.0]), np.array([1.0, 1.0, 1.0, 0.0, 1.0, 0.0]))

    assert codes.tolist() == [0, 1, round((2 - least) / 0.5), most, most, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_are_decoded_in_the_precision_asked_for(dtype):
    gain, codes = Gain(4, 0.1, 1 / 3), np.arange(16, dtype=np.uint8)

    gains = gain.decode(codes, dtype)

    assert gains.dtype == dtype
    expected = [dtype(0)] + [dtype(0.1) + dtype(1 / 3) * dtype(c) for c in range(1, 16)]
    np.testing.assert_array_equal(gains, expected)
    assert gain.decode(codes).dtype == np.float64


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("lengths", "norms"), [([0.0], [0.0]), ([1.0] * 5, [1.0] * 5), ([0.0, 0.0], [1.0, 1.0])])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_samples_that_say_little(bits, lengths, norms, power):
    lengths, norms = np.array(lengths), np.array(norms)

    gain = Gain.fit(lengths, norms, bits, power)

    gain.check()
    ratio = np.divide(lengths, norms, out=np.zeros_like(lengths), where=norms > 0)
    np.testing.assert_allclose(gain.decode(gain.encode(lengths, norms)), ratio, rtol=0.01, atol=1e-200)


@pytest.mark.parametrize(
    "gain",
    [
        Gain(3, step=1.0),
        Gain(16, step=1.0),
        Gain(8),
        Gain(4),
        Gain(0, step=1.0),
        Gain(0, least=1.0),
        Gain(8, step=-1.0),
        Gain(8, step=np.nan),
        Gain(8, 0.5, 1.0),
        Gain(8, step=np.inf),
        Gain(4, -1.5, 1.0),
        Gain(4, np.nan, 1.0),
        Gain(4, 0.0, 1.0, power=np.nan),
        Gain(4, 0.0, 1.0, power=-1.0),
        Gain(4, 0.0, 1.0, usual=0.0),
        Gain(4, 0.0, 1.0, usual=np.inf),
    ],
)
def test_gains_that_make_no_sense(gain):
    with pytest.raises(InputError, match=r"expected finite gains >= 0 in 0, 4, 8 bits, got Gain\("):
        gain.check()
    Gain(4, -1.0, 1.0).check()
    NO_GAIN.check()
