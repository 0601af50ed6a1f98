"""ids.py: row numbers and user ids, beside a dict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lplr_index.errors import InputError, UnknownIdError
from lplr_index.ids import IdMap

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.lists(st.integers(0, 60), unique=True, max_size=6)),
        st.tuples(st.just("fresh"), st.integers(0, 5)),
        st.tuples(st.just("keep"), st.integers(0, 2**32 - 1)),
    ),
    max_size=10,
)


@given(STEPS)
def test_any_sequence_of_changes(steps):
    ids, held, largest = IdMap(), [], -1
    for step, value in steps:
        if step == "extend":
            new = np.array(value, np.int64)
            if set(value) & set(held):
                with pytest.raises(InputError, match=r"expected new ids, got \d+, which the index already holds"):
                    ids.check_new(new)
                continue
            ids.check_new(new)
        elif step == "fresh":
            new = ids.fresh(value)
            assert new.tolist() == list(range(largest + 1, largest + 1 + value))
        else:
            mask = np.random.default_rng(value).random(len(held)) < 0.6
            ids.keep(mask)
            held = [each for each, kept in zip(held, mask, strict=True) if kept]
            continue
        ids.extend(new, own=step == "extend")
        held += new.tolist()
        largest = max([largest, *new.tolist()])
        new[:] = -9  # the map keeps what it was given

    assert (ids.ntotal, ids.next_id) == (len(held), largest + 1)
    assert ids.all().tolist() == held
    assert ids.stored.tolist() in ([], held)
    assert ids.rows_of(np.array(held[::-1], np.int64)).tolist() == list(range(len(held)))[::-1]
    even = np.arange(0, largest + 1, 2)
    assert ids.mask_of(even).tolist() == [each % 2 == 0 for each in held]
    for unknown in sorted({*range(62)} - set(held))[:3]:
        with pytest.raises(UnknownIdError, match=f"expected ids that the index holds, got {unknown}"):
            ids.rows_of(np.array([*held, unknown]))


def test_counting_from_zero_stores_nothing():
    ids = IdMap()
    ids.extend(ids.fresh(5), own=False)
    ids.extend(ids.fresh(3), own=False)

    assert len(ids.stored) == 0
    assert ids.all().tolist() == list(range(8))
    assert ids.rows_of(np.array([7, 0])).tolist() == [7, 0]
    assert ids.mask_of(np.array([-1, 8, 3])).tolist() == [False] * 3 + [True] + [False] * 4
    with pytest.raises(UnknownIdError):
        ids.rows_of(np.array([-1]))
    with pytest.raises(UnknownIdError):
        ids.rows_of(np.array([8]))


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ([-1], r"expected ids from 0 to 9223372036854775806 \(-1 marks a missing result\), got -1"),
        ([20, 3, -7], "expected ids from 0 to .*, got -7"),
        ([2**63 - 1], "expected ids from 0 to 9223372036854775806 .*, got 9223372036854775807"),
        ([20, 21, 20], "expected distinct ids, got 20 twice"),
        ([21, 21], "expected distinct ids, got 21 twice"),
        ([30, 4], "expected new ids, got 4, which"),
        ([0], "expected new ids, got 0, which"),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
def test_ids_that_cannot_be(new, message, stored):
    ids = IdMap(5, np.array([4, 3, 2, 1, 0]) if stored else None)

    with pytest.raises(InputError, match=message):
        ids.check_new(np.array(new))


def test_ids_of_ones_own_are_stored_even_where_they_count_from_zero():
    ids = IdMap()
    ids.extend(np.arange(3), own=True)

    assert ids.stored.tolist() == [0, 1, 2]


def test_ids_run_out():
    ids = IdMap()
    ids.extend(np.array([2**63 - 4]), own=True)

    assert ids.fresh(2).tolist() == [2**63 - 3, 2**63 - 2]
    with pytest.raises(InputError, match="expected ids up to 9223372036854775806, got 3 rows to count on from"):
        ids.fresh(3)


def test_no_ids_are_always_new():
    IdMap(5).check_new(np.empty(0, np.int64))


def test_ids_of_a_file_count_on_as_before():
    assert IdMap(3, next_id=9).next_id == 9
    assert IdMap(3).next_id == 3
    assert IdMap(2, np.array([7, 5]), 3).next_id == 8
    assert IdMap(0, np.empty(0, np.int64)).next_id == 0
    ids = IdMap(3, next_id=9)
    ids.extend(ids.fresh(1), own=False)
    assert ids.all().tolist() == [0, 1, 2, 9]
