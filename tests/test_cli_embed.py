"""``lplr-index embed``: what a user with a table of texts or a folder of images gets, short of the model itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from commands import files, run, without
from embedders import Hashing, expected
from lplr_index.cli import embed
from lplr_index.cli.parser import parse

NOTES = "id,body,topic\n7,one,a\n8,,b\n9,three,a\n"
TEXT = ["embed", "text", "notes.csv", "--column", "body", "-o", "notes"]
IMAGES = ["embed", "images", "photos", "-o", "vectors"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Give the current folder, with texts and what look like images, and models that need no torch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "0")  # the command sets it, where it is not, for good
    Path("notes.csv").write_text(NOTES)
    for name in ("cats/1.png", "dogs/1.png", "dogs/2.png"):
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        Path("photos", name).write_text("" if name == "dogs/1.png" else name)
    monkeypatch.setattr(embed, "SentenceEncoder", lambda model, **_: Hashing(model=model))
    monkeypatch.setattr(embed, "image_encoder", lambda model, **_: Hashing(model=model))
    return tmp_path


def test_a_table_becomes_vectors_labels_and_a_list(folder, capsys):
    done = run(capsys, *TEXT, "--label-column", "topic", "--id-column", "id", "--json")

    assert done.status == 0
    assert done.err == (
        "warning: 1 texts left out, named in notes/manifest.json; the first is 8: expected something, got nothing\n"
    )
    facts = done.document
    assert {name: facts[name] for name in ("file", "rows", "d", "dtype", "rows_kept", "left_out")} == {
        "file": "notes/vectors.npy",
        "rows": 2,
        "d": 8,
        "dtype": "float16",
        "rows_kept": 0,
        "left_out": 1,
    }
    assert sorted(facts["files"]) == sorted(f"notes/{name}" for name in files(folder / "notes"))
    np.testing.assert_array_equal(np.load("notes/vectors.npy"), expected(["one", "three"]))
    assert Path("notes/labels.txt").read_text() == "a\na\n"
    assert Path("notes/items.csv").read_text() == "row,id,label,text\n0,7,a,one\n1,9,a,three\n"


def test_a_folder_of_images_becomes_vectors_with_its_subfolders_as_labels(folder, capsys):
    done = run(capsys, *IMAGES, "--dtype", "float32")

    assert done.status == 0
    assert re.match(
        r"vectors/vectors.npy: 2 rows of 8 float32, 0 of them kept, in [\d.]+ s; "
        r"beside it items.csv, labels.txt, manifest.json$",
        done.out.strip(),
    )
    assert "1 images left out" in done.err
    np.testing.assert_array_equal(np.load("vectors/vectors.npy"), expected(["cats/1.png", "dogs/2.png"]))
    assert Path("vectors/items.csv").read_text() == "row,id,label\n0,cats/1.png,cats\n1,dogs/2.png,dogs\n"


def test_the_result_goes_into_the_other_commands(folder, capsys):
    Path("many.csv").write_text("body,topic\n" + "".join(f"text {row},{row % 3}\n" for row in range(300)))
    assert (
        run(capsys, "embed", "text", "many.csv", "--column", "body", "--label-column", "topic", "-o", "many").status
        == 0
    )

    assert run(capsys, "build", "many/vectors.npy", "-o", "many.lplr", "--bits", "4").status == 0
    assert run(capsys, "build", "many", "-o", "same.lplr", "--bits", "4").status == 0
    assert Path("many.lplr").read_bytes() == Path("same.lplr").read_bytes()
    labels = ["--labels", "many/labels.txt", "--no-peers", "--methods", "nq", "--bits", "4", "--json"]
    assert run(capsys, "evaluate", "many/vectors.npy", *labels).document["reports"][0]["accuracy"] is not None


def test_a_second_run_keeps_everything(folder, capsys):
    run(capsys, *TEXT)
    before = files(folder)

    assert run(capsys, *TEXT, "--json").document["rows_kept"] == 2
    assert files(folder) == before


def test_damage_is_made_good_and_said(folder, capsys):
    run(capsys, *TEXT)
    before = files(folder)
    damaged = bytearray(before["notes/vectors.npy"])
    damaged[-1] ^= 1
    Path("notes/vectors.npy").write_bytes(damaged)

    assert "warning: 1 parts of an earlier run were damaged and have been made again" in run(capsys, *TEXT).err
    assert files(folder) == before


def test_quiet_says_nothing(folder, capsys):
    assert run(capsys, *TEXT, "--quiet") == (0, "", "")
    assert run(capsys, *IMAGES, "--quiet") == (0, "", "")


def test_interrupted_it_says_nothing_and_goes_on_later(folder, capsys, monkeypatch):
    Path("long.txt").write_text("".join(f"text {row}\n" for row in range(3000)))
    command = ["embed", "text", "long.txt", "-o", "long"]
    with monkeypatch.context() as patch:
        patch.setattr(embed, "SentenceEncoder", lambda model, **_: Hashing(model=model, interrupted_after=2500))
        assert run(capsys, *command) == (130, "", "")
    assert sorted(each for each in files(folder / "long") if "/" not in each) == ["parts"]

    assert run(capsys, *command, "--json").document["rows_kept"] == 2304
    np.testing.assert_array_equal(np.load("long/vectors.npy"), expected(f"text {row}" for row in range(3000)))


def test_another_model_is_refused_until_renewed(folder, capsys):
    run(capsys, *TEXT, "--model", "a")
    before = files(folder)

    complaint = run(capsys, *TEXT, "--model", "b").complaint
    assert complaint == (
        "expected model 'a', as for the vectors that are in notes, got 'b': choose another folder, or renew"
    )
    assert files(folder) == before
    assert run(capsys, *TEXT, "--model", "b", "--renew").status == 0


BAD = [
    (["text", "absent.csv", "-o", "o"], "no such file: absent.csv"),
    (["text", "notes.csv", "-o", "o"], r"expected one of the columns of notes.csv \(id, body, topic\), got no column"),
    (["text", "notes.csv", "--column", "x", "-o", "o"], "expected one of the columns of notes.csv .*, got 'x'"),
    (["text", "notes.csv", "--column", "body", "-o", "notes.csv"], "cannot write notes.csv"),
    (["text", "photos", "-o", "photos/o"], "expected an output outside of the input, got photos/o in photos"),
    (["images", "photos", "-o", "photos"], "expected an output outside of the input, got photos in photos"),
    (["images", "notes.csv", "-o", "o"], "expected a folder of images, got notes.csv"),
    (["images", "absent", "-o", "o"], "expected a folder of images, got absent"),
    (["text", "notes.csv"], "the following arguments are required: -o/--output"),
    (["text", "notes.csv", "--layer", "x", "-o", "o"], "unrecognized arguments: --layer x"),
    (["text", "notes.csv", "--pooling", "x", "-o", "o"], "argument --pooling: invalid choice: 'x'"),
    (["sounds", "x", "-o", "o"], "argument KIND: invalid choice: 'sounds'"),
    ([], "the following arguments are required: KIND"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_and_leaves_nothing(folder, capsys, monkeypatch, arguments, words):
    monkeypatch.setattr(embed, "embed", lambda *_, **__: pytest.fail("the work began"))
    before = files(folder)

    complaint = run(capsys, "embed", *arguments).complaint

    assert re.match(words, complaint), complaint
    assert files(folder) == before


@pytest.mark.parametrize(("command", "packages"), [(TEXT, ["sentence_transformers"]), (IMAGES, ["torch"])])
def test_a_missing_package_is_named_with_its_extra(folder, capsys, monkeypatch, command, packages):
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    without(monkeypatch, *packages)

    complaint = run(capsys, *command).complaint

    extra = "text" if command is TEXT else "image"
    assert re.match(rf'expected the package {packages[0]}, which pip install "lplr_index\[{extra}\]" brings', complaint)
    assert not Path("notes").exists()
    assert not Path("vectors").exists()


@pytest.mark.parametrize("example", [embed.EXAMPLE, embed.IMAGES_EXAMPLE])
def test_the_examples_of_both_kinds_parse(example):
    assert parse(example.split()[1:]).run is embed.run


def test_the_options_reach_the_models(folder, monkeypatch):
    asked = []
    for name in ("SentenceEncoder", "image_encoder"):
        monkeypatch.setattr(embed, name, lambda *args, **options: asked.append((args, options)))
    text = [*TEXT, "--model", "m", "--pooling", "cls", "--tokens", "9", "--batch", "8", "--device", "cpu"]
    images = [*IMAGES, "--model", "m", "--layer", "x.0", "--stretch", "--batch", "8", "--device", "cpu"]
    for command in (text, images):
        options = parse(command)
        options.encoder(options)

    both = {"batch": 8, "device": "cpu"}
    assert asked == [
        (("m",), {"pooling": "cls", "tokens": 9, **both}),
        (("m",), {"layer": "x.0", "stretch": True, **both}),
    ]


def test_the_document_is_all_there_is_on_stdout(folder, capsys):
    assert json.loads(run(capsys, *IMAGES, "--json").out)["left_out"] == 1
