"""cluster/slices.py: rows are shared out once each, in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lplr_index import open_vectors, write_vectors
from lplr_index.cluster.slices import Slice, Source, cut, deal
from lplr_index.errors import InputError, VectorFileError


@given(st.integers(0, 10_000), st.integers(1, 3_000))
def test_slices_are_all_rows_in_order_and_all_but_the_last_are_as_long_as_asked(n, rows):
    slices = cut(n, rows)

    assert [row for each in slices for row in range(each.start, each.stop)] == list(range(n))
    assert all(len(each) == rows for each in slices[:-1])
    assert all(len(each) for each in slices)


@pytest.mark.parametrize("rows", [0, -1, 2.5, True])
def test_rows_of_a_slice_are_a_positive_integer(rows):
    with pytest.raises(InputError, match="expected rows of a slice to be an integer >= 1"):
        cut(10, rows)


@given(st.lists(st.integers(1, 100), max_size=30), st.integers(1, 12))
def test_runs_are_all_shards_in_order_none_empty_and_about_as_large(sizes, workers):
    runs = deal(sizes, workers)

    assert [number for run in runs for number in range(run.start, run.stop)] == list(range(len(sizes)))
    assert len(runs) == min(workers, len(sizes))
    assert all(len(run) for run in runs)
    if sizes:
        loads = [sum(sizes[run.start : run.stop]) for run in runs]
        assert max(loads) <= sum(sizes) / len(runs) + max(sizes)


def test_equal_shards_are_dealt_out_equally():
    assert deal([7] * 6, 3) == [Slice(0, 2), Slice(2, 4), Slice(4, 6)]
    assert [len(run) for run in deal([7] * 8, 3)] in ([3, 2, 3], [3, 3, 2], [2, 3, 3])


def test_a_source_is_opened_again_from_anywhere(tmp_path, monkeypatch):
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    monkeypatch.chdir(tmp_path)
    write_vectors("x.npy", x)
    with open_vectors("x.npy") as file:
        source = Source.of(file, None)
    monkeypatch.chdir(Path("/"))

    with source.open() as again:
        assert np.array_equal(again.read(0, 4), x)


def test_a_machine_that_sees_another_file_is_refused(tmp_path):
    write_vectors(tmp_path / "x.npy", np.ones((4, 3), np.float32))
    source = Source(str(tmp_path / "x.npy"), None, 5, 3)

    with pytest.raises(VectorFileError, match=r"to see .*x\.npy of shape \(5, 3\), got \(4, 3\)"):
        source.open()
