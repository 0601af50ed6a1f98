"""factorization/low_rank.py: the map and the rule of each method, where float32 factors hide nothing."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.factorization.low_rank import PUBLISHED, low_rank
from matrices import decaying

A, RANK = decaying(60, 24), 6
EXACT = {"rank": RANK, "nbits": 32, "nbits_R": 32}


@pytest.mark.parametrize("method", [method for method in PUBLISHED if method != "nq"])
def test_the_encoder_makes_l_and_r_is_fitted_to_it(method):
    f = low_rank(A, method, 0, **EXACT)

    np.testing.assert_allclose(f.L, A @ f.stored_encoder, atol=1e-5)
    np.testing.assert_allclose(f.R, np.linalg.lstsq(f.L.astype(float), A.astype(float), rcond=None)[0], atol=1e-4)


def test_dsvd_is_the_truncated_decomposition():
    U, values, V = np.linalg.svd(A.astype(float), full_matrices=False)

    f = low_rank(A, "dsvd", 0, **EXACT)

    signs = np.sign((f.L * U[:, :RANK]).sum(axis=0))
    np.testing.assert_allclose(f.L * signs, U[:, :RANK], atol=1e-4)
    np.testing.assert_allclose(f.R.T * signs, (values[:, None] * V).T[:, :RANK], atol=1e-4)


def test_lsvd_spans_the_leading_singular_vectors():
    V = np.linalg.svd(A.astype(float), full_matrices=False)[2][:RANK]

    E = low_rank(A, "lsvd", 0, **EXACT).stored_encoder

    np.testing.assert_allclose(V.T @ (V @ E), E, atol=1e-4)


def test_nq_has_no_second_factor():
    f = low_rank(A, "nq", 0, nbits=32)

    np.testing.assert_array_equal(f.L, A)
    assert f.codes_R is None
