"""evaluation/peers/turbovec.py: who can be asked for it."""

from __future__ import annotations

from lplr_index.evaluation.contenders import contenders
from lplr_index.evaluation.peers import base


def test_turbovec_wants_a_dimension_that_eight_divides(monkeypatch):
    monkeypatch.setattr(base, "is_installed", lambda _module: True)
    found, skipped = contenders(100, [1.0], nt=1500, methods=[], peers=["turbovec"])

    assert found == []
    assert [each.reason for each in skipped] == ["expected a dimension that 8 divides, got 100"]
