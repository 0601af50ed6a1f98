"""evaluation/peers/rabitqlib.py: what it offers."""

from __future__ import annotations

from lplr_index.evaluation.contenders import contenders
from lplr_index.evaluation.peers import base, rabitqlib


def test_rabitq_has_no_more_clusters_than_training_rows(monkeypatch):
    monkeypatch.setattr(base, "is_installed", lambda _module: True)
    few, _ = contenders(64, [1.0], nt=20, methods=[], peers=["rabitqlib"])
    many, _ = contenders(64, [1.0], nt=2000, methods=[], peers=["rabitqlib"])

    assert {each.notes for each in few} == {"20 clusters, all searched"}
    assert {each.notes for each in many} == {f"{rabitqlib.CLUSTERS} clusters, all searched"}


def test_rabitq_is_for_longer_rows(monkeypatch):
    monkeypatch.setattr(base, "is_installed", lambda _module: True)
    found, skipped = contenders(63, [1.0], nt=1500, methods=[], peers=["rabitqlib"])

    assert found == []
    assert [each.reason for each in skipped] == ["expected a dimension of at least 64, got 63"]
