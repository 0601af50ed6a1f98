"""vectors/formats.py: every format gives back what it was given, and says what it lacks."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from lplr_index.errors import MissingDependencyError
from lplr_index.vectors import VectorFile, open_vectors
from lplr_index.vectors.formats import FORMATS
from lplr_index.vectors.writing import write_vectors
from vector_files import DTYPES, PACKAGES, complaint, need, read_all

ANY_DTYPE = [suffix for suffix, each in FORMATS.items() if each.dtype is None]


SIZES = [(1, 1), (1, 9), (2, 3), (7, 1), (33, 5), (257, 17)]


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_every_format_gives_back_what_was_written(tmp_path, suffix, n, d, rng):
    x = rng.integers(0, 128, (n, d)).astype(np.float32)
    write_vectors(tmp_path / f"a{suffix}", x)
    with open_vectors(tmp_path / f"a{suffix}") as file:
        assert isinstance(file, VectorFile)
        assert (file.n, file.d, file.path) == (n, d, tmp_path / f"a{suffix}")
        assert file.dtype == (FORMATS[suffix].dtype or np.float32)
        y = file.read(0, n)
    assert y.dtype == np.float32
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(y, x)
    assert [each.name for each in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("suffix", ANY_DTYPE)
def test_formats_of_any_dtype_keep_it(tmp_path, suffix, dtype, rng):
    need(suffix)
    scale = 1.7 if dtype[0] == "f" else 1
    x = (rng.integers(0, 100, (29, 6)) * scale).astype(dtype)
    write_vectors(tmp_path / f"a{suffix}", x)
    with open_vectors(tmp_path / f"a{suffix}") as file:
        assert file.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(file.read(0, 29), x.astype(np.float32))


@pytest.mark.parametrize(("suffix", "dtype"), [(".ivecs", "<i4"), (".ibin", "<i4"), (".i8bin", "i1"), (".bvecs", "u1")])
def test_fixed_formats_keep_the_extremes_of_their_dtype(tmp_path, suffix, dtype):
    limits = np.iinfo(dtype)
    x = np.array([[limits.min, limits.max, 1]])
    write_vectors(tmp_path / f"a{suffix}", x)
    raw = (tmp_path / f"a{suffix}").read_bytes()
    assert raw.endswith(x.astype(dtype).tobytes())
    np.testing.assert_array_equal(read_all(tmp_path / f"a{suffix}"), x.astype(np.float32))


@pytest.mark.parametrize("content", [b"", b"\0", bytes(4), bytes(8), bytes(1000), b"\xff" * 1000, b"text\n" * 50])
def test_files_of_something_else(tmp_path, suffix, content):
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert str(tmp_path / f"a{suffix}") in complaint(tmp_path / f"a{suffix}")


def test_files_of_another_format(tmp_path, x):
    for written, read in itertools.permutations(FORMATS, 2):
        need(written)
        need(read)
        if FORMATS[written].sink is FORMATS[read].sink:
            continue
        write_vectors(tmp_path / f"a{written}", x)
        (tmp_path / f"a{written}").rename(tmp_path / f"b{read}")
        complaint(tmp_path / f"b{read}")


@pytest.mark.parametrize("suffix", PACKAGES)
def test_a_missing_package_is_named_with_its_extra(tmp_path, x, suffix, monkeypatch):
    need(suffix)
    write_vectors(tmp_path / f"a{suffix}", x)
    names = [name for name in sys.modules if name.partition(".")[0] == PACKAGES[suffix]]
    for name in {PACKAGES[suffix], *names}:
        monkeypatch.setitem(sys.modules, name, None)
    message = rf'the package {PACKAGES[suffix]}, which pip install "lplr_index\[files\]" brings'
    with pytest.raises(MissingDependencyError, match=message):
        open_vectors(tmp_path / f"a{suffix}")
    with pytest.raises(MissingDependencyError, match=message):
        write_vectors(tmp_path / f"b{suffix}", x)
    assert [each.name for each in tmp_path.iterdir()] == [f"a{suffix}"]
