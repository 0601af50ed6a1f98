"""docs/integrations.md keeps its word: its examples run, in few lines, and its figures are measured."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lplr_index import semantic_search
from lplr_index.data import newsgroups

PAGE = (Path(__file__).parents[1] / "docs" / "integrations.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE))


def run(heading, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    exec(compile(EXAMPLES[heading], "integrations.md", "exec"), names)
    return names


def test_every_place_has_an_example_of_some_ten_lines():
    assert list(EXAMPLES) == ["sentence-transformers", "Arrow, pandas, polars", "LangChain", "LlamaIndex"]
    for code in EXAMPLES.values():
        lines = [line for line in code.splitlines() if line and not re.match(r"import|from", line)]
        assert len(lines) <= 10


def said(name):
    return float(re.search(rf"<!-- {name} -->(.*?)<!-- /{name} -->", PAGE)[1])


def recall(hits, true):
    found = [{hit["corpus_id"] for hit in each} for each in hits]
    return np.mean([len(few & set(right)) / 10 for few, right in zip(found, true.tolist(), strict=True)])


def test_sentence_transformers(tmp_path, monkeypatch, capsys):
    names = run("sentence-transformers", tmp_path, monkeypatch)

    assert len(capsys.readouterr().out.splitlines()) == 3
    posts = newsgroups()
    queries, rows = (x.astype(float) for x in (posts.test, names["corpus"]))
    true = np.argsort(-queries @ (rows / np.linalg.norm(rows, axis=1)[:, None]).T, axis=1)[:, :10]
    # Another CPU's linear algebra rounds otherwise.
    assert recall(semantic_search(posts.test, names["index"]), true) == pytest.approx(said("index"), abs=0.01)
    assert recall(semantic_search(posts.test, names["corpus"]), true) == pytest.approx(said("array"), abs=0.003)


def test_frames(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pyarrow")

    names = run("Arrow, pandas, polars", tmp_path, monkeypatch)

    assert names["found"].columns.tolist() == ["query", "rank", "id", "score"]
    assert len(names["found"]) == 15
    assert (len(names["codes"]), names["codes"].type.byte_width) == (2000, 48)
    assert names["index"].ntotal == 2000


@pytest.mark.guests
def test_langchain(tmp_path, monkeypatch, capsys):
    names = run("LangChain", tmp_path, monkeypatch)

    assert [each.id for each, _ in names["found"]] == ["heron"]
    assert "A heron by the river" in capsys.readouterr().out
    assert (tmp_path / "notes").is_dir()


@pytest.mark.guests
def test_llama_index(tmp_path, monkeypatch, capsys):
    names = run("LlamaIndex", tmp_path, monkeypatch)

    assert "Ann has lunch" in capsys.readouterr().out
    assert len(names["again"].as_retriever(similarity_top_k=5).retrieve("birds")) == 2
    names["store"].close()
