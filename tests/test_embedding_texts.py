"""Texts of every kind of file arrive whole and in order, or one error says which row cannot."""

from __future__ import annotations

import json

import pytest

from commands import without
from lplr_index.embedding import Item, open_texts
from lplr_index.errors import MissingDependencyError, VectorFileError

BODIES = ["one, two", 'a "quoted"\nline', "", "grün \u2028 x", "z" * 200_000]
TOPICS = ["a", "b", "a", "c d", "b"]


def csv_text(separator=","):
    rows = [
        separator.join(['"{}"'.format(each.replace('"', '""')) for each in row])
        for row in zip(BODIES, TOPICS, strict=True)
    ]
    return "\n".join([f"body{separator}topic", *rows]) + "\n"


def write_csv(path):
    path.write_text(csv_text(), "utf-8-sig", newline="")  # as Excel does


def write_tsv(path):
    path.write_text(csv_text("\t"), "utf-8", newline="")


def write_json_lines(path):
    rows = [json.dumps({"body": body, "topic": topic}) for body, topic in zip(BODIES, TOPICS, strict=True)]
    path.write_text("\n\n".join(rows), "utf-8")


def write_parquet(path):
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(arrow.table({"body": BODIES, "topic": TOPICS}), path)


WRITERS = {".csv": write_csv, ".tsv": write_tsv, ".jsonl": write_json_lines, ".NDJSON": write_json_lines}
WRITERS[".parquet"] = write_parquet


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_table_gives_the_same_items(tmp_path, suffix):
    path = tmp_path / f"notes{suffix}"
    WRITERS[suffix](path)

    source = open_texts(path, column="body", label_column="topic")

    assert list(source.items()) == [Item(str(row), *each) for row, each in enumerate(zip(BODIES, TOPICS, strict=True))]
    assert list(source.items()) == list(source.items())
    assert (source.count, source.is_labelled, source.has_texts, source.remarks) == (5, True, True, ())
    assert source.facts == {"kind": suffix.lower()[1:], "name": path.name, "column": "body"}
    assert not open_texts(path, column="body").is_labelled
    assert [item.id for item in open_texts(path, column="body", id_column="topic").items()] == TOPICS


def test_the_only_column_left_needs_no_name(tmp_path):
    (tmp_path / "x.csv").write_text("id,text,topic\n7,some,a\n")

    assert list(open_texts(tmp_path / "x.csv", label_column="topic", id_column="id").items()) == [
        Item("7", "some", "a")
    ]


def test_labels_and_ids_need_not_be_text(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"t": "some", "l": 3, "i": 1.5}\n{"t": null, "l": false, "i": "x  y"}\n')

    source = open_texts(tmp_path / "x.jsonl", column="t", label_column="l", id_column="i")

    assert list(source.items()) == [Item("1.5", "some", "3"), Item("x y", "", "False")]


def test_a_file_of_lines_has_a_text_a_line(tmp_path):
    (tmp_path / "x.txt").write_text("one\n\n  two \u2028 and so on\r\nlast", "utf-8", newline="")

    source = open_texts(tmp_path / "x.txt")

    assert [item.content for item in source.items()] == ["one", "", "  two \u2028 and so on", "last"]
    assert (source.count, source.is_labelled) == (4, False)


def test_a_folder_has_a_text_a_file_and_classes_by_subfolder(tmp_path):
    for name in ("b/2.txt", "b/10.md", "a/x/1.txt", ".hidden/1.txt", "b/.3.txt", "b/other.pdf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}")

    source = open_texts(tmp_path)

    names = ["a/x/1.txt", "b/2.txt", "b/10.md"]
    assert list(source.items()) == [Item(name, f"text of {name}", name[0]) for name in names]
    assert source.is_labelled
    assert source.remarks == (f"1 files in {tmp_path} end in none of .txt .md and are left alone",)
    (tmp_path / "0.txt").write_text("first")
    source = open_texts(tmp_path)
    assert [item.label for item in source.items()] == [None] * 4
    assert not source.is_labelled
    assert "no labels: 1 files lie in" in source.remarks[1]


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        ("x.csv", "a,b\n1,2\n", {}, r"expected one of the columns of .*x.csv \(a, b\), got no column"),
        ("x.csv", "a,b\n1,2\n", {"column": "c"}, r"expected one of the columns of .*\(a, b\), got 'c'"),
        ("x.csv", "a,b\n1,2\n", {"column": "a", "label_column": "c"}, r"\(a, b\), got 'c'"),
        ("x.csv", "a,b\n1,2\n", {"column": "a", "id_column": "c"}, r"\(a, b\), got 'c'"),
        ("x.csv", "a,b\n1,2\n\n3\n", {"column": "a"}, r"expected 2 cells in row 1 of .*x.csv, got 1"),
        ("x.csv", "a,b\n1,2,3\n", {"column": "a"}, r"expected 2 cells in row 0 of .*x.csv, got 3"),
        ("x.csv", "a,a\n1,2\n", {"column": "a"}, "expected columns of different names in .*, got a, a"),
        ("x.csv", 'a\n"1\n', {}, r"cannot read .*x.csv: unexpected end of data"),
        ("x.csv", "a,b\nx,1\ny,\n", {"column": "a", "label_column": "b"}, "expected a label in column b of row 1 of"),
        ("x.csv", "a,b\n", {"column": "a"}, "expected at least one row in .*, got none"),
        ("x.csv", "", {}, "expected at least one row in .*, got none"),
        ("x.csv", b"a\n\xff\n", {}, "cannot read .*x.csv: 'utf-8' codec can't decode"),
        ("x.jsonl", '{"a": "x"}\n{"b": "y"}\n', {}, "expected a column a in row 1 of .*x.jsonl, got b"),
        ("x.jsonl", '{"a": "x"}\n["y"]\n', {}, r'expected an object in row 1 of .*x.jsonl, got \["y"\]'),
        ("x.jsonl", '{"a": "x"}\n{"a"\n', {}, "cannot read .*x.jsonl: "),
        ("x.jsonl", '{"a": 5}\n', {}, "expected text in column a of row 0 of .*x.jsonl, got 5"),
        ("x.parquet", b"PAR1", {"column": "a"}, "cannot read .*x.parquet: "),
        ("x.txt", "", {}, "expected at least one text in .*x.txt, got none"),
        ("x.txt", "a\n", {"column": "a"}, "expected a table for a column, got .*x.txt, which has none"),
        ("x.pdf", "a\n", {}, r"expected .*x.pdf to be a folder or to end in one of .txt .csv .* got .pdf"),
        ("absent/x.txt", None, {}, "no such file: "),
        ("folder/x.doc", "a", {}, r"expected files in .*folder that end in one of .txt .md, got none"),
    ],
)
def test_what_cannot_be_read_is_one_error(tmp_path, name, content, options, words):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    target = path.parent if name.startswith("folder") else path

    with pytest.raises(VectorFileError, match=words):
        open_texts(target, **options)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    without(monkeypatch, "pyarrow")

    with pytest.raises(MissingDependencyError, match=r'pip install "lplr_index\[files\]"'):
        open_texts(tmp_path / "x.parquet")


def test_a_file_that_goes_bad_later_is_an_error_too(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\none\n")
    source = open_texts(path)
    path.write_text("a\none,two\n")

    with pytest.raises(VectorFileError, match="expected 1 cells in row 0"):
        list(source.items())
