"""What a command says and where, and files and folders that it may write."""

from __future__ import annotations

import io
import json
import warnings

import pytest

from lplr_index.cli.output import Terminal, check_output, output_folder, say
from lplr_index.errors import InputError, WriteError


@pytest.mark.parametrize("as_json", [False, True])
def test_results_go_to_stdout_as_text_or_as_one_document(capsys, as_json):
    Terminal(json=as_json).result({"n": 3}, ["three", "rows"])

    out, err = capsys.readouterr()
    assert err == ""
    assert (json.loads(out) == {"n": 3}) if as_json else (out == "three\nrows\n")


def test_what_is_said_beside_results_is_one_line_on_stderr(capsys):
    terminal = Terminal()
    terminal.warn("two\nlines")
    terminal.error("no\nfile")

    assert capsys.readouterr() == ("", "warning: two lines\nerror: no file\n")


def test_quiet_leaves_results_and_errors(capsys):
    terminal = Terminal(quiet=True)
    terminal.warn("unexpected")
    terminal.done({}, ["saved"])
    terminal.error("no file")
    terminal.lines(["found"])

    assert capsys.readouterr() == ("found\n", "error: no file\n")


def test_warnings_are_said_when_all_went_well_and_else_the_error_alone(capsys):
    terminal = Terminal()
    with terminal.warnings_as_lines():
        warnings.warn("odd", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: odd\n"

    @terminal.warnings_as_lines()
    def fail():
        warnings.warn("odd", UserWarning, stacklevel=1)
        raise InputError("expected another")

    with pytest.raises(InputError):
        fail()
    assert capsys.readouterr().err == ""


def test_what_a_stream_cannot_show_is_escaped():
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    say(["\u00e9"], stream)

    assert stream.buffer.getvalue() == b"\\xe9\n"


@pytest.mark.parametrize("given", ["x.npy", ".", "*.npy"])
def test_an_output_is_none_of_the_inputs(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.npy").write_bytes(b"1")

    with pytest.raises(InputError, match=r"expected an output other than the input, got x.npy for both"):
        check_output("x.npy", None, given)
    check_output("y.npy", given)
    assert not (tmp_path / "y.npy").exists()


def test_folders_that_were_made_for_nothing_go(tmp_path):
    (tmp_path / "there").mkdir()

    with pytest.raises(InputError), output_folder(str(tmp_path / "there" / "a" / "b")):
        raise InputError("expected another")
    assert [*tmp_path.rglob("*")] == [tmp_path / "there"]
    with output_folder(str(tmp_path / "there" / "a")) as folder:
        assert folder.is_dir()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"1")

    with pytest.raises(WriteError, match="cannot write"), output_folder(str(tmp_path / "file" / "a")):
        pass
