"""store/opening.py: what is asked of ``open_store`` is checked before anything is made, and against what is there."""

from __future__ import annotations

import pytest

from lplr_index import open_store
from lplr_index.errors import InputError, NotAnIndexError


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"skip_damaged": True}, "skip_damaged together with read_only"),
        ({"train_rows": 0}, "train_rows"),
        ({"ids": "uuid"}, "expected ids to be one of int, str, got 'uuid'"),
        ({"metric": "hamming"}, "metric"),
        ({"method": "nq", "nlist": 4}, "expected no method but auto with nlist, got 'nq'"),
        ({"nlist": 0}, "nlist"),
        ({"d": -1}, "d"),
    ],
)
def test_nothing_is_made_of_what_makes_no_sense(tmp_path, options, complaint):
    with pytest.raises(InputError, match=complaint):
        open_store(tmp_path / "s", **({"d": 8} | options))

    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("options", [{}, {"d": 8, "read_only": True}])
def test_a_new_store_needs_a_dimension_and_may_be_written(tmp_path, options):
    with pytest.raises(NotAnIndexError, match="expected a store"):
        open_store(tmp_path, **options)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options", [{"d": 9}, {"bits": 2.0}, {"metric": "l2"}, {"ids": "str"}, {"nlist": 3}, {"seed": 5}]
)
def test_a_store_that_is_there_is_what_it_was_made_as(tmp_path, options):
    open_store(tmp_path / "s", 8, background=False).close()

    with pytest.raises(InputError):
        open_store(tmp_path / "s", **options)
    with open_store(tmp_path / "s") as store:  # the writer that was refused has let go of it
        assert store.d == 8
