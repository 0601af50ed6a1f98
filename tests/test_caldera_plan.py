"""caldera/plan.py: what the methods take for granted, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.caldera.grids import GridQuantizer
from lplr_index.caldera.lattice import LatticeQuantizer
from lplr_index.caldera.plan import Q_METHODS, plan_for
from lplr_index.errors import InputError
from lplr_index.quantizers import CastQuantizer


@pytest.mark.parametrize("method", Q_METHODS)
def test_plans_are_the_published_ones(method):
    plan = plan_for(method, {"turns": None})

    if method == "caldera":
        assert (plan.nbits_Q, plan.nbits, plan.nbits_R, plan.quantizer, plan.incoherence) == (2, 4, 4, "e8", True)
    else:
        assert (plan.nbits, plan.nbits_R, plan.quantizer, plan.incoherence) == (16, 16, "normalfloat", False)
    assert plan.until_increase == (method == "lq-lora")


def test_what_is_asked_for_takes_the_place_of_defaults():
    plan = plan_for("caldera", {"nbits_Q": 3, "quantizer": None, "turns": 2, "scale": "matrix"})

    assert (plan.nbits_Q, plan.quantizer, plan.turns, plan.scale) == (3, "e8", 2, "matrix")
    assert (plan.nbits, plan.inner_turns, plan.rank) == (4, 5, 0)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("caldera", {"quantizer": "e9"}, "expected quantizer to be one of e8, "),
        ("caldera", {"quantizer": 8}, "expected quantizer to be one of e8, "),
        ("caldera", {"incoherence": 1}, "expected incoherence to be True, False or None, got 1"),
        ("caldera", {"nbits_Q": 5}, "expected nbits_Q"),
        ("caldera", {"nbits": 1}, "expected nbits"),
        ("caldera", {"turns": 0}, "expected turns"),
        ("caldera", {"scale": "row"}, "expected scale"),
        ("lq-lora", {"nbits_R": 4}, "expected nbits_R"),
    ],
)
def test_options_that_are_none(method, options, message):
    with pytest.raises(InputError, match=message):
        plan_for(method, options)


def test_quantizers_are_those_of_the_plan():
    A = np.random.default_rng(0).standard_normal((20, 16)).astype(np.float32)
    lattice, grid = plan_for("caldera", {}), plan_for("caldera", {"quantizer": "uniform"})

    assert isinstance(lattice.quantizer_for(A), LatticeQuantizer)
    assert isinstance(grid.quantizer_for(A), GridQuantizer)
    assert isinstance(lattice.factor_trainer(4)(A), LatticeQuantizer)
    assert isinstance(grid.factor_trainer(4)(A), GridQuantizer)
    assert isinstance(lattice.factor_trainer(16)(A), CastQuantizer)
