"""What a manifest and a journal say, in memory."""

from __future__ import annotations

import numpy as np
import pytest

from indexes import rows, trained
from lplr_index.errors import HeaderError
from lplr_index.store.contents import load, without
from lplr_index.store.folder import parsed, read_manifest, strangers
from lplr_index.store.following import read_journal
from lplr_index.store.journal import Change
from lplr_index.store.searching import names_of, numbers_of, vectors_of
from stores import LISTS, names, written, written_twin


def opened(folder):
    contents, skipped = load(folder, parsed(folder, read_manifest(folder)), None)
    assert skipped == []
    return contents


def test_the_journal_is_what_is_not_in_segments(tmp_path):
    folder = written(tmp_path / "s")
    contents = opened(folder)
    before = contents.alive
    end = read_journal(folder, contents, 0)
    assert contents.alive == 325 != before
    assert read_journal(folder, contents, end) == end
    assert contents.holds(np.array([3, 5, 150, 199, 328, 329])).tolist() == [False, True, False, True, True, False]
    assert contents.next_id == 330


def test_what_is_dead_already_dies_no_more(tmp_path):
    """A merge may be ahead of the journal: what the journal kills is gone from its segment."""
    folder = written(tmp_path / "s")
    contents = opened(folder)
    contents.kill(np.arange(0, 330, 2))
    ahead = contents.alive
    read_journal(folder, contents, 0)
    assert contents.alive < ahead + 200
    held, gone = without(contents.held, np.array([2, 4]))
    assert gone == 0
    assert held == contents.held


def test_a_row_that_is_there_is_not_added_by_a_journal(tmp_path):
    contents = opened(written(tmp_path / "s"))
    change = Change(np.empty(0, np.int64), np.array([17]), None, trained().sa_encode(rows(1)))
    with pytest.raises(HeaderError, match="expected new rows in the journal, got one that is there"):
        contents.replay([change])


@pytest.mark.parametrize("nlist", LISTS)
@pytest.mark.parametrize("kind", ["int", "str"])
def test_a_view_finds_rows(tmp_path, nlist, kind):
    folder = written(tmp_path / "s", kind, nlist)
    contents = opened(folder)
    read_journal(folder, contents, 0)
    view = contents.view()
    assert view is contents.view()
    index = written_twin(nlist)
    if kind == "int":
        x_hat, known = vectors_of(view, np.array([5, 3, 17]))
        assert known.tolist() == [True, False, True]
        np.testing.assert_array_equal(x_hat[known], index.reconstruct_batch([5, 17]))
        return
    wanted = names([5, 3, 17, 328, 999], kind)
    numbers = numbers_of(view, wanted)
    assert numbers.tolist() == contents.numbers_of(wanted).tolist()
    assert (numbers >= 0).tolist() == [True, False, True, True, False]
    assert names_of(view, numbers[None]).tolist() == [[wanted[0], None, *wanted[2:4], None]]


def test_what_else_lies_in_a_folder(tmp_path):
    folder = written(tmp_path / "s")
    assert strangers(folder) == "manifest"
    (folder / "a.txt").write_text("")
    assert strangers(folder) == "a.txt, manifest"
