"""cluster/machines.py: the process itself as a cluster."""

from __future__ import annotations

import operator

from lplr_index.cluster.machines import Here


def test_calls_are_made_with_what_they_share():
    assert list(Here().map(operator.sub, 10, [(1,), (2,)])) == [(0, 9), (1, 8)]


def test_things_are_made_once_and_asked_with_what_they_share():
    made = []

    def make(*call):
        made.append(call)
        return [*call]

    held = Here(5).hold(make, [(1, 2), (3,)])

    assert list(held.ask(lambda thing, shared, more: (thing, shared, more), "all", [("a",), ("b",)])) == [
        (0, ([1, 2], "all", "a")),
        (1, ([3], "all", "b")),
    ]
    assert [thing for _, thing in held.ask(lambda thing, _: thing, None, [(), ()])] == [[1, 2], [3]]
    assert made == [(1, 2), (3,)]


def test_it_says_how_many_workers_it_was_told_to_have():
    assert Here().workers == 1
    assert Here(7).workers == 7
