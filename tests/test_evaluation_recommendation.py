"""Recommendations: read off made-up curves, honest where curves are not what they should be."""

from __future__ import annotations

import dataclasses

import pytest

from lplr_index import IndexLPLR
from lplr_index.evaluation import recommend
from lplr_index.evaluation.recommendation import (
    TARGETS,
    Need,
    Point,
    bits_of,
    describe_ours,
    describe_peer,
    need,
    times_smaller,
)
from sweeps import a_report, a_sweep


def ask(target, *points, any_size=True):
    return need(
        [Point(f"at {size}", size, recall) for size, recall in points], target, family="ours", any_size=any_size
    )


CURVE = [(24, 0.6), (48, 0.8), (96, 0.9), (192, 0.96)]


def test_between_two_sizes_it_is_on_the_line_over_the_logarithm():
    assert ask(0.85, *CURVE) == Need("ours", 68, "between")  # 48 * 2**0.5 = 67.9
    assert ask(0.93, *CURVE) == Need("ours", 136, "between")  # 96 * 2**0.5 = 135.8


def test_order_of_the_points_does_not_matter():
    assert ask(0.85, *CURVE[::-1]) == ask(0.85, *CURVE)


def test_what_was_measured_is_taken_as_it_is():
    assert ask(0.9, *CURVE) == Need("at 96", 96, "measured")
    assert ask(0.6, *CURVE) == Need("at 24", 24, "measured")


def test_below_the_smallest_nothing_is_promised():
    assert ask(0.3, *CURVE) == Need("at 24", 24, "smallest")


def test_what_is_not_reached_is_not_recommended():
    assert ask(0.961, *CURVE) is None
    assert ask(0.5) is None


def test_a_single_point_is_enough_or_not():
    assert ask(0.7, (48, 0.8)) == Need("at 48", 48, "smallest")
    assert ask(0.8, (48, 0.8)) == Need("at 48", 48, "measured")
    assert ask(0.9, (48, 0.8)) is None


def test_a_plateau_is_left_at_its_end():
    found = ask(0.85, (24, 0.8), (48, 0.8), (96, 0.9))

    assert found == Need("ours", 68, "between")
    assert ask(0.8, (24, 0.8), (48, 0.8), (96, 0.9)).nbytes == 24


def test_a_dip_before_the_target_is_believed():
    """At 96 bytes less than the target was measured, so that it takes more than these."""
    found = ask(0.9, (48, 0.88), (96, 0.84), (192, 0.96))

    assert 96 < found.nbytes <= 192


def test_more_recall_never_takes_fewer_bytes():
    noisy = [(10, 0.3), (20, 0.55), (30, 0.5), (40, 0.7), (50, 0.69), (60, 0.9), (70, 0.85), (80, 0.95)]
    sizes = [ask(target / 100, *noisy).nbytes for target in range(30, 96)]

    assert sizes == sorted(sizes)
    assert sizes[-1] == 80


def test_of_equal_sizes_the_best_counts():
    assert ask(0.85, (48, 0.8), (48, 0.9)) == Need("at 48", 48, "smallest")
    assert ask(0.95, (48, 0.8), (48, 0.9), (96, 1.0)).nbytes == 68


def test_sizes_that_do_not_exist_are_not_recommended():
    assert ask(0.85, *CURVE, any_size=False) == Need("at 96", 96, "measured")
    assert ask(0.3, *CURVE, any_size=False) == Need("at 24", 24, "measured")


def curve(family, *recalls, **changes):
    return [
        a_report(family, bits, recall_at_k=recall, **changes)
        for bits, recall in zip((0.5, 1, 2, 4), recalls, strict=True)
    ]


def test_the_line_recommended_is_that_of_auto_only():
    result = a_sweep(*curve("LPLR auto", 0.6, 0.8, 0.9, 0.96), *curve("LPLR lsvd", 0.9, 0.91, 0.92, 0.999))
    found = recommend(result)

    assert [each.target for each in found] == list(TARGETS)
    assert [each.ours and each.ours.nbytes for each in found] == [48, 96, 172, None]
    assert [each.peer for each in found] == [None] * 4
    assert found[-1].most == Point("LPLR auto 4", 192, 0.96)


def test_the_best_peer_is_named_where_it_is_better_too():
    ours, peer = curve("LPLR auto", 0.6, 0.8, 0.9, 0.96), curve("faiss PQ", 0.7, 0.85, 0.95, 0.99)
    found = recommend(a_sweep(*ours, *peer, *curve("exact float32", 1, 1, 1, 1)), [0.9, 0.99])

    assert found[0].peer == Need("faiss PQ", 68, "between")
    assert describe_ours(found[0], 384, 10) == "For 0.9 recall@10 take 2 bits: 96 bytes a vector, 16 times smaller."
    assert describe_peer(found[0]) == (
        "The best peer, faiss PQ, takes 68 bytes, which is fewer: ours takes 1.41 times as many."
    )
    assert describe_ours(found[1], 384, 10) == (
        "For 0.99 recall@10 no size that was measured is enough: 4 bits, 192 bytes a vector, find 0.960."
    )
    assert describe_peer(found[1]) == "The best peer, faiss PQ 4, takes 192 bytes."


def test_a_peer_of_fixed_sizes_counts_at_the_smallest_that_is_enough():
    ours, peer = curve("LPLR auto", 0.6, 0.8, 0.9, 0.96), curve("faiss SQ", 0.5, 0.7, 0.85, 0.95, requested_bits=None)
    (found,) = recommend(a_sweep(*ours, *peer), [0.8])

    assert found.peer == Need("faiss SQ 2", 96, "measured")
    assert describe_peer(found) == "The best peer, faiss SQ 2, takes 96 bytes, 2.00 times as many."


def test_ties_are_said():
    reports = [*curve("LPLR auto", 0.6, 0.8, 0.9, 0.96), *curve("faiss PQ", 0.6, 0.8, 0.9, 0.96)]
    (found,) = recommend(a_sweep(*reports), [0.8])

    assert describe_peer(found) == "The best peer, faiss PQ 1, takes 48 bytes, as many."


def test_no_line_no_recommendation():
    (found,) = recommend(a_sweep(*curve("LPLR nq", 0.6, 0.8, 0.9, 0.96)), [0.8])

    assert (found.ours, found.most) == (None, None)
    assert describe_ours(found, 384, 10) == "For 0.8 recall@10 there is no recommendation: LPLR auto was not measured."
    assert describe_peer(found) == "No peer that was measured reaches it."


def test_the_smallest_size_is_said_to_be_more_than_enough():
    (found,) = recommend(a_sweep(*curve("LPLR auto", 0.9, 0.92, 0.94, 0.96)), [0.8])

    assert "take 0.5 bits or fewer, as the smallest size measured finds more: 24 bytes" in describe_ours(found, 384, 10)
    smallest = dataclasses.replace(found, peer=Need("faiss PQ 0.5", 24, "smallest"))
    assert describe_peer(smallest) == "The best peer, faiss PQ 0.5, takes at most 24 bytes, as many."


@pytest.mark.parametrize("d", [7, 48, 100, 384, 1280, 4096])
def test_bits_are_short_and_ask_for_just_the_bytes(d):
    for nbytes in range(2, d, max(1, d // 50)):
        assert IndexLPLR(d, bits=float(bits_of(nbytes, d))).code_size == nbytes
    assert bits_of(48, 384) == "1"
    assert bits_of(77, 384) == "1.61"


def test_times_are_rounded_as_people_say_them():
    assert times_smaller(77, 384) == "20"
    assert times_smaller(192, 384) == "8.0"
