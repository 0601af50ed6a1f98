"""document_table.py: keys that are used once, changes that are whole, and equality as Python has it."""

from __future__ import annotations

import pytest

from lplr_index.document_table import DocumentTable, as_row
from lplr_index.errors import WriteError


@pytest.fixture
def table(tmp_path):
    made = DocumentTable(tmp_path / "documents.sqlite")
    yield made
    made.close()


def put(table, ids, metadatas=None):
    keys = table.new_keys(len(ids))
    table.put(keys, [as_row(each, f"text of {each}", (metadatas or {}).get(each, {})) for each in ids])
    return keys


def test_no_key_is_used_twice(table, tmp_path):
    first = put(table, "ab")
    table.remove()
    table.forget(table.stale())

    second = put(table, "ab")
    table.remove()
    table.forget(table.stale())
    table.close()
    again = DocumentTable(tmp_path / "documents.sqlite")

    assert len({*first, *second, *again.new_keys(3)}) == 7
    again.close()


def test_keys_are_stale_as_long_as_no_document_has_them(table):
    unused = table.new_keys(2)
    old = put(table, "abc")
    assert table.stale() == unused

    new = put(table, "b")
    table.remove(["c", "nobody"])

    assert table.stale() == [*unused, old[1], old[2]]
    assert {key: each.id for key, each in table.of_keys([*old, *new]).items()} == {old[0]: "a", new[0]: "b"}
    table.forget(unused)
    assert table.stale() == old[1:]
    assert len(table) == 2


def test_a_change_that_fails_is_none(table):
    old = put(table, "ab")

    with pytest.raises(ValueError, match="zip"):  # after the first statement
        table.put([90], [as_row("a", "", {}), as_row("c", "", {})])

    assert [each.key for each in table.get("ab")] == old
    assert table.stale() == []


def test_a_reader_changes_nothing(table, tmp_path):
    put(table, "ab")
    reader = DocumentTable(tmp_path / "documents.sqlite", read_only=True)

    with pytest.raises(WriteError, match="readonly"):
        reader.remove()

    assert len(reader) == len(table) == 2
    reader.close()


ODD = [
    {"a": 1},
    {"a": 1.0},
    {"a": True},
    {"a": "1"},
    {"a": None},
    {},
    {"a": [1, 2]},
    {"a": "[1,2]"},
    {"a": {"b": 1}},
    {"a": 2**70},
    {"a": 'say "hi"'},
    {"a": "grün \udc80"},
    {"a.b": 1},
    {"": 1},
    {'q"q': 1},
    {"back\\slash": 1},
    {"a": 0.1},
    {"a": -(2**63)},
]


@pytest.mark.parametrize("wanted", ODD, ids=repr)
def test_equality_is_pythons(table, wanted):
    names = [f"doc-{number}" for number in range(len(ODD))]
    put(table, names, dict(zip(names, ODD, strict=True)))

    chosen = table.select(wanted)

    assert [each.metadata for each in chosen] == [
        each for each in ODD if all(each.get(key) == value for key, value in wanted.items())
    ]
    assert table.select(wanted, ids=names[::-1]) == chosen[::-1]
    assert table.select(wanted, lambda _: False) == []
