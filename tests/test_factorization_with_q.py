"""factorization/with_q.py: a matrix of full rank beside two factors, and the rank that a budget pays for."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.errors import InputError
from lplr_index.factorization.budgets import rank_for_budget
from lplr_index.factorization.with_q import LARGEST_NORM, q_plus_lr
from matrices import decaying

A = decaying(40, 24)
FEW = {"turns": 1, "inner_turns": 1}


@pytest.mark.parametrize("method", ["caldera", "lq-lora"])
def test_it_is_the_sum_of_its_parts(method):
    f = q_plus_lr(A, method, 0, rank=3, **FEW)

    assert f.L.shape == (40, 3)
    assert f.R.shape == (3, 24)
    np.testing.assert_allclose(f.reconstruct(), f.Q + f.L @ f.R, atol=1e-5)


def test_rank_zero_is_q_alone():
    f = q_plus_lr(A, "caldera", 0, rank=0, **FEW)

    assert f.L.shape == (40, 0)
    np.testing.assert_allclose(f.reconstruct(), f.Q, atol=1e-6)


def test_a_budget_pays_for_q_first():
    f = q_plus_lr(A, "caldera", 0, bits=3, nbits_Q=2, **FEW)

    assert f.rank == rank_for_budget(40, 24, 4, 4, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 2}, "expected bits above the 2 of Q, got 2"),
        ({"rank": 25}, "expected rank to be an integer from 0 to 24, got 25"),
        ({"rank": 2, "calibration": np.zeros((3, 24))}, "with a vector that is not zero, got 3 rows of zeros"),
        ({"rank": 2, "A": np.full((40, 24), LARGEST_NORM, np.float32)}, "expected A with a norm up to 1e.30"),
        (
            {"rank": 2, "method": "lq-lora", "calibration": np.ones((3, 24))},
            "expected calibration with method 'caldera'",
        ),
    ],
)
def test_what_does_not_go_is_named(change, message):
    arguments = {"A": A, "method": "caldera", "seed": 0, **change}

    with pytest.raises(InputError, match=message):
        q_plus_lr(**arguments)
