"""factors.py: what a factorization answers, and what it says it costs."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from lplr_index.errors import InputError
from lplr_index.factorization import PUBLISHED, factorize
from matrices import arrays_of, decaying, options_of


@pytest.mark.parametrize("method", PUBLISHED)
@pytest.mark.parametrize("scale", ["matrix", "column"])
@pytest.mark.parametrize(("nbits", "nbits_R"), [(1, 8), (3, 5), (4, 16), (8, 32), (16, 8), (32, 32)])
def test_bytes_are_those_of_the_arrays(method, scale, nbits, nbits_R):
    A = decaying(50, 21)

    f = factorize(A, **options_of(method, rank=7, nbits=nbits, nbits_R=nbits_R, scale=scale))

    assert f.nbytes == sum(array.nbytes for array in arrays_of(f))
    assert f.bits_per_entry == 8 * f.nbytes / A.size
    assert f.codes_L.shape == (50, -(-f.rank * nbits // 8))
    ranges = (8 * f.rank if scale == "column" else 8) * ((nbits <= 8) + (nbits_R <= 8 and method != "nq"))
    codes_R = 0 if method == "nq" else 21 * -(-7 * nbits_R // 8)
    assert f.nbytes == 50 * -(-f.rank * nbits // 8) + codes_R + ranges


@pytest.mark.parametrize("options", [*({"method": each} for each in PUBLISHED), {"method": "lplr", "power_iters": 1}])
@pytest.mark.parametrize("scale", ["matrix", "column"])
def test_encoder_is_the_map_behind_the_codes(options, scale):
    A = decaying(150, 40)
    f = factorize(A, **options_of(**options, scale=scale))

    assert f.encoder.shape == (40, f.rank)
    assert f.encoder.dtype == np.float32
    L = f.quantizer_L.decode(f.quantizer_L.encode((A.astype(float) @ f.encoder).astype(np.float32)))
    np.testing.assert_array_equal(L, f.L)
    np.testing.assert_array_equal(f.encode(A), f.codes_L)
    np.testing.assert_array_equal(f.encode(A[7:8].astype(np.float64)), f.codes_L[7:8])
    assert f.encode(A[:0]).shape == (0, f.codes_L.shape[1])


@pytest.mark.parametrize("method", PUBLISHED)
def test_reconstruct_is_the_product(method):
    f = factorize(decaying(150, 40), **options_of(method))

    np.testing.assert_allclose(f.reconstruct(), f.L @ f.R, rtol=1e-5, atol=1e-6)
    assert f.L.dtype == f.R.dtype == f.reconstruct().dtype == np.float32
    assert (f.L.shape, f.R.shape) == ((150, f.rank), (f.rank, 40))
    np.testing.assert_allclose(f.reconstruct([149, 0, 0]), f.reconstruct()[[149, 0, 0]], rtol=1e-5, atol=1e-6)
    assert f.reconstruct([]).shape == (0, 40)


def test_rows_are_shifted_as_the_whole_is():
    A = decaying(60, 20, offset=0.3)
    f = factorize(A, rank=3, nbits=1, normalize_and_shift=True)

    np.testing.assert_allclose(f.reconstruct([5]), f.reconstruct()[5:6], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(f.reconstruct(), f.alpha * (f.L @ f.R) + f.beta, rtol=1e-5, atol=1e-6)


def test_relative_error_is_the_frobenius_one():
    A = decaying(5000, 30)
    f = factorize(A, rank=5)

    assert f.relative_error(A) == pytest.approx(naive.relative_error(A.astype(float), f.reconstruct()), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.encode(np.zeros((2, 5))), "expected x with 6 columns, got 5"),
        (lambda f: f.reconstruct([12]), "expected rows from 0 to 11, got 12"),
        (lambda f: f.reconstruct([0, -1]), "expected rows from 0 to 11, got -1"),
        (lambda f: f.reconstruct([0.5]), "expected rows to be a one-dimensional integer array"),
        (lambda f: f.relative_error(decaying(5, 6)), r"expected A of shape \(12, 6\), got \(5, 6\)"),
        (lambda f: f.normalized_and_shifted(decaying(6, 12)), "expected A with 6 columns, got 12"),
    ],
)
def test_bad_questions(call, message):
    with pytest.raises(InputError, match=message):
        call(factorize(decaying(12, 6), rank=2))
