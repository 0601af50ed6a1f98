"""originals.py: rows of a matrix wherever it lies, and whether it is still the same."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lplr_index import write_vectors
from lplr_index.errors import ChecksumError, InputError, UnsupportedError, VectorFileError
from lplr_index.originals import Originals, spread_rows

FILES = ["x.npy", "x.fvecs", "x.fbin", "x.npz"]


@pytest.fixture
def x(rng):
    return rng.standard_normal((1000, 24)).astype(np.float32)


@pytest.mark.parametrize("name", FILES)
def test_rows_of_a_file(tmp_path, rng, x, name):
    write_vectors(tmp_path / name, x)
    originals = Originals(tmp_path / name)

    assert (originals.n, originals.d, originals.code_size) == (1000, 24, 0)
    for chosen in (rng.integers(1000, size=77), np.arange(0), np.array([999]), np.array([5, 5, 4])):
        np.testing.assert_array_equal(originals.rows(chosen), x[chosen])
        assert originals.rows(chosen).dtype == np.float32


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "|i1", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_every_kind_of_npy(tmp_path, rng, x, dtype, order):
    stored = np.asarray(np.abs(x) * 10, dtype, order=order)
    np.save(tmp_path / "x.npy", stored)
    chosen = rng.integers(1000, size=77)

    for originals in (Originals(tmp_path / "x.npy"), Originals(stored), Originals(stored.tolist())):
        np.testing.assert_array_equal(originals.rows(chosen), stored[chosen].astype(np.float32))


def test_several_files_and_chosen_matrices(tmp_path, x):
    write_vectors(tmp_path / "part_1.npy", x[:300])
    write_vectors(tmp_path / "part_2.npy", x[300:])
    np.savez(tmp_path / "two.npz", a=x[:5], b=x)

    for originals in (Originals(str(tmp_path / "part_*.npy")), Originals(tmp_path / "two.npz", "b")):
        np.testing.assert_array_equal(originals.rows(np.array([998, 0, 299, 300])), x[[998, 0, 299, 300]])


@pytest.mark.parametrize("name", ["x.npy", "x.fbin"])
def test_a_file_is_not_copied_into_memory(tmp_path, name):
    write_vectors(tmp_path / name, np.zeros((100_000, 64), np.float32))  # 25.6 MB
    tracemalloc.start()
    originals = Originals(tmp_path / name)
    originals.rows(np.arange(0, 100_000, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2_000_000


def test_an_array_is_not_copied(x):
    tracemalloc.start()
    Originals(x.astype(np.float16)).rows(np.arange(10))
    held = Originals(x)
    x[3] = 7
    assert (held.rows(np.array([3])) == 7).all()
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["x.npy", "x.fvecs"])
def test_threads_share_a_file(tmp_path, x, name):
    write_vectors(tmp_path / name, x)
    originals = Originals(tmp_path / name)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: originals.rows(np.array([row, 999 - row])), range(500)))

    for row, pair in enumerate(found):
        np.testing.assert_array_equal(pair, x[[row, 999 - row]])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("name", ["x.npy", "x.fvecs"])
def test_a_forked_child_reads_by_itself(tmp_path, x, name):
    """Parent and child read at the same time; with one place in the file for both they would get each other's rows."""
    write_vectors(tmp_path / name, x)
    np.save(tmp_path / "expected.npy", x)
    script = """
        import os, sys
        import numpy as np
        from lplr_index.originals import Originals

        originals, expected = Originals(sys.argv[1]), np.load(sys.argv[2])
        originals.rows(np.arange(10))
        child = os.fork()
        rows = np.random.default_rng(child > 0).integers(1000, size=(3000, 2))
        same = all(np.array_equal(originals.rows(each), expected[each]) for each in rows)
        if not child:
            os._exit(0 if same else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), same)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / name), str(tmp_path / "expected.npy")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert done.stdout.split() == ["0", "True"]


@pytest.mark.parametrize(
    "source", [np.zeros(5), np.float32(3), np.zeros((2, 3, 4)), np.zeros((2, 0)), [["a"]], object()]
)
def test_what_is_no_matrix(source):
    with pytest.raises(InputError, match="expected originals"):
        Originals(source)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(VectorFileError, match="no such file"):
        Originals(tmp_path / "x.npy")


@pytest.mark.parametrize("name", ["x.npy", "x.fvecs", None])
def test_a_row_that_is_not_finite_is_named(tmp_path, x, name):
    x[471, 3] = np.nan
    if name == "x.fvecs":
        write_vectors(tmp_path / name, np.nan_to_num(x))
        data = bytearray((tmp_path / name).read_bytes())
        data[471 * 100 + 4 + 12 : 471 * 100 + 4 + 16] = np.float32(np.nan).tobytes()
        (tmp_path / name).write_bytes(data)
    elif name:
        np.save(tmp_path / name, x)
    originals = Originals(tmp_path / name if name else x)

    assert originals.rows(np.array([0, 1])).shape == (2, 24)
    with pytest.raises((InputError, VectorFileError), match="got nan in row 471, column 3"):
        originals.rows(np.array([500, 471, 2]))


def test_ids_are_row_numbers(x):
    originals = Originals(x)

    originals.check_ids(np.array([0, 999, 5]))
    for wrong in (-1, 1000):
        with pytest.raises(InputError, match=f"expected ids from 0 to 999, row numbers of originals .*, got {wrong}"):
            originals.check_ids(np.array([3, wrong]))


# Known again


def test_a_fingerprint_is_of_the_numbers_and_not_of_the_file(tmp_path, x):
    prints = []
    for name in FILES:
        write_vectors(tmp_path / name, x)
        prints.append(Originals(tmp_path / name).fingerprint())

    assert len({(each.n, each.d, each.sample_crc32, each.crc32) for each in prints}) == 1
    assert [each.path for each in prints] == [str(tmp_path / name) for name in FILES]
    for name in FILES:
        Originals(tmp_path / name).check(prints[0], whole=True)
    Originals(x).check(prints[0], whole=True)


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        (lambda x: x[::-1], False),
        (lambda x: np.roll(x, 1, axis=0), False),
        (lambda x: x * np.float32(1.001), False),
        (lambda x: x + np.float32(1e-3) * (np.arange(1000) == 500)[:, None], True),
    ],
)
def test_changes_are_noticed(tmp_path, x, change, whole):
    np.save(tmp_path / "x.npy", x)
    expected = Originals(tmp_path / "x.npy").fingerprint()
    np.save(tmp_path / "x.npy", change(x).astype(np.float32))
    changed = Originals(tmp_path / "x.npy")

    with pytest.raises(
        ChecksumError, match=r"x\.npy to hold the vectors it held when the index was written, got others"
    ):
        changed.check(expected, whole=True)
    if whole:
        assert 500 not in spread_rows(1000)
        changed.check(expected, whole=False)
    else:
        with pytest.raises(ChecksumError, match="they were changed"):
            changed.check(expected, whole=False)


@pytest.mark.parametrize("shape", [(999, 24), (1001, 24), (1000, 23)])
def test_another_shape_is_noticed(tmp_path, rng, x, shape):
    np.save(tmp_path / "x.npy", x)
    expected = Originals(tmp_path / "x.npy").fingerprint()

    with pytest.raises(ChecksumError, match=f"expected 1000 rows of 24 in .*, got {shape[0]} of {shape[1]}"):
        Originals(rng.standard_normal(shape)).check(expected, whole=False)


def test_an_array_has_no_path_to_be_written(x):
    with pytest.raises(UnsupportedError, match="whose path an index file can hold, got an array in memory"):
        Originals(x).fingerprint()


@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 5000, 10**9])
def test_rows_to_look_at(n):
    chosen = spread_rows(n)

    assert chosen.tolist() == [j * (n - 1) // max(1, min(n, 256) - 1) for j in range(min(n, 256))]
    assert (chosen[0], chosen[-1]) == (0, n - 1)
    assert (np.diff(chosen) > 0).all()
