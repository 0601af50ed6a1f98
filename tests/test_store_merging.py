"""Which segments are merged, what that costs, and that no row is lost by it."""

from __future__ import annotations

import numpy as np
import pytest

from indexes import rows
from lplr_index.store import listed, merging
from lplr_index.store.merging import FAN, FLUSH_ROWS, due, merged, runs
from stores import LISTS, assert_same_results, small, twin


def test_segments_of_one_tier_are_merged():
    small_ones = [FLUSH_ROWS] * (FAN - 1)
    assert due(small_ones, small_ones) == []
    assert due([*small_ones, 10], [*small_ones, 10]) == list(range(FAN))
    sizes = [50 * FLUSH_ROWS, *small_ones, 60 * FLUSH_ROWS, 1]
    assert due(sizes, sizes) == [1, 2, 3, 5]


def test_a_segment_of_which_half_is_dead_is_written_anew():
    assert due([50, 9000], [100, 9001]) == [0]
    assert due([51, 9000], [100, 9001]) == []
    assert due([0], [5]) == [0]


@pytest.mark.parametrize("n", [10**5, 10**6, 10**7])
def test_few_segments_and_few_rewrites(n):
    """A row is written to the journal, to a segment, and once for each tier; FAN - 1 segments a tier, and no more."""
    sizes: list[int] = []
    written = 0
    for _ in range(n // FLUSH_ROWS):
        sizes.append(FLUSH_ROWS)
        written += 2 * FLUSH_ROWS
        while places := due(sizes, sizes):
            together = sum(sizes[i] for i in places)
            written += together
            sizes = [size for i, size in enumerate(sizes) if i not in places] + [together]
    tiers = np.log(n / FLUSH_ROWS) / np.log(FAN)
    assert len(sizes) <= (FAN - 1) * (tiers + 1)
    assert written <= n * (2 + tiers)


@pytest.mark.parametrize("nlist", LISTS)
@pytest.mark.parametrize("kind", ["int", "str"])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_rows_are_copied_in_the_order_of_their_numbers(tmp_path, monkeypatch, short_journals, nlist, kind, step):
    monkeypatch.setattr(merging, "_STEP", step)
    monkeypatch.setattr(listed, "_STEP", step)
    monkeypatch.setattr(merging, "FAN", 1000)
    rng = np.random.default_rng(0)
    index = twin(nlist=nlist)
    with small(tmp_path / "s", kind, nlist=nlist) as store:
        for start in range(0, 400, 100):
            ids = rng.permutation(100) * 4 + start // 100
            if kind == "str":
                store.add(rows(400)[start : start + 100], [f"{i}" for i in ids])
            else:
                store.add(rows(400)[start : start + 100], ids)
                index.add_with_ids(rows(400)[start : start + 100], ids)
        contents = store._writer.now()
        inputs = [each.part for each in contents.held]
        assert len(inputs) == 4
        ordered = np.concatenate(list(runs(inputs)))
        assert ordered.tolist() == list(range(400))
        what = merged(inputs, contents.arrangement)
        assert (what.n, what.first) == (400, 0)
        named = [section[0] for section in what.sections()]
        lists = ["list_numbers", "list_starts", "list_reach", "list_rows"] if nlist else []
        blocks = ["blocks"] if nlist else ["blocks", "tails"]
        assert named == [*lists, *blocks, *(["text", "ends", "hashes", "order"] if kind == "str" else [])]
        if kind == "int":
            store.delete(np.arange(0, 400, 5))
            index.remove_ids(np.arange(0, 400, 5))
            store.compact()
            assert_same_results(store, index)
        before = store.search(rows(9), 400)
        store.compact()
        for one, other in zip(store.search(rows(9), 400), before, strict=True):
            np.testing.assert_array_equal(one, other)
        assert store.info()["segments"] == 1
        assert store.verify() == []


def test_nothing_is_left_of_the_dead(tmp_path, short_journals):
    with small(tmp_path / "s", background=False) as store:
        store.add(rows(100))
        store.delete(range(100))
        store.compact()
        assert store.info()["segments"] == 0
        contents = store._writer.now()
        assert store.add(rows(1)).tolist() == [100]  # an id is never handed out twice
        assert store.verify() == []
    assert merged([], contents.arrangement) is None
    assert list(runs([])) == []
