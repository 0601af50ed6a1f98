"""evaluation/peers/lorann.py: what it offers."""

from __future__ import annotations

from lplr_index.evaluation.contenders import contenders
from lplr_index.evaluation.peers import base, lorann


def test_lorann_has_a_name_for_each_size(monkeypatch):
    monkeypatch.setattr(base, "is_installed", lambda _module: True)
    found, _ = contenders(128, [1.0], nt=2000, methods=[], peers=["lorann"])
    few, skipped = contenders(64, [1.0], nt=2000, methods=[], peers=["lorann"])

    assert len(found) == len(few) + len(skipped)
    assert {each.reason for each in skipped} == {"expected a dimension above its rank of 64, got 64"}
    assert len({each.name for each in found}) == len(lorann.SIZES) * len(lorann.CLUSTERS)
