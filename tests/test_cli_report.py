"""``lplr-index report``: what evaluate saved, as a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import files, run, without
from lplr_index.evaluation import write_json
from lplr_index.reporting import render_page
from sweeps import a_report, a_sweep

pytest.importorskip("jinja2")
pytest.importorskip("vl_convert")

RESULT = a_sweep(a_report("LPLR auto", 1), a_report("LPLR auto", 2, recall_at_k=0.9), a_report("faiss PQ", 2))
OTHER = a_sweep(a_report("LPLR auto", 1), data="images")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Give the current folder, with results in one.json and in other/evaluation.json."""
    monkeypatch.chdir(tmp_path)
    write_json(RESULT, "one.json")
    Path("other").mkdir()
    write_json(OTHER, "other/evaluation.json")
    return tmp_path


def test_the_page_is_that_of_the_library(folder, capsys):
    done = run(capsys, "report", "one.json", "-o", "page.html")

    assert done.status == 0
    assert done.err == ""
    assert done.out.startswith("page.html: posts, 20 groups; ")
    assert Path("page.html").read_text("utf-8") == render_page([RESULT])


def test_files_and_folders_make_one_page(folder, capsys):
    document = run(capsys, "report", "one.json", "other", "--json").document

    assert document["file"] == "report.html"
    assert document["results"] == ["one.json", "other/evaluation.json"]
    assert document["file_bytes"] == Path("report.html").stat().st_size
    assert Path("report.html").read_text("utf-8") == render_page([RESULT, OTHER])


def test_quiet_is_quiet(folder, capsys):
    done = run(capsys, "report", "one.json", "--quiet")

    assert (done.out, done.err) == ("", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.json"], "nowhere.json"),
        (["empty"], "empty/evaluation.json"),
        (["wrong.json"], "expected lplr_index sweep version 1 in wrong.json, got another format"),
        (["text.json"], "expected a sweep as write_json writes it in text.json"),
        (["spectrum.json"], "expected a sweep as write_json writes it in spectrum.json"),
        (["one.json", "-o", "none/page.html"], "no folder"),
        (["one.json", "-o", "one.json"], "expected an output other than the input"),
        ([], "the following arguments are required: RESULTS"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_no_file(folder, capsys, arguments, said):
    Path("empty").mkdir()
    Path("wrong.json").write_text('{"format": "another", "version": 1}', "utf-8")
    Path("text.json").write_text("recall was fine", "utf-8")
    content = json.loads(Path("one.json").read_text("utf-8"))
    Path("spectrum.json").write_text(json.dumps(content | {"spectrum": ["much"]}), "utf-8")
    before = files(folder)

    assert said in run(capsys, "report", *arguments).complaint
    assert files(folder) == before


@pytest.mark.parametrize("package", ["jinja2", "vl_convert"])
def test_a_missing_library_is_one_sentence(folder, capsys, monkeypatch, package):
    without(monkeypatch, package)

    assert (
        f'the package {package}, which pip install "lplr_index[report]" brings'
        in run(capsys, "report", "one.json").complaint
    )
    assert not Path("report.html").exists()
