"""The page: one file that fetches nothing, runs nothing of what it shows, and draws its charts in a real browser."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from commands import without
from lplr_index.errors import InputError, MissingDependencyError, WriteError
from lplr_index.evaluation import Skip, read_json
from lplr_index.reporting import render_page, write_page
from sweeps import a_report, a_sweep

pytest.importorskip("jinja2")
pytest.importorskip("vl_convert")

ROOT = Path(__file__).parents[1]
EVIL = "<script>alert('name')</script>\"'&"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHARTS = ("recall", "votes", "speed", "building", "hidden", "spectrum")
VOID = {"meta", "line", "path", "br", "link", "img", "input"}
FETCHING = {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "ping", "background"}


class Page(HTMLParser):
    """A page taken apart: its elements, the text in each, and whether what is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append({"tag": tag, "text": "", **dict(attributes)})

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag, **attributes):
        return [
            each
            for each in self.elements
            if each["tag"] == tag and all(each.get(name) == value for name, value in attributes.items())
        ]

    def texts(self, tag):
        return [" ".join(each["text"].split()) for each in self.all(tag)]


@pytest.fixture(scope="module")
def result():
    reports = [
        a_report(family, bits, recall_at_k=recall + lift, file_bytes=1_000_000, notes="slow" if lift else "")
        for family, lift in (("LPLR auto", 0.0), ("LPLR nq", -0.2), ("faiss PQ", -0.1))
        for bits, recall in ((0.5, 0.7), (1, 0.82), (2, 0.92), (4, 0.97))
    ]
    sweep = a_sweep(*reports, a_report("exact float32", 32, recall_at_k=1.0))
    return dataclasses.replace(sweep, spectrum=(0.5, 0.25, 0.25))


@pytest.fixture(scope="module")
def text(result):
    return render_page([result])


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_it_reads_from_top_to_bottom(page):
    assert page.all("html", lang="en")
    assert page.all("meta", name="viewport")
    assert len(page.all("h1")) == 1
    assert page.texts("h2") == ["posts, 20 groups"]
    assert page.texts("h3") == [
        "Recommendation",
        "How compressible it is",
        "Recall against bits",
        "Accuracy against bits",
        "Speed against recall",
        "Time to build",
        "What is hidden",
        "Spectrum",
        "All numbers",
    ]
    for said in ("compress", "For 0.9 recall@10 take", "The best peer, faiss PQ", "times smaller", "not reached"):
        assert said in page.all("main")[0]["text"]
    ids = [each["id"] for each in page.elements if "id" in each]
    assert len(ids) == len(set(ids))


def test_every_chart_has_a_place_and_words(page):
    charts = json.loads(page.all("script", id="charts")[0]["text"])

    assert [each["id"] for each in page.all("div", **{"class": "chart"})] == [f"s0-{name}" for name in CHARTS]
    assert set(charts) == {f"s0-{name}" for name in CHARTS}
    assert len(charts) == len(page.all("figure")) == len(page.all("figcaption")) == 6
    assert all(chart["description"] for chart in charts.values())


def test_every_family_has_a_switch(page):
    buttons = page.all("button", type="button")

    assert [each["data-family"] for each in buttons] == ["LPLR auto", "LPLR nq", "faiss PQ", "exact float32"]
    assert {each["aria-pressed"] for each in buttons} == {"true"}
    for i, each in enumerate(page.all("svg")):
        assert each["aria-hidden"] == "true"
        assert f"--series-{i}:" in page.all("style")[0]["text"]


def test_the_table_has_every_report_by_bytes(page, result):
    rows = page.all("th", scope="row")
    header = page.all("th", scope="col")

    assert [each["text"] for each in rows][-1] == "exact float32 32"
    assert sorted(each["text"] for each in rows) == sorted(each.name for each in result.reports)
    assert len(page.all("caption")) == 1
    assert len(page.all("td")) == len(rows) * (len(header) - 1)
    assert "0.970*" in page.texts("td")


def test_what_is_missing_is_said(page, result):
    main = " ".join(page.all("main")[0]["text"].split())

    assert "LPLR nq at 0.5 bits: expected at least 1 bit, got 0.5." in main
    assert "An Abacus" in main
    assert "LPLR nq 0.5, LPLR nq 1, LPLR nq 2, LPLR nq 4, faiss PQ 0.5" in main
    assert "not measured" not in main

    older = Page(render_page([dataclasses.replace(result, spectrum=None)]))
    assert "The spectrum was not measured" in older.all("main")[0]["text"]
    assert "Spectrum" not in older.texts("h3")


def test_without_labels_the_first_neighbour_is_shown(result):
    reports = [dataclasses.replace(each, accuracy=None, exact_accuracy=None) for each in result.reports]
    bare = Page(render_page([dataclasses.replace(result, reports=tuple(reports))]))

    assert "First neighbour against bits" in bare.texts("h3")


def test_it_fetches_nothing_and_runs_nothing_but_its_own(page):
    asked_for = [each[name] for each in page.elements for name in FETCHING & set(each)]
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    scripts = [each["text"] for each in page.all("script") if each.get("type") != "application/json"]
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]

    assert asked_for == []
    assert not page.all("link") + page.all("img") + page.all("iframe")
    assert "url(" not in page.all("style")[0]["text"]
    assert "@import" not in page.all("style")[0]["text"]
    assert "default-src 'none'" in policy
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert "unsafe-eval" not in policy
    assert "connect-src" not in policy
    assert not [name for each in page.elements for name in each if name.startswith("on")]


def test_names_do_not_run(result):
    reports = tuple(
        dataclasses.replace(each, name=f"{EVIL} {each.name}", family=EVIL, notes=EVIL)
        if each.family == "faiss PQ"
        else each
        for each in result.reports
    )
    conditions = dataclasses.replace(result.conditions, data=EVIL, machine={EVIL: EVIL})
    evil = dataclasses.replace(
        result, conditions=conditions, reports=reports, skipped=(Skip(EVIL, None, EVIL), Skip("</main>", 1, "<b>"))
    )
    text = render_page([evil])
    page = Page(text)

    assert "<script>alert" not in text
    assert len(page.all("script")) == 3
    assert len(page.all("main")) == 1
    assert page.texts("h2") == [EVIL]
    assert EVIL in [each["data-family"] for each in page.all("button")]
    charts = json.loads(page.all("script", id="charts")[0]["text"])
    assert EVIL in {each["family"] for each in charts["s0-recall"]["data"]["values"]}


def test_several_results_are_several_sections(result):
    other = dataclasses.replace(result, conditions=dataclasses.replace(result.conditions, data="other posts"))
    page = Page(render_page([result, other]))

    assert page.texts("h2") == ["posts, 20 groups", "other posts"]
    assert [each["href"] for each in page.all("a")] == ["#s0", "#s1"]
    assert {each["id"] for each in page.all("section")} == {"s0", "s1"}
    assert len(page.all("figure")) == 12


def test_same_results_same_bytes(result, text):
    assert render_page([result]) == text
    assert len(text.encode()) < 1_500_000


def test_committed_results_can_be_shown():
    files = sorted((ROOT / "benchmarks" / "results").glob("newsgroups*.json"))
    page = Page(render_page([read_json(file) for file in files]))

    assert len(page.all("section")) == len(files) == 2


def test_nothing_to_show_is_refused(result):
    with pytest.raises(InputError, match="at least one sweep"):
        render_page([])
    with pytest.raises(InputError, match="posts, 20 groups with none"):
        render_page([dataclasses.replace(result, reports=result.reports[-1:])])


def test_the_file_is_whole_or_not_there(result, text, tmp_path):
    write_page([result], tmp_path / "report.html")

    assert (tmp_path / "report.html").read_text("utf-8") == text
    with pytest.raises(WriteError, match="no folder"):
        write_page([result], tmp_path / "none" / "report.html")
    with pytest.raises(InputError):
        write_page([], tmp_path / "other.html")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize("package", ["jinja2", "vl_convert"])
def test_what_is_not_installed_is_named(result, monkeypatch, package):
    without(monkeypatch, package)

    with pytest.raises(MissingDependencyError, match=rf'{package}.*"lplr_index\[report\]"'):
        render_page([result])


@pytest.fixture(scope="module")
def in_browser(tmp_path_factory):
    """Give a function that returns a page as a browser has it after its scripts, and what the browser complained of."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    folder = tmp_path_factory.mktemp("browser")
    quiet = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"

    def look(text):
        (folder / "page.html").write_text(text, "utf-8")
        done = subprocess.run(
            [
                *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", *quiet.split()),
                *(f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=20000"),
                *("--dump-dom", (folder / "page.html").as_uri()),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return look


def test_a_browser_draws_all_of_it_without_complaint(in_browser, text):
    drawn, complaints = in_browser(text)

    assert complaints == []
    assert 'data-state="drawn"' in drawn
    charts = re.findall(r'<div class="chart[^>]*id="(s0-\w+)"(.*?)</figure>', drawn, flags=re.DOTALL)
    assert [name for name, _ in charts] == [f"s0-{name}" for name in CHARTS]
    for _, inside in charts:
        assert inside.count("<svg") == 1
        assert "mark-line" in inside
    points = re.findall(r'<path aria-label="([^"]*)"', charts[0][1])
    assert len([each for each in points if "LPLR auto" in each]) == 4
    assert len(points) == 12


def test_a_browser_hides_what_is_clicked(in_browser, text):
    """A click on the second family and back, in a copy that may run one more script: the policy allows no other."""
    clicks = """
      new MutationObserver(async (_, watch) => {
        if (document.documentElement.dataset.state !== "drawn") return;
        watch.disconnect();
        const count = () => document.querySelectorAll("#s0-recall .mark-symbol path").length;
        const later = () => new Promise((done) => setTimeout(done, 500));
        const button = document.querySelectorAll("button[data-family]")[1];
        const counts = [count()];
        for (let i = 0; i < 2; i++) { button.click(); await later(); counts.push(count()); }
        document.documentElement.dataset.counts = counts.join(" ");
      }).observe(document.documentElement, { attributes: true });
    """
    digest = base64.b64encode(hashlib.sha256(clicks.encode()).digest()).decode()
    clicked = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    clicked = clicked.replace("</head>", f"<script>{clicks}</script></head>", 1)

    drawn, complaints = in_browser(clicked)

    assert complaints == []
    assert 'data-counts="12 8 12"' in drawn


def test_a_browser_runs_no_script_that_got_in(in_browser, text):
    """Even what escaping missed would not run."""
    drawn, complaints = in_browser(text.replace("<main>", "<main><script>document.title = 'ran'</script>", 1))

    assert "<title>ran" not in drawn
    assert "Content Security Policy" in complaints[0]
