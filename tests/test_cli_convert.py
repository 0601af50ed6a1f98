"""``lplr-index convert``: the numbers stay what they are, or the command says which does not."""

from __future__ import annotations

import numpy as np
import pytest

from commands import files, run
from lplr_index import open_vectors
from lplr_index.cli.convert import EXACT_BELOW, _kept
from lplr_index.vectors import base
from lplr_index.vectors.formats import FORMATS


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(path):
    with open_vectors(path) as file:
        return file.dtype, file.read(0, file.n)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_goes_into_every_format_and_back(capsys, rng, suffix, monkeypatch):
    pytest.importorskip({".hdf5": "h5py", ".h5": "h5py", ".parquet": "pyarrow"}.get(suffix, "numpy"))
    monkeypatch.setattr(base, "CHUNK_BYTES", 4 * 6 * 10)
    x = rng.integers(0, 100, (37, 6)).astype(np.float16)
    np.save("x.npy", x)

    there = run(capsys, "convert", "x.npy", f"y{suffix}", "--json").document
    assert run(capsys, "convert", f"y{suffix}", "z.npy", "--dtype", "float16").status == 0

    expected = FORMATS[suffix].dtype or np.dtype(np.float16)
    assert content(f"y{suffix}")[0] == expected
    assert (there["rows"], there["d"], there["dtype"]) == (37, 6, expected.name)
    np.testing.assert_array_equal(np.load("z.npy"), x)


@pytest.mark.parametrize(
    ("held", "kept"),
    [
        ("f2", "f2"),
        ("f4", "f4"),
        ("f8", "f4"),
        (">f4", "f4"),
        (">f8", "f4"),
        ("u1", "u1"),
        (">i2", "i2"),
        ("i8", "i8"),
        ("?", "?"),
    ],
)
def test_the_type_is_kept_but_for_what_float32_cannot_hold(capsys, held, kept):
    np.save("x.npy", np.arange(12).reshape(4, 3).astype(held))

    assert run(capsys, "convert", "x.npy", "y.npy").status == 0

    y = np.load("y.npy")
    assert y.dtype == _kept(np.dtype(held)) == np.dtype(kept)
    np.testing.assert_array_equal(y, np.load("x.npy"))


@pytest.mark.parametrize("dtype", ["u4", "i4", "i8"])
def test_integers_that_float32_skips_are_refused(capsys, here, dtype):
    x = np.arange(30).reshape(10, 3).astype(dtype)
    x[4, 1] = EXACT_BELOW - 1
    np.save("x.npy", x)
    assert run(capsys, "convert", "x.npy", "y.npy").status == 0
    np.testing.assert_array_equal(np.load("y.npy"), x)
    (here / "y.npy").unlink()
    x[7, 2] = EXACT_BELOW + 1
    np.save("x.npy", x)

    complaint = run(capsys, "convert", "x.npy", "y.npy").complaint

    assert complaint.startswith("expected integers below 16777216 in x.npy, which float32 holds exactly, got 16777216")
    assert complaint.endswith("in row 7")
    assert list(files(here)) == ["x.npy"]


def test_a_folder_becomes_one_file(capsys, here):
    (here / "parts").mkdir()
    for part in range(3):
        np.save(f"parts/part_{part}.npy", np.full((2, 3), part, np.float32))

    assert run(capsys, "convert", "parts", "all.fvecs").out.startswith("all.fvecs: 6 rows of 3 float32, 96 bytes, in ")
    assert content("all.fvecs")[1][:, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_numbers_that_do_not_fit_are_named(capsys, here):
    np.save("x.npy", np.array([[1, 2], [70000, 4]], np.float32))

    for target, *options in (["y.npy", "--dtype", "float16"], ["y.u8bin"]):
        complaint = run(capsys, "convert", "x.npy", target, *options).complaint
        assert complaint.startswith("cannot convert x.npy: expected x to fit ")
        assert complaint.endswith("got 70000.0 in row 1, column 0")
    assert list(files(here)) == ["x.npy"]
