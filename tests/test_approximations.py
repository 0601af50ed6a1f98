"""approximations.py: what every compressed matrix answers, whatever the method."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.approximations import Approximation
from lplr_index.errors import InputError
from lplr_index.factorization import METHODS, factorize
from matrices import decaying, options_of

A = decaying(150, 40)


def compressed(method):
    return factorize(A, method, bits=4) if method in {"hera", "qet"} else factorize(A, **options_of(method))


@pytest.mark.parametrize("method", METHODS)
def test_rows_error_and_size_are_of_one_matrix(method):
    f = compressed(method)

    whole = f.reconstruct()

    assert isinstance(f, Approximation)
    assert (f.method, f.shape, whole.dtype) == (method, A.shape, np.float32)
    np.testing.assert_allclose(f.reconstruct([149, 0, 0]), whole[[149, 0, 0]], atol=1e-6)
    assert f.relative_error(A) == pytest.approx(np.linalg.norm(whole - A) / np.linalg.norm(A), rel=1e-5)
    assert f.bits_per_entry == 8 * f.nbytes / A.size


@pytest.mark.parametrize("method", METHODS)
def test_rows_that_are_not_there_are_refused(method):
    f = compressed(method)

    with pytest.raises(InputError, match="expected rows from 0 to 149, got 150"):
        f.reconstruct([3, 150])
    with pytest.raises(InputError, match=r"expected A of shape \(150, 40\), got \(149, 40\)"):
        f.relative_error(A[:-1])


def test_the_base_alone_is_nothing():
    with pytest.raises(TypeError, match="abstract"):
        Approximation()
