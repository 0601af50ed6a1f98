"""The demonstration, whose whole run is ``make demo``: what it shows of a search, and where it may not save."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from indexes import filled, queries, rows
from lplr_index.cli import demo
from lplr_index.cli.output import Terminal
from lplr_index.cli.parser import parse
from lplr_index.errors import WriteError
from lplr_index.storage import read_index


@pytest.fixture
def posts():
    labels = np.arange(200) % 2
    names = ["even", "odd"]
    return SimpleNamespace(
        train=rows(200), test=queries(), train_labels=labels, test_labels=labels[:21], label_names=names
    )


def test_what_is_shown_of_a_search(posts, capsys):
    found = demo._search(posts, filled(), Terminal())

    D, I = filled().search(posts.test, demo.NEIGHBOURS)
    assert [each["query"] for each in found] == [0, 3, 6, 9, 12, 15]
    for each in found:
        neighbours = each["neighbours"]
        assert [one["id"] for one in neighbours] == I[each["query"]].tolist()
        assert [one["similarity"] for one in neighbours] == D[each["query"]].tolist()
        assert [one["label"] for one in neighbours] == ["odd" if i % 2 else "even" for i in I[each["query"]]]
    share = np.equal(I % 2, posts.test_labels[:, None]).mean()
    assert f"{share:.1%} of their 5 nearest neighbours" in capsys.readouterr().out


def test_same_newsgroups_are_marked():
    neighbours = [{"label": label, "id": 4, "similarity": 0.5} for label in ("odd", "even")]

    first, same, other = demo._example({"query": 3, "label": "odd", "neighbours": neighbours})

    assert first == "post 3, odd"
    assert same.startswith("  * odd ")
    assert other.startswith("    even ")
    assert same.endswith("post 4      (0.500)")


def test_the_indexes_it_saves(posts, tmp_path):
    made = demo._build(posts, tmp_path, Terminal(quiet=True))

    for bits, index in made.items():
        back = read_index(tmp_path / f"newsgroups-{bits:g}-bits.lplr")
        assert (back.ntotal, back.code_size) == (200, index.code_size)


def test_where_it_may_not_save_is_said_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"1")
    monkeypatch.setattr(demo, "_build", lambda *_: pytest.fail("work was done"))

    with pytest.raises(WriteError, match="cannot write"):
        demo.run(parse(["demo", "-o", str(tmp_path / "file" / "x")]), Terminal())
