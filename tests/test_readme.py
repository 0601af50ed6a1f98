"""The README keeps its word: its code runs, its links lead somewhere, its commands come first."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lplr_index import IndexLPLR, open_store
from lplr_index.data import newsgroups

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "FORMAT.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 2
    assert blocks[1].count("\n") == 10
    names = {}
    exec(compile(blocks[0], "README.md", "exec"), names)

    assert (names["D"].dtype, names["I"].dtype) == ("float32", "int64")
    assert names["index"].ntotal == 10_000
    assert names["index"].code_size == 48
    assert (tmp_path / "posts.lplr").is_file()

    exec(compile(blocks[1], "README.md", "exec"), names)
    assert "post 7" in set(names["I"].ravel())
    with open_store(tmp_path / "posts") as store:
        assert (store.ntotal, store.is_trained, store.verify()) == (9_999, True, [])


def test_the_first_two_commands_do_all_the_set_up():
    commands = re.findall(r"^    (\S.*)$", README, flags=re.MULTILINE)

    assert [command.split("#")[0].strip() for command in commands[:2]] == ["make demo", "make test"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_posts_are_the_demos():
    posts = newsgroups()
    index = IndexLPLR(384, 1.0)
    index.train(posts.train)
    index.add(posts.train)

    D, I = index.search(posts.test, 5)
    same = (posts.train_labels[I] == posts.test_labels[:, None]).mean()
    said = re.search(r"([\d.]+)% of their 5 nearest neighbours", README)
    assert said is not None
    assert 100 * same == pytest.approx(float(said[1]), abs=0.5)  # another CPU's linear algebra rounds otherwise
    shown = re.findall(r"\* (\S+) +post (\d+) +\(([\d.]+)\)", README)
    assert len(shown) == 2
    for label, post, similarity in shown:
        assert posts.label_names[posts.train_labels[int(post)]] == label
        assert D[999, I[999].tolist().index(int(post))] == pytest.approx(float(similarity), abs=0.02)


def test_the_table_is_the_demos():
    """Figures of the shortened table stand in the evaluation that the demo saved."""
    saved = json.loads((ROOT / "benchmarks" / "results" / "newsgroups.json").read_text("utf-8"))
    measured = {(report["name"], report["bytes_per_vector"]): report for report in saved["reports"]}
    shown = re.search(r"<!-- demo -->(.*)<!-- /demo -->", README, flags=re.DOTALL)
    assert shown is not None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown[1].strip().splitlines()[2:]]
    assert len(rows) > 10
    for name, nbytes, recall, votes in rows:
        report = measured[name.strip("*"), float(nbytes)]
        assert f"{report['recall_at_k']:.3f}" == recall.strip("*")
        assert f"{report['accuracy']:.3f}" == votes.strip("*")


def test_the_thorough_figures_are_measured():
    thorough, quick = (
        json.loads((ROOT / "benchmarks" / "results" / name).read_text("utf-8"))["reports"]
        for name in ("newsgroups-thorough.json", "newsgroups.json")
    )
    recall = {report["name"]: report["recall_at_k"] for report in thorough}
    ours = {one["bytes_per_vector"]: one["recall_at_k"] for one in quick if one["name"] == "LPLR auto"}
    theirs = [recall[f"faiss OPQ{size}+PQ{size}"] for size in (24, 48, 96)]
    ahead = [100 * (ours[size] - other) for size, other in zip((24, 48, 96), theirs, strict=True)]
    assert "{:.3f}, {:.3f} and {:.3f} of the ten nearest".format(*theirs) in README
    assert "{:.1f}, {:.1f} and {:.1f} points behind".format(*ahead) in README
