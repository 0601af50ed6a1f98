"""An index built chunk by chunk is the index of the whole matrix, in memory that does not follow the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lplr_index import IndexLPLR, open_vectors, serialize_index, write_vectors
from lplr_index.building import build_index, naming_zero_rows
from lplr_index.errors import InputError, VectorFileError, ZeroVectorWarning
from lplr_index.training import TRAIN_ROWS
from lplr_index.vectors import base

LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
METHODS = ["auto", "lplr", "nq"]


@pytest.fixture
def x(make_vectors):
    return make_vectors(700, 16, intrinsic=6)


@pytest.fixture
def path(tmp_path, x):
    write_vectors(tmp_path / "x.npy", x)
    return tmp_path / "x.npy"


@pytest.fixture
def small_chunks(monkeypatch):
    """Cut the file into chunks of 100 rows, which are no multiple of the blocks of 32 rows."""
    monkeypatch.setattr(base, "CHUNK_BYTES", 4 * 16 * 100)


def built(path, index, **options):
    with open_vectors(path) as source:
        build_index(source, index, **options)
    return index


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("method", METHODS)
def test_the_index_is_that_of_the_whole_matrix(path, x, small_chunks, metric, method):
    at_once = IndexLPLR(16, 3, metric, method, seed=5)
    with open_vectors(path) as source:
        at_once.train(source.sample(300, 5))
    at_once.add(x)

    by_chunks = built(path, IndexLPLR(16, 3, metric, method, seed=5), train_rows=300, threads=2)

    np.testing.assert_array_equal(serialize_index(by_chunks), serialize_index(at_once))


def test_rows_keep_the_ids_they_are_given(path, x, small_chunks):
    ids = np.random.default_rng(1).permutation(10_000)[:700]
    at_once = IndexLPLR(16, 4)
    at_once.train(x)
    at_once.add_with_ids(x, ids)

    by_chunks = built(path, IndexLPLR(16, 4), ids=ids)

    np.testing.assert_array_equal(serialize_index(by_chunks), serialize_index(at_once))


def test_a_trained_index_is_filled_and_what_it_holds_stays(path, x, small_chunks):
    index = IndexLPLR(16, 4)
    index.train(x[:200])
    index.add(x[:50])
    expected = index.sa_encode(np.concatenate([x[:50], x]))
    stages = []

    built(path, index, progress=lambda stage, *_: stages.append(stage))

    np.testing.assert_array_equal(index.rows.codes(0, 750), expected)
    assert set(stages) == {"adding"}


def test_progress_counts_rows_up_to_the_last(path, small_chunks):
    told = []

    built(path, IndexLPLR(16, 4), progress=lambda *news: told.append(news))

    assert told == [("sampling", 0, 0), ("training", 0, 0), *(("adding", done, 700) for done in range(0, 701, 100))]


def test_a_file_of_less_rows_than_asked_for_is_trained_on_whole(path, x):
    index = IndexLPLR(16, 4)
    index.train(x)

    assert built(path, IndexLPLR(16, 4)).model.digest == index.model.digest


@pytest.mark.parametrize(
    ("d", "options", "words"),
    [
        (15, {}, "to have 15 columns, as the index has, got 16"),
        (16, {"train_rows": 0}, f"train_rows to be an integer from 1 to {TRAIN_ROWS}, got 0"),
        (16, {"train_rows": TRAIN_ROWS + 1}, f"from 1 to {TRAIN_ROWS}, got {TRAIN_ROWS + 1}"),
        (16, {"threads": 0}, "threads to be an integer >= 1"),
        (16, {"ids": np.arange(699)}, "expected 700 ids, got 699"),
        (16, {"ids": np.arange(700) % 699}, "distinct ids, got 0 twice"),
        (16, {"ids": np.arange(700) - 1}, "got -1"),
        (16, {"ids": np.linspace(0, 1, 700)}, "one-dimensional integer"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(path, d, options, words, monkeypatch):
    monkeypatch.setattr(base.VectorFile, "read", lambda *_: pytest.fail("the file was read"))

    with pytest.raises(InputError, match=words):
        built(path, IndexLPLR(d, 4), **options)


@pytest.mark.parametrize("train_rows", [1, 700], ids=["while adding", "while sampling"])
@pytest.mark.parametrize("row", [0, 99, 100, 101, 699])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_named_by_its_row_in_the_file(tmp_path, x, small_chunks, row, bad, train_rows):
    x[row, 3] = bad
    np.save(tmp_path / "bad.npy", x)

    with pytest.raises(VectorFileError, match=rf"got {bad} in row {row}, column 3 of .*bad\.npy$"):
        built(tmp_path / "bad.npy", IndexLPLR(16, 4), train_rows=train_rows)


def test_in_a_folder_the_row_is_that_of_the_part(tmp_path, x, small_chunks):
    x[450, 0] = np.nan
    (tmp_path / "parts").mkdir()
    for part in range(3):
        np.save(tmp_path / "parts" / f"part_{part}.npy", x[250 * part : 250 * (part + 1)])

    with pytest.raises(VectorFileError, match=r"got nan in row 200, column 0 of .*part_1\.npy$"):
        built(tmp_path / "parts", IndexLPLR(16, 4))


def test_rows_of_length_zero_are_named_once_by_their_row_in_the_file(tmp_path, x, small_chunks):
    x[[250, 251, 602]] = 0
    np.save(tmp_path / "zeros.npy", x)

    with pytest.warns(ZeroVectorWarning) as caught:
        index = built(tmp_path / "zeros.npy", IndexLPLR(16, 4))

    named = f"3 vectors in {tmp_path / 'zeros.npy'} have length zero, row 250 first"
    assert [str(each.message) for each in caught] == [f"{named}; under cosine they score 0 with everything"]
    D, I = index.search(x[:1], 700)
    assert D[0][np.isin(I[0], [250, 251, 602])].tolist() == [0, 0, 0]


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_rows_of_length_zero_are_nothing_special_but_under_cosine(tmp_path, x, metric):
    x[3] = 0
    np.save(tmp_path / "zeros.npy", x)

    assert built(tmp_path / "zeros.npy", IndexLPLR(16, 4, metric)).ntotal == 700  # warnings are errors here


def test_rows_of_length_zero_go_by_the_numbers_given(path):
    with open_vectors(path) as source, pytest.warns(ZeroVectorWarning, match="2 vectors .* row 9 first"):  # noqa: SIM117
        with naming_zero_rows(source, cosine=True) as look:
            look(np.array([4, 9, 12]), np.array([[1], [0], [0]], np.float32))


BUILD = """
import sys
from pathlib import Path
from lplr_index import IndexLPLR, open_vectors
from lplr_index.building import build_index

def peak_bytes():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

def build(path):
    with open_vectors(path) as source:
        index = IndexLPLR(source.d)
        build_index(source, index)
    return index.ntotal

big, small = sys.argv[1:]
build(small)  # what Python, numba and kernels take is not the file's
before = peak_bytes()
print(build(big), peak_bytes() - before)
"""
FILE_BYTES = 512 << 20
BUDGET_BYTES = FILE_BYTES // 4


@LINUX
def test_memory_stays_a_quarter_of_the_file(tmp_path, make_vectors):
    # 7 training samples of 16 MB are what the command's help promises to stay below; packed rows are 16 MB more.
    rows, d = FILE_BYTES // 256, 64
    block = make_vectors(1 << 14, d)
    small, big = tmp_path / "small.npy", tmp_path / "big.fbin"
    np.save(small, block[:1000])
    with big.open("wb") as stream:
        stream.write(np.array([rows, d], "<u4").tobytes())
        for _ in range(rows >> 14):
            stream.write(block.tobytes())

    done = subprocess.run([sys.executable, "-c", BUILD, big, small], capture_output=True, text=True, check=True)
    big.unlink()

    built_rows, grown_bytes = map(int, done.stdout.split())
    assert built_rows == rows
    assert grown_bytes < BUDGET_BYTES
