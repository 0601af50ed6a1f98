"""``lplr-index evaluate`` and ``demo``: the sweep of the library, on files and on the embedded set."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from commands import files, run, without
from lplr_index import IndexLPLR, read_index, write_vectors
from lplr_index.cli import demo, evaluate
from lplr_index.data import newsgroups
from lplr_index.evaluation import PEERS, Breakdown, read_json, sweep
from lplr_index.reporting import render_page
from lplr_index.vectors.base import draw_rows

TIMES = {"train_s", "add_s", "search_s"}


@pytest.fixture
def folder(vectors, tmp_path, monkeypatch):
    """Give the current folder, with labelled rows and queries."""
    monkeypatch.chdir(tmp_path)
    write_vectors("x.npy", vectors.xt)
    write_vectors("q.fvecs", vectors.xq)
    np.save("labels.npy", labels_of(vectors.xt))
    Path("query_labels.txt").write_text("".join(f"{each}\n" for each in labels_of(vectors.xq)), "utf-8")
    return tmp_path


def labels_of(x):
    return np.where(x[:, 0] > np.median(x[:, 0]), "high", "low")


def measured(reports):
    """Return reports, as dictionaries, without what differs from run to run."""
    return [{name: value for name, value in each.items() if name not in TIMES} for each in reports]


def expected(*arguments, **options):
    return measured(dataclasses.asdict(each) for each in sweep(*arguments, **options).reports)


OURS = ["--no-peers", "--bits", "1,2", "--methods", "auto,nq"]
SAME = {"peers": False, "bits": [1, 2], "methods": ["auto", "nq"]}


def test_the_document_is_the_sweep_of_the_library(folder, vectors, capsys):
    labels = {"labels": labels_of(vectors.xt), "query_labels": labels_of(vectors.xq)}
    given = ["--queries", "q.fvecs", "--labels", "labels.npy", "--query-labels", "query_labels.txt"]

    done = run(capsys, "evaluate", "x.npy", *given, *OURS, "--metric", "l2", "-k", 5, "--seed", 3, "--json")

    assert done.status == 0
    assert done.err == ""
    assert done.document["conditions"]["data"] == "x.npy"
    assert done.document["files"] == []
    assert measured(done.document["reports"]) == expected(
        vectors.xt, vectors.xq, metric="l2", k=5, seed=3, **labels, **SAME
    )


def test_errors_are_taken_apart_where_asked(folder, vectors, capsys):
    given = ["--queries", "q.fvecs", "--breakdown"]

    document = run(capsys, "evaluate", "x.npy", *given, *OURS, "--json").document
    table = run(capsys, "evaluate", "x.npy", *given, *OURS).out

    result = sweep(vectors.xt, vectors.xq, breakdown=True, **SAME)
    assert [Breakdown.of(each) for each in document["breakdowns"]] == list(result.breakdowns)
    assert [(each["name"], each["requested_bits"]) for each in document["breakdowns"]] == [
        (each.name, each.requested_bits) for each in result.reports
    ]
    assert "query int8 %" in table


def test_queries_are_held_out_where_none_are_given(folder, vectors, capsys):
    document = run(capsys, "evaluate", "x.npy", "--labels", "labels.npy", *OURS, "--json").document

    assert document["conditions"]["nq"] == 150
    assert measured(document["reports"]) == expected(vectors.xt, labels=labels_of(vectors.xt), **SAME)


def test_rows_of_a_larger_file_are_drawn_with_their_labels(folder, vectors, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "MOST_QUERIES", 40)
    given = ["--queries", "q.fvecs", "--labels", "labels.npy", "--query-labels", "query_labels.txt", "--rows", 600]

    document = run(capsys, "evaluate", "x.npy", *given, *OURS, "--seed", 2, "--json").document

    rows, queries = draw_rows(1500, 600, 2), draw_rows(50, 40, 2)
    labels = {"labels": labels_of(vectors.xt)[rows], "query_labels": labels_of(vectors.xq)[queries]}
    assert measured(document["reports"]) == expected(vectors.xt[rows], vectors.xq[queries], seed=2, **labels, **SAME)


def test_the_table_is_shown_and_saved_with_the_plot(folder, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("vl_convert")

    done = run(capsys, "evaluate", "x.npy", *OURS, "-o", "deep/report")

    assert done.status == 0
    for said in ("recall@10", "LPLR auto", "LPLR nq", "1 thread", "saved deep/report/evaluation.csv"):
        assert said in done.out
    assert sorted(each.name for each in Path("deep/report").iterdir()) == [
        "evaluation.csv",
        "evaluation.json",
        "evaluation.png",
        "evaluation.svg",
        "report.html",
    ]
    assert Path("deep/report/report.html").read_text("utf-8") == render_page([read_json("deep/report/evaluation.json")])
    result = read_json("deep/report/evaluation.json")
    with Path("deep/report/evaluation.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [each["name"] for each in lines] == [each.name for each in result.reports]
    assert len(result.reports) == 4


def test_faiss_stands_beside_ours_unless_it_is_not_wanted(folder, capsys):
    pytest.importorskip("faiss")
    arguments = ["evaluate", "x.npy", "--bits", "1", "--methods", "auto", "--rows", 700, "--json"]

    with_faiss = {each["name"] for each in run(capsys, *arguments, "--peers", "faiss").document["reports"]}
    alone = {each["name"] for each in run(capsys, *arguments, "--no-peers").document["reports"]}

    assert alone == {"LPLR auto"}
    assert with_faiss > {"LPLR auto", "faiss SQ4", "faiss Flat", "faiss PQ12x4fs"}


@pytest.mark.parametrize(
    ("file", "options", "name"),
    [("x.npy", [], "x.npy"), ("notes/vectors.npy", [], "notes"), ("x.npy", ["--name", "my notes"], "my notes")],
)
def test_a_collection_has_a_name(folder, capsys, file, options, name):
    Path("notes").mkdir()
    Path(file).exists() or Path(file).write_bytes(Path("x.npy").read_bytes())
    arguments = ["--bits", "1", "--methods", "auto", "--rows", 300, "--no-peers", "--json"]

    assert run(capsys, "evaluate", file, *options, *arguments).document["conditions"]["data"] == name


def test_peers_are_chosen_by_name(folder, capsys):
    arguments = ["evaluate", "x.npy", "--bits", "1", "--methods", "auto", "--rows", 300, "--json"]

    chosen = run(capsys, *arguments, "--peers", "lorann, turbovec").document
    named = {each["name"] for each in chosen["reports"] + chosen["skipped"]}

    assert not [name for name in named if "faiss" in name]
    assert any("turbovec" in name for name in named)
    assert any("lorann" in name.lower() for name in named)


def test_all_peers_are_the_default(folder, capsys, monkeypatch):
    without(monkeypatch, *(peer.module for peer in PEERS.values()))
    arguments = ["evaluate", "x.npy", "--bits", "1", "--methods", "auto", "--rows", 300, "--json"]

    plain, said = run(capsys, *arguments).document, run(capsys, *arguments, "--peers").document

    assert {each["name"] for each in plain["skipped"]} == {peer.indexes for peer in PEERS.values()}
    assert plain["skipped"] == said["skipped"]


def test_a_peer_nobody_knows_is_refused_before_anything_is_read(capsys):
    done = run(capsys, "evaluate", "missing.npy", "--peers", "faiss,annoy")

    assert done.complaint == f"expected peers among {', '.join(PEERS)}, got 'annoy'"


def test_without_the_optional_packages_what_is_missing_is_said(folder, capsys, monkeypatch):
    without(monkeypatch, "matplotlib", "faiss", "rich", "vl_convert")

    done = run(capsys, "evaluate", "x.npy", "--bits", "1", "--methods", "auto", "-o", "report")

    assert done.status == 0
    assert done.err.startswith(
        'warning: no plot: expected the package matplotlib, which pip install "lplr_index[eval]"'
    )
    assert 'warning: no page: expected the package vl_convert, which pip install "lplr_index[report]"' in done.err
    assert "Not shown: faiss" in done.out
    assert sorted(files(folder / "report")) == ["evaluation.csv", "evaluation.json"]


def test_rows_of_length_zero_are_named_once(folder, vectors, capsys):
    x = np.array(vectors.xt)
    x[[17, 18]] = 0
    np.save("zeros.npy", x)

    done = run(capsys, "evaluate", "zeros.npy", *OURS, "--json")

    assert done.status == 0
    assert done.err == (
        "warning: 2 vectors in zeros.npy have length zero, row 17 first; under cosine they score 0 with everything\n"
    )


@pytest.fixture
def few_posts(monkeypatch):
    """Make the embedded set small, so that the demonstration is quick."""
    posts = newsgroups()
    few = dataclasses.replace(
        posts,
        train=posts.train[:800],
        train_labels=posts.train_labels[:800],
        test=posts.test[:120],
        test_labels=posts.test_labels[:120],
    )
    monkeypatch.setattr(demo, "newsgroups", lambda: few)
    return few


def test_the_demo_builds_searches_measures_and_saves(few_posts, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("vl_convert")
    monkeypatch.chdir(tmp_path)
    without(monkeypatch, "faiss")  # whose product quantizers take a minute to train

    done = run(capsys, "demo")

    assert done.status == 0
    assert done.err == ""
    names = [f"newsgroups-{bits}-bits.lplr" for bits in ("0.5", "1", "2", "4")]
    saved = [*names, *(f"evaluation.{suffix}" for suffix in ("csv", "json", "png", "svg")), "report.html"]
    assert sorted(files(tmp_path / "demo_output")) == sorted(saved)
    for name in saved:
        assert f"saved demo_output/{name}" in done.out
    assert "Not shown: faiss PQ" in done.out
    assert len(read_json("demo_output/evaluation.json").reports) == 4 * 5 - 1
    for bits, name in zip((0.5, 1, 2, 4), names, strict=True):
        index = IndexLPLR(384, bits=bits)
        index.train(few_posts.train)
        index.add(few_posts.train)
        assert read_index(f"demo_output/{name}").model.digest == index.model.digest
        if bits == 1:
            shown = index.search(few_posts.test, demo.NEIGHBOURS)[1]
    for query in range(0, 120, 20):
        assert f"post {query}, {few_posts.label_names[few_posts.test_labels[query]]}\n" in done.out
        for i in shown[query]:
            mark = "*" if few_posts.train_labels[i] == few_posts.test_labels[query] else " "
            assert f"  {mark} {few_posts.label_names[few_posts.train_labels[i]]:<26} post {i} " in done.out


def test_the_demo_as_a_document(few_posts, tmp_path, capsys, monkeypatch):
    without(monkeypatch, "faiss", "matplotlib", "vl_convert")

    done = run(capsys, "demo", "--output", tmp_path / "here", "--json", "--quiet")

    assert done.err == ""
    document = done.document
    assert [each["bits"] for each in document["indexes"]] == [0.5, 1, 2, 4]
    assert [len(each["neighbours"]) for each in document["searches"]] == [5] * 6
    assert {report["d"] for report in document["evaluation"]["reports"]} == {384}
    assert {each["name"].split()[0] for each in document["evaluation"]["skipped"]} == {"LPLR", "faiss"}  # nobody else
    assert all(Path(file).is_file() for file in document["files"])


def test_the_demo_that_fails_leaves_no_empty_folder(few_posts, tmp_path, capsys, monkeypatch):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "write_index", interrupt)

    assert run(capsys, "demo", "-o", tmp_path / "a" / "b").status == 130
    assert files(tmp_path) == {}
