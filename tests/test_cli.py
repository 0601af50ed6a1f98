"""The command line: what it says, where it says it, and that bad input ends in one line and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import lplr_index
from commands import COMMAND, environment, files, run, run_apart, without
from lplr_index import IndexLPLR, read_index, write_index, write_vectors
from lplr_index.cli import build, compress, convert, demo, evaluate, info, main, search, verify
from lplr_index.cli.output import Terminal, check_output, output_folder, say
from lplr_index.cli.parser import COMMANDS, parse
from lplr_index.cli.progress import Bars
from lplr_index.errors import InputError, WriteError

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="these devices and folders are Linux's")
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and pipes are not Windows's")


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory, vectors):
    """Make a folder with vectors, queries, an index and files of every kind of badness, for tests that change none."""
    path = tmp_path_factory.mktemp("shared")
    with contextlib.chdir(path):
        fill(vectors)
    return path


@pytest.fixture
def folder(shared_folder, tmp_path, monkeypatch):
    """Give a copy of the shared folder, as the current one."""
    shutil.copytree(shared_folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(vectors):
    """Fill the current folder."""
    write_vectors("x.npy", vectors.xb)
    write_vectors("q.npy", vectors.xq)
    index = IndexLPLR(48, 1)
    index.train(vectors.xt)
    index.add(vectors.xb)
    write_index(index, "x.lplr")
    whole = Path("x.lplr").read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(next(iter(index.rows)).flat[0][:64].tobytes())] ^= 4
    bad = np.array(vectors.xb)
    bad[777, 7] = np.nan
    np.save("nan.npy", bad)
    bad[777, 7] = -np.inf
    np.save("inf.npy", bad)
    np.save("narrow.npy", vectors.xb[:, :47])
    np.save("empty.npy", vectors.xb[:0])
    np.save("object.npy", np.array([[1, "a"]], dtype=object))
    np.save("flat.npy", vectors.xb[0])
    np.save("text.npy", np.array([["a"]]))
    np.save("few.npy", np.arange(999))
    np.save("twice.npy", np.arange(1000) // 2)
    np.save("mask.npy", np.ones(999, bool))
    Path("words.txt").write_text("one\ntwo\n", "utf-8")
    Path("words.png").write_text("one", "utf-8")
    Path("cut.npy").write_bytes(Path("x.npy").read_bytes()[:-1])
    Path("cut.lplr").write_bytes(whole[:-1])
    Path("flipped.lplr").write_bytes(flipped)
    for name in ("parts", "mixed", "wide"):
        Path(name).mkdir()
    for name in ("mixed/a.npy", "mixed/b.npz", "wide/a.npy"):
        write_vectors(name, vectors.xq)
    np.save("wide/b.npy", vectors.xq[:, :47])
    np.save("parts/part_1.npy", vectors.xb[:500])
    np.save("parts/part_2.npy", bad[500:])


# --- bad input: one line, status 2, nothing left behind, whatever the command ---

BAD_VECTORS = [
    ("absent.npy", "no such file: absent.npy"),
    ("absent/*.npy", r"no such file: absent/\*\.npy holds or matches no file of vectors"),
    ("nan.npy", "expected finite float32 numbers, got nan in row 777, column 7 of nan.npy"),
    ("inf.npy", "expected finite float32 numbers, got -inf in row 777, column 7 of inf.npy"),
    ("parts", "expected finite float32 numbers, got -inf in row 277, column 7 of parts/part_2.npy"),
    ("empty.npy", r"expected at least one row and one column in empty.npy, got shape \(0, 48\)"),
    ("object.npy", "expected float or integer numbers in object.npy, got dtype object"),
    ("flat.npy", r"expected an array of shape \(n, d\) in flat.npy, got shape \(48,\)"),
    ("text.npy", "expected float or integer numbers in text.npy, got dtype <U1"),
    ("cut.npy", "expected cut.npy to hold 192128 bytes"),
    ("words.txt", "expected words.txt to end in one of .npy"),
    ("x.lplr", "expected x.lplr to end in one of .npy"),
    ("mixed", "expected files of one suffix in mixed, got mixed/b.npz and mixed/a.npy"),
    ("wide", "expected 48 columns in wide/b.npy, as in wide/a.npy, got 47"),
]
BAD_INDEXES = [
    ("absent.lplr", "cannot read absent.lplr: No such file or directory"),
    ("parts", "cannot read parts: Is a directory"),
    ("x.npy", "x.npy: expected an index file, which starts with"),
    ("cut.lplr", "cut.lplr: expected .* bytes after the header, got"),
]
BAD_OUTPUTS = [
    ("absent/o.{suffix}", "cannot write absent/o.{suffix}: there is no folder"),
    ("parts", "cannot write parts: it is there and is not a regular file"),
    ("x.npy/o.{suffix}", "cannot write x.npy/o.{suffix}: there is no folder"),
    ("/proc/self/o.{suffix}", "cannot write /proc/self/o.{suffix}: "),
]
BAD = [
    *((["build", name, "-o", "o.lplr"], words) for name, words in BAD_VECTORS),
    *(
        (["build", "x.npy", "-o", name.format(suffix="lplr")], words.format(suffix="lplr"))
        for name, words in BAD_OUTPUTS
    ),
    (["build", "x.npy", "-o", "x.npy"], "expected an output other than the input, got x.npy for both"),
    (["build", "x.npy"], "the following arguments are required: -o/--output"),
    (["build", "x.npy", "-o", "o.lplr", "--bits", "0"], "expected bits to be a number above 0, at most 8, got 0.0"),
    (["build", "x.npy", "-o", "o.lplr", "--bits", "9"], "expected bits to be a number above 0, at most 8, got 9.0"),
    (["build", "x.npy", "-o", "o.lplr", "--bits", "nan"], "expected bits to be a number above 0, at most 8, got nan"),
    (["build", "x.npy", "-o", "o.lplr", "--bits", "0.1"], "expected at least .* bits for d = 48"),
    (["build", "x.npy", "-o", "o.lplr", "--bits", "one"], "argument --bits: invalid float value: 'one'"),
    (["build", "x.npy", "-o", "o.lplr", "--factory", "PQ48"], "expected a description such as LPLR1.0, .* got 'PQ48'"),
    (["build", "x.npy", "-o", "o.lplr", "--factory", "NQ4", "--bits", "1"], "expected --factory or --bits, got both"),
    (["build", "x.npy", "-o", "o.lplr", "--metric", "hamming"], "argument --metric: invalid choice: 'hamming'"),
    (["build", "x.npy", "-o", "o.lplr", "--method", "pq"], "argument --method: invalid choice: 'pq'"),
    (
        ["build", "x.npy", "-o", "o.lplr", "--method", "lplr", "--rank", "49"],
        "expected rank to be an integer from 1 to 48",
    ),
    (["build", "x.npy", "-o", "o.lplr", "--rank", "4"], "expected rank and nbits only for lplr"),
    (["build", "x.npy", "-o", "o.lplr", "--seed", "-1"], "expected seed to be an integer from 0"),
    (["build", "x.npy", "-o", "o.lplr", "--threads", "0"], "expected threads to be an integer >= 1, got 0"),
    (["build", "x.npy", "-o", "o.lplr", "--train-rows", "0"], "expected train_rows to be an integer from 1"),
    (["build", "x.npy", "-o", "o.lplr", "--key", "a"], "expected no key for x.npy"),
    (["build", "x.npy", "-o", "o.lplr", "--ids", "few.npy"], "expected 1000 ids, got 999"),
    (["build", "x.npy", "-o", "o.lplr", "--ids", "twice.npy"], "expected distinct ids, got 0 twice"),
    (["build", "x.npy", "-o", "o.lplr", "--ids", "words.txt"], "cannot read words.txt: invalid literal for int"),
    (["build", "x.npy", "-o", "o.lplr", "--ids", "x.npy"], "expected one value a row in x.npy, got shape"),
    (["build", "x.npy", "-o", "o.lplr", "--ids", "absent"], "no such file: absent"),
    *((["search", name, "q.npy", "-o", "o.npz"], words) for name, words in BAD_INDEXES),
    (["search", "flipped.lplr", "q.npy"], "flipped.lplr: expected section blocks to match its checksum"),
    *((["search", "x.lplr", name, "-o", "o.npz"], words) for name, words in BAD_VECTORS),
    *(
        (["search", "x.lplr", "q.npy", "-o", name.format(suffix="npz")], words.format(suffix="npz"))
        for name, words in BAD_OUTPUTS
    ),
    (["search", "x.lplr", "narrow.npy"], "expected narrow.npy to have 48 columns, as x.lplr has, got 47"),
    (["search", "x.lplr", "q.npy", "-k", "0"], "expected k to be an integer from 1 to 2147483647, got 0"),
    (["search", "x.lplr", "q.npy", "-k", "1e3"], "argument -k: invalid int value: '1e3'"),
    (["search", "x.lplr", "q.npy", "-k", "10000000000000000000000"], "expected k to be an integer from 1"),
    (["search", "x.lplr", "q.npy", "-o", "o.csv"], "expected results in a file that ends in one of .npz"),
    (["search", "x.lplr", "q.npy", "-o", "q.npy"], "expected an output other than the input"),
    (["search", "x.lplr", "q.npy", "-o", "x.lplr"], "expected an output other than the input"),
    (["search", "x.lplr", "q.npy", "--threads", "-2"], "expected threads to be an integer >= 1, got -2"),
    (["search", "x.lplr", "q.npy", "--filter-ids", "mask.npy"], "expected a mask over 1000 rows"),
    (["search", "x.lplr", "q.npy", "--filter-ids", "text.npy"], "expected one value a row in text.npy"),
    *((["info", name], words) for name, words in BAD_INDEXES),
    *((["verify", name], words) for name, words in BAD_INDEXES),
    (["verify", "flipped.lplr"], "flipped.lplr: expected section blocks to match its checksum"),
    *((["convert", name, "o.fvecs"], words) for name, words in BAD_VECTORS),
    *(
        (["convert", "x.npy", name.format(suffix="fbin")], words.format(suffix="fbin"))
        for name, words in BAD_OUTPUTS
        if "." in name
    ),
    (["convert", "x.npy", "o.txt"], "expected o.txt to end in one of .npy"),
    (["convert", "x.npy", "x.npy"], "expected an output other than the input"),
    (["convert", "x.npy", "o.ibin"], "cannot convert x.npy: expected x to fit int32, got .* in row 0, column 0"),
    (
        ["convert", "x.npy", "o.fbin", "--dtype", "float16"],
        "cannot convert x.npy: expected dtype float32 for o.fbin, got float16",
    ),
    (["convert", "x.npy", "o.npy", "--dtype", "complex"], "argument --dtype: invalid choice: 'complex'"),
    *((["advise", name, "--bytes", "9"], words) for name, words in BAD_VECTORS),
    *((["advise", "x.npy", "--bytes", "9", "--queries", name], words) for name, words in BAD_VECTORS),
    *((["compress", name, "--bits", "1"], words) for name, words in BAD_VECTORS),
    (["compress", "x.npy"], "one of the arguments --bits --bits-per-pixel is required"),
    (["compress", "x.npy", "--bits-per-pixel", "1"], "expected --bits for x.npy, got --bits-per-pixel"),
    (["compress", "a.png", "--bits", "1"], "expected --bits-per-pixel for a.png, got --bits"),
    (["compress", "a.png", "--bits-per-pixel", "1"], "no such file: a.png"),
    (
        ["compress", "words.png", "--bits-per-pixel", "1", "-o", "o"],
        "cannot compress words.png: expected an image, got",
    ),
    (["compress", "a.png", "--bits-per-pixel", "33"], "expected --bits-per-pixel above 0, at most 32, got 33"),
    (["compress", "a.png", "--bits-per-pixel", "1", "--patch", "1"], "expected patch to be 0, or an integer from 2"),
    (["compress", "x.npy", "--bits", "1", "--patch", "8"], "expected --patch for a picture, got x.npy"),
    (["compress", "x.npy", "--bits", "0"], "expected --bits above 0, at most 32, got 0"),
    (["compress", "x.npy", "--bits", "1", "--methods", "pq"], "expected methods among lplr, .*, got pq"),
    (["compress", "x.npy", "--bits", "1", "--nbits", "9"], "expected nbits to be one of 1, 2, .*, got 9"),
    (["compress", "x.npy", "--bits", "1", "--seed", "-1"], "expected seed to be an integer >= 0, got -1"),
    (["compress", "x.npy", "--bits", "1", "-o", "x.npy"], "cannot write x.npy"),
    (["report", "absent.json"], "cannot read absent.json: No such file or directory"),
    (["report", "x.npy"], "expected a sweep as write_json writes it in x.npy"),
    *((["evaluate", name, "-o", "new/report"], words) for name, words in BAD_VECTORS),
    *((["evaluate", "x.npy", "--queries", name], words) for name, words in BAD_VECTORS),
    (["evaluate", "x.npy", "-o", "x.npy"], "cannot write x.npy: "),
    (["evaluate", "x.npy", "-o", "/proc/self/report"], "cannot write /proc/self/report: "),
    (["evaluate", "x.npy", "--queries", "narrow.npy"], "expected narrow.npy to have 48 columns, as x.npy has, got 47"),
    (["evaluate", "x.npy", "--bits", "1,0"], "expected bits above 0, at most 8, got 0"),
    (["evaluate", "x.npy", "--bits", "1;2"], "argument --bits: invalid numbers value: '1;2'"),
    (["evaluate", "x.npy", "--methods", "auto,pq"], "expected methods among auto, lplr, lsvd, dsvd, nq, got pq"),
    (["evaluate", "x.npy", "-k", "0"], "expected k to be an integer >= 1, got 0"),
    (["evaluate", "x.npy", "--rows", "0"], "expected rows to be an integer >= 1, got 0"),
    (["evaluate", "x.npy", "--threads", "0"], "expected threads to be an integer >= 1, got 0"),
    (["evaluate", "x.npy", "--seed", "-1"], "expected seed to be an integer >= 0, got -1"),
    (
        ["evaluate", "x.npy", "--labels", "few.npy"],
        "expected 1000 labels in few.npy, one for each row of x.npy, got 999",
    ),
    (["evaluate", "x.npy", "--labels", "absent"], "no such file: absent"),
    (["evaluate", "x.npy", "--query-labels", "few.npy"], "expected --queries with --query-labels, got none"),
    (
        ["evaluate", "x.npy", "--queries", "q.npy", "--labels", "twice.npy"],
        "expected --labels and --query-labels together",
    ),
    (["demo", "-o", "x.npy"], "cannot write x.npy: "),
    (["demo", "-o", "/proc/self/demo"], "cannot write /proc/self/demo: "),
    (["embed", "text", "absent.csv", "-o", "new"], "no such file: absent.csv"),
    (["embed", "images", "x.npy", "-o", "new"], "expected a folder of images, got x.npy"),
    (["embed", "text", "words.txt", "-o", "x.npy"], "cannot write x.npy: "),
    (["warmup", "x.npy"], "unrecognized arguments: x.npy"),
    ([], "the following arguments are required: COMMAND"),
    (["serve"], "argument COMMAND: invalid choice: 'serve'"),
    (["info", "x.lplr", "--bit", "1"], "unrecognized arguments: --bit 1"),
]


@LINUX
@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_and_leaves_nothing(shared_folder, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(shared_folder)
    before = files(shared_folder)

    complaint = run(capsys, *arguments).complaint

    assert re.match(words, complaint), complaint
    assert files(shared_folder) == before


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in BAD if arguments][::7])
def test_bad_input_is_no_json_document(folder, capsys, arguments):
    assert run(capsys, *arguments, "--json", "--quiet").complaint


def test_every_command_has_its_bad_input():
    assert {arguments[0] for arguments, _ in BAD if arguments} >= {
        module.__name__.rpartition(".")[2] for module in COMMANDS
    }


@pytest.mark.parametrize(
    ("arguments", "work"),
    [
        (["build", "x.npy", "-o", "absent/o.lplr"], (build, "build_index")),
        (["search", "x.lplr", "q.npy", "-o", "absent/o.npz"], (search, "read_index")),
        (["search", "x.lplr", "q.npy", "-o", "o.ibin"], (search, "search_file")),
        (["convert", "x.npy", "absent/o.npy"], (convert, "open_vectors")),
        (["evaluate", "x.npy", "-o", "x.npy"], (evaluate, "open_vectors")),
        (["compress", "x.npy", "--bits", "1", "-o", "x.npy"], (compress, "open_vectors")),
        (["demo", "-o", "x.npy"], (demo, "sweep")),
    ],
)
def test_the_output_is_tried_before_the_work(folder, capsys, monkeypatch, arguments, work):
    if "o.ibin" in arguments:  # ids too large for the format count as such an output
        index = read_index("x.lplr")
        index.add_with_ids(np.ones((1, 48)), [1 << 31])
        write_index(index, "x.lplr")
    monkeypatch.setattr(*work, lambda *_, **__: pytest.fail("the work began"))

    assert run(capsys, *arguments).complaint


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (["search", "x.lplr", "q.npy", "-o", "o.hdf5"], "h5py", "files"),
        (["search", "x.lplr", "q.npy", "-o", "o.parquet"], "pyarrow", "files"),
        (["convert", "x.npy", "o.hdf5"], "h5py", "files"),
        (["build", "x.parquet", "-o", "o.lplr"], "pyarrow", "files"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(folder, capsys, monkeypatch, arguments, package, extra):
    Path("x.parquet").write_bytes(b"PAR1")
    without(monkeypatch, package)
    before = files(folder)

    complaint = run(capsys, *arguments).complaint

    assert f"expected the package {package}" in complaint
    assert f'pip install "lplr_index[{extra}]"' in complaint
    assert files(folder) == before


def test_a_name_with_a_line_break_is_still_one_line(folder, capsys):
    assert run(capsys, "info", "a\nb.lplr").complaint == "cannot read a b.lplr: No such file or directory"


def test_too_little_memory_is_one_line(folder, capsys, monkeypatch):
    def starve(*_args, **_options):
        raise MemoryError("Unable to allocate 8 TiB")

    monkeypatch.setattr(search, "search_file", starve)

    assert run(capsys, "search", "x.lplr", "q.npy").complaint == "not enough memory: Unable to allocate 8 TiB"


def test_an_error_of_ours_is_not_hidden(folder, capsys, monkeypatch):
    monkeypatch.setattr(info, "describe", lambda *_: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        main(["info", "x.lplr"])


# --- interruption ---


@pytest.mark.parametrize("place", [(build, "write_index"), (build, "build_index"), (build, "check_output")])
def test_an_interrupted_build_leaves_nothing_and_says_nothing(folder, capsys, monkeypatch, place):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(*place, interrupt)
    before = files(folder)

    assert run(capsys, "build", "x.npy", "-o", "o.lplr") == (130, "", "")
    assert files(folder) == before


def test_a_disk_that_fills_up_leaves_the_old_file(folder, capsys, monkeypatch):
    Path("o.lplr").write_bytes(b"old")
    before = files(folder)

    def fill(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill)

    assert run(capsys, "build", "x.npy", "-o", "o.lplr").complaint == "cannot write o.lplr: No space left on device"
    assert files(folder) == before


@POSIX
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_writing_leaves_nothing_and_says_nothing(tmp_path, number, status):
    rows, d = 1 << 24, 64
    with (tmp_path / "big.fbin").open("wb") as stream:  # 4 GB of zeros, which take no room
        stream.write(np.array([rows, d], "<u4").tobytes())
        stream.truncate(8 + 4 * rows * d)
    (tmp_path / "out").mkdir()
    command = [*COMMAND, "convert", str(tmp_path / "big.fbin"), str(tmp_path / "out" / "o.npy")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "out").iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out, err) == (status, "", "")
    assert files(tmp_path / "out") == {}


def test_main_runs_in_any_thread_and_gives_signals_back(folder, capsys):
    handlers = [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)]
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(main(["info", "x.lplr"])))
    thread.start()
    thread.join()

    assert statuses == [main(["info", "x.lplr"])] == [0]
    assert [signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)] == handlers


@POSIX
@pytest.mark.parametrize("arguments", [["search", "x.lplr", "q.npy", "--json"], ["--help"], ["build", "--help"]])
def test_a_reader_that_leaves_is_no_reason_to_complain(folder, arguments):
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        err = process.stderr.read()

    assert (process.returncode, err) == (141, "")


@LINUX
def test_an_output_that_is_full_is_one_line(folder):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "info", "x.lplr"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr == "error: cannot write to <stdout>: No space left on device\n"


# --- what is said, and where ---


def test_the_program_runs_as_a_module_and_knows_its_version():
    assert run_apart("--version") == (0, f"lplr-index {lplr_index.__version__}\n", "")


def test_bad_input_in_a_process_of_its_own(folder):
    assert run_apart("build", "absent.npy", "-o", "o.lplr").complaint == "no such file: absent.npy"


@pytest.mark.parametrize("module", COMMANDS)
def test_help_of_a_command_shows_an_example_that_parses(capsys, module):
    name = module.__name__.rpartition(".")[2]
    done = run(capsys, name, "--help")

    assert done.status == 0
    assert f"example:\n  {module.EXAMPLE}" in done.out
    words = [word.strip("'") for word in module.EXAMPLE.partition("&&")[0].split()]
    assert words[:2] == ["lplr-index", name]
    assert parse(words[1:]).run is module.run


def test_help_names_every_command(capsys):
    done = run(capsys, "--help")

    assert done.status == 0
    for name in (
        "embed",
        "build",
        "search",
        "info",
        "verify",
        "advise",
        "evaluate",
        "report",
        "compress",
        "convert",
        "warmup",
        "demo",
    ):
        assert re.search(rf"^    {name} +\w", done.out, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "x.npy", "-o", "o.lplr"],
        ["convert", "x.npy", "o.npz"],
        ["search", "x.lplr", "q.npy", "-o", "o.npz"],
        ["verify", "x.lplr"],
    ],
)
def test_quiet_says_nothing_where_the_result_is_a_file(folder, capsys, arguments):
    assert run(capsys, *arguments, "--quiet") == (0, "", "")
    done = run(capsys, *arguments)
    assert len(done.out.splitlines()) == 1
    assert arguments[-1] in done.out
    assert done.err == ""
    assert run(capsys, *arguments, "--json", "--quiet").document["file"] == arguments[-1]


def test_info_says_what_is_in_the_file(folder, capsys):
    size = Path("x.lplr").stat().st_size
    index = read_index("x.lplr")

    facts = run(capsys, "info", "x.lplr", "--json").document
    text = run(capsys, "info", "x.lplr").out

    assert facts["rows"] == 1000
    assert (facts["d"], facts["metric"], facts["method"], facts["seed"]) == (48, "cosine", "auto", 0)
    assert (facts["row_bytes"], facts["id_bytes"], facts["bits"]) == (6, 0, 1)
    assert facts["file_bytes"] == size == facts["fixed_bytes"] + 1000 * 6
    assert facts["compression"] == 1000 * 48 * 4 / size
    assert facts["training"] == index.model.digest
    columns = {float(bits): count for bits, count in facts["columns_by_bits"].items()}
    assert sum(columns.values()) == facts["rank"] == index.model.codec.m
    spent = sum(bits * count for bits, count in columns.items())
    assert spent + 8 * facts["centroid_bytes"] + facts["gain_bits"] == pytest.approx(8 * 6, rel=0.01)
    for said in ("1,000", "cosine", "auto", "bytes a row   6", f"{size:,}", index.model.digest, "gain          4 bits"):
        assert said in text


def test_info_counts_the_bytes_of_ids(folder, capsys, vectors):
    index = read_index("x.lplr")
    index.remove_ids([3])
    write_index(index, "gap.lplr")
    size = Path("gap.lplr").stat().st_size

    facts = run(capsys, "info", "gap.lplr", "--json").document

    assert (facts["id_bytes"], facts["row_bytes"], facts["fixed_bytes"]) == (8, 14, size - 999 * 14)
    assert "14, 8 of them its id" in run(capsys, "info", "gap.lplr").out


def test_info_of_an_index_that_is_not_trained(folder, capsys):
    write_index(IndexLPLR(48, 2, "l2"), "new.lplr")

    assert "auto, not trained" in run(capsys, "info", "new.lplr").out
    facts = run(capsys, "info", "new.lplr", "--json").document
    assert (facts["trained"], facts["rows"], facts["rank"], facts["columns_by_bits"]) == (False, 0, None, {})


def test_a_verification_may_be_interrupted(folder, capsys, monkeypatch):
    def interrupt(_path):
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "verify_index", interrupt)

    assert run(capsys, "verify", "x.lplr") == (130, "", "")


def test_info_does_not_read_the_rows_and_verify_does(folder, capsys):
    assert run(capsys, "info", "flipped.lplr").status == 0
    assert run(capsys, "verify", "flipped.lplr").complaint
    size = Path("x.lplr").stat().st_size
    assert run(capsys, "verify", "x.lplr", "--json").document == {
        "file": "x.lplr",
        "rows": 1000,
        "lists": 0,
        "file_bytes": size,
        "valid": True,
    }
    assert run(capsys, "verify", "x.lplr").out == f"x.lplr: whole and unchanged, 1,000 rows in {size:,} bytes\n"


def test_a_warning_is_one_line_and_quiet_leaves_it_out(capsys):
    def warn(terminal):
        with terminal.warnings_as_lines():
            warnings.warn("something\nodd", UserWarning, stacklevel=1)
            warnings.warn("something\nodd", UserWarning, stacklevel=1)
        return capsys.readouterr()

    assert warn(Terminal()) == ("", "warning: something odd\n" * 2)
    assert warn(Terminal(quiet=True)) == ("", "")


def test_what_a_stream_cannot_show_is_escaped(tmp_path):
    with (tmp_path / "out").open("w", encoding="ascii", newline="\n") as stream:
        say(["gr\u00fcn \udcff"], stream)

    assert (tmp_path / "out").read_bytes() == b"gr\\xfcn \\udcff\n"


def test_an_output_folder_is_made_and_goes_again_if_it_stays_empty(tmp_path):
    with output_folder(str(tmp_path / "a" / "b")) as folder:
        assert folder.is_dir()
    with pytest.raises(InputError), output_folder(str(tmp_path / "c" / "d")):
        raise InputError("no")
    with pytest.raises(InputError), output_folder(str(tmp_path / "e")):
        raise (tmp_path / "e" / "kept").write_bytes(b"") or InputError("no")
    with pytest.raises(WriteError, match=r"cannot write .*kept"), output_folder(str(tmp_path / "e" / "kept")):
        pytest.fail("the block ran")

    assert sorted(files(tmp_path)) == ["a", "a/b", "e", "e/kept"]


def test_an_output_is_not_one_of_the_inputs_by_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.npy").write_bytes(b"")
    Path("link.npy").symlink_to("a.npy")

    check_output("b.npy", "a.npy", "*.npy", "absent", ".", None)
    for name in ("a.npy", "./a.npy", "link.npy"):
        for source in ("a.npy", "*.npy", ".", str(tmp_path)):
            with pytest.raises(InputError, match="other than the input"):
                check_output(name, "b.npy", source)


# --- progress ---


def on_a_terminal(arguments, **more):
    """Run a command whose stderr is a terminal; return its status, its stdout and what the terminal got."""
    ours, theirs = pytest.importorskip("pty").openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment(TERM="xterm", **more)
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += (piece := os.read(ours, 1 << 16))
            except OSError:  # how Linux ends a terminal
                break
            if not piece:
                break
        out = process.stdout.read()
    os.close(ours)
    return process.returncode, out, seen.decode()


@POSIX
def test_a_terminal_sees_progress_and_a_pipe_does_not(folder):
    pytest.importorskip("rich")
    arguments = ["build", "x.npy", "-o", "o.lplr"]

    status, out, seen = on_a_terminal(arguments)

    assert status == 0
    assert out.startswith("o.lplr: 1,000 rows")
    for said in ("training", "adding", "100%", "rows/s", "left"):
        assert said in seen
    assert on_a_terminal([*arguments, "--quiet"]) == (0, "", "")
    assert run_apart(*arguments).err == ""


@POSIX
def test_without_rich_there_is_no_progress_and_nothing_else_changes(folder, tmp_path):
    (tmp_path / "rich.py").write_text("raise ImportError('hidden')", "utf-8")

    status, out, seen = on_a_terminal(["build", "x.npy", "-o", "o.lplr"], PYTHONPATH=str(tmp_path))

    assert (status, seen) == (0, "")
    assert out.startswith("o.lplr: 1,000 rows")


def test_bars_follow_the_stages(monkeypatch):
    pytest.importorskip("rich")
    with Bars(visible=True, unit="rows") as bars:
        bars("training", 0, 0)
        bars("adding", 0, 10)
        bars("adding", 5, 10, "more")
        training, adding = bars._display.tasks
        assert training.finished
        assert (adding.description, adding.completed, adding.total) == ("adding more", 5, 10)
        assert re.fullmatch(r"[\d,.]+ rows/s", adding.fields["rate"])
    assert Bars(visible=False, unit="rows")("adding", 1, 2) is None
