"""Numbers and names of rows: each way back leads to where it came from."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.errors import ChecksumError, InputError
from lplr_index.store import keys
from lplr_index.store.keys import Names, Numbers, as_names, check_distinct, hash_of

WORDS = ["a", "", "ø" * 9, "row 17", "a" * 300, "日本", "A"]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (Numbers(5, 7), [7, 8, 9, 10, 11]),
        (Numbers(4, 3, np.array([3, 5, 9, 12])), [3, 5, 9, 12]),
        (Numbers(4, 0, np.array([9, 3, 12, 5]), ascending=False), [9, 3, 12, 5]),
    ],
)
def test_numbers(numbers, expected):
    n = len(expected)
    assert numbers.part(0, n).tolist() == numbers.of(np.arange(n)).tolist() == expected
    assert numbers.part(1, 3).tolist() == expected[1:3]
    assert numbers.find(np.array(expected)).tolist() == list(range(n))
    missing = np.setdiff1d(np.arange(-2, 20), expected)
    assert (numbers.find(missing) == -1).all()
    if numbers.ascending:
        for number in range(20):
            assert numbers.before(number) == sum(each < number for each in expected)


def test_the_last_of_several_is_found():
    numbers = Numbers(4, 0, np.array([7, 3, 7, 5]), ascending=False)
    assert numbers.find(np.array([7, 3])).tolist() == [2, 1]


def test_no_numbers():
    assert Numbers(0).find(np.array([0, 1])).tolist() == [-1, -1]
    assert Numbers(0, 0, np.empty(0, np.int64)).find(np.array([0])).tolist() == [-1]


def test_names():
    names = Names.of_list(WORDS)
    order = np.array([3, 0, 6, 1, 5, 5])
    assert names.of(order) == [WORDS[i] for i in order]
    assert names.find(WORDS).tolist() == list(range(len(WORDS)))
    assert names.find(["nobody", "ø"]).tolist() == [-1, -1]
    assert names.row_hashes().tolist() == [hash_of(word) for word in WORDS]
    lengths, text = names.gather(order)
    assert text.tobytes().decode() == "".join(WORDS[i] for i in order)
    assert lengths.tolist() == [len(WORDS[i].encode()) for i in order]
    assert Names.of_list([]).of(np.empty(0, np.int64)) == []


def test_names_of_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(keys, "hash_of", len)
    words = ["aa", "ab", "c", "ba"]
    names = Names.of_list(words)
    assert names.find([*words, "bb", "d"]).tolist() == [0, 1, 2, 3, -1, -1]


def test_a_hash_is_the_same_everywhere():
    assert hash_of("row 17") == 12376648470701489891


@pytest.mark.parametrize("section", ["text", "ends", "order"])
def test_damaged_names_have_a_name(section):
    arrays = {name: array.copy() for name, array in Names.of_list(WORDS).arrays.items()}
    arrays[section][:] = 255 if section == "text" else 2**31
    with pytest.raises(ChecksumError, match="they were changed"):
        Names(**arrays).of(np.arange(7)) if section != "order" else Names(**arrays).find(["a"])


def test_ids_that_are_strings():
    assert as_names(np.array(["a", "b"]), 2) == ["a", "b"]
    assert as_names(("a",)) == ["a"]
    for wrong in ("ab", b"ab", 3, [b"a"], [1], [None]):
        with pytest.raises(InputError, match="expected ids to be"):
            as_names(wrong)
    with pytest.raises(InputError, match="expected distinct ids, got 'b' twice"):
        check_distinct(["a", "b", "c", "b"])
