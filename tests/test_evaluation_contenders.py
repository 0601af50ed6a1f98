"""Who competes: at the bytes asked for where that is possible, and named where it is not."""

from __future__ import annotations

import pytest

from commands import without
from lplr_index.errors import InputError
from lplr_index.evaluation.contenders import OURS, chosen_peers, contenders
from lplr_index.evaluation.offers import Contender, Skip
from lplr_index.evaluation.peers import PEERS, Peer
from lplr_index.index import IndexLPLR
from lplr_index.settings import METHODS


def test_ours_come_with_every_method_at_every_budget():
    found, skipped = contenders(48, [1, 2], nt=1500)
    ours = [each for each in found if each.name.startswith(OURS)]

    assert [(each.name, each.requested_bits) for each in ours] == [(f"LPLR {m}", b) for m in METHODS for b in (1, 2)]
    assert found[: len(ours)] == ours
    assert not [each for each in skipped if each.name.startswith(OURS)]
    for each in ours:
        index = each.build()
        assert isinstance(index, IndexLPLR)
        assert (index.d, index.ntotal, index.is_trained) == (48, 0, False)
        assert index.method == each.name.removeprefix(OURS)
        assert each.build() is not index


def test_a_budget_too_small_for_a_method_is_named():
    _, skipped = contenders(48, [0.5], nt=1500)

    ours = [each for each in skipped if each.name.startswith(OURS)]
    assert [(each.name, each.requested_bits) for each in ours] == [("LPLR nq", 0.5)]
    assert "at least 1 bit" in ours[0].reason


def test_a_missing_faiss_is_named_and_ours_still_compete(monkeypatch):
    without(monkeypatch, "faiss")
    found, skipped = contenders(48, [1.0], nt=1500, peers=["faiss"])

    assert [each.name for each in found] == [f"{OURS}{method}" for method in METHODS]
    assert len(skipped) == 1
    assert all(word in skipped[0].name for word in ("PQ", "OPQ", "fast scan", "RQ", "LSQ", "SQ", "RaBitQ", "EDEN"))
    assert skipped[0].reason == 'not installed: pip install "lplr_index[eval]"'


def test_every_missing_package_is_named_with_how_to_install_it(monkeypatch):
    without(monkeypatch, *(peer.module for peer in PEERS.values()))
    found, skipped = contenders(48, [1.0], nt=1500)

    assert [each.name for each in found] == [f"{OURS}{method}" for method in METHODS]
    assert [each.name for each in skipped] == [peer.indexes for peer in PEERS.values()]
    assert [each.reason.rpartition(" ")[2] for each in skipped] == [
        '"lplr_index[eval]"',
        '"lplr_index[peers]"',
        '"lplr_index[peers]"',
        "lorann",
        '"lplr_index[peers]"',
        '"lplr_index[text]"',
    ]
    assert {each.requested_bits for each in skipped} == {None}


@pytest.fixture
def two_peers(monkeypatch):
    """Give two packages that are installed everywhere, in the place of those there are."""

    def offer(name):
        def offers(wanted):
            yield Contender(name, f"{name} {wanted.d}", "", None, object)
            yield Skip(name, wanted.bits[0], "expected more")

        return Peer(name, name, "json", name, name, offers)

    for name in [*PEERS]:
        monkeypatch.delitem(PEERS, name)
    for name in ("one", "two"):
        monkeypatch.setitem(PEERS, name, offer(name))


@pytest.mark.parametrize(
    ("peers", "competing"),
    [
        (True, ["one 48", "two 48"]),
        (False, []),
        ([], []),
        (["two"], ["two 48"]),
        (["two", "one", "two"], ["two 48", "one 48"]),
    ],
)
def test_peers_are_chosen_by_name(two_peers, peers, competing):
    found, skipped = contenders(48, [1.0], nt=1500, methods=[], peers=peers)

    assert [each.name for each in found] == competing
    assert [(each.name, each.requested_bits) for each in skipped] == [(name[:3], 1.0) for name in competing]


def test_a_peer_nobody_knows_is_refused(two_peers):
    with pytest.raises(InputError, match="expected peers among one, two, got 'three'"):
        chosen_peers(["one", "three"])


def test_ours_may_compete_alone():
    found, skipped = contenders(48, [1.0], nt=1500, peers=False)

    assert [each.name for each in found] == [f"{OURS}{method}" for method in METHODS]
    assert skipped == []


def test_a_method_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"expected methods among auto, .* got 'svd'"):
        contenders(48, [1.0], nt=100, methods=["svd"])
