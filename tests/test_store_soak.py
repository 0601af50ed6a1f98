"""The soak of benchmarks/soak.py, for seconds; and that it sees what is wrong."""

from __future__ import annotations

import importlib

import pytest

from lplr_index.store import merging

pytestmark = pytest.mark.usefixtures("scripts")


@pytest.fixture
def soak(monkeypatch):
    """Give the script, which may change how many rows a journal has."""
    monkeypatch.setattr(merging, "FLUSH_ROWS", merging.FLUSH_ROWS)
    return importlib.import_module("soak")


@pytest.mark.parametrize("nlist", [None, 6])
def test_some_seconds(soak, tmp_path, nlist):
    if nlist:
        pytest.importorskip("faiss")
    facts = soak.soak(tmp_path, 5, nlist)

    assert facts["wrong"] == []
    assert facts["comparisons"] >= 1
    assert min(facts["searches"], facts["searches_of_readers"], facts["added"]) > 0


def test_a_store_that_forgets_is_seen(soak, tmp_path, monkeypatch):
    """Of a store that passes over one of the rows that are to be deleted."""
    from lplr_index.store import Store

    delete = Store.delete
    monkeypatch.setattr(Store, "delete", lambda self, ids: delete(self, ids[1:]))
    monkeypatch.setattr(soak, "READERS", 0)

    facts = {}
    for seconds in (5, 60):  # a machine may stall for seconds
        if not facts.get("deleted"):
            (tmp_path / f"{seconds}").mkdir()
            facts = soak.soak(tmp_path / f"{seconds}", seconds)

    assert facts["deleted"]
    assert facts["wrong"]
