"""evaluation/offers.py: what is said of contenders can be compared, and is what they were asked with."""

from __future__ import annotations

import dataclasses

import pytest

from lplr_index.evaluation.contenders import contenders
from lplr_index.evaluation.offers import EXACT, OURS, Contender, Skip
from lplr_index.evaluation.peers import PEERS, Peer


def test_what_is_said_twice_is_one():
    said = [Skip("a", None, "no room"), Skip("b", None, "no room"), Skip("a", None, "no room")]

    assert list(dict.fromkeys(said)) == said[:2]


def test_what_was_said_stays():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Skip("a", None, "no room").reason = "room"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Contender("family", "a", "", 1.0, dict).bits = 2.0


def test_peers_hear_what_was_asked(monkeypatch):
    asked = []

    def offers(wanted):
        asked.append(wanted)
        yield Contender("family", "a", "", None, dict)

    monkeypatch.setitem(PEERS, "someone", Peer("someone", "someone", "json", "someone", "Someone", offers))
    found, skipped = contenders(48, [1, 0.5], metric="l2", nt=77, methods=[], peers=["someone"], seed=5)

    (wanted,) = asked
    assert (wanted.d, wanted.bits, wanted.metric, wanted.nt, wanted.seed) == (48, (1, 0.5), "l2", 77, 5)
    assert [each.name for each in found if each.family != EXACT] == ["a"]
    assert not any(each.name.startswith(OURS) for each in found)
    assert skipped == []
