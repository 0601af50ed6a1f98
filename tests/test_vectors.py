"""Embedding files: every format gives the same matrix, in bounded memory, or one error that says what is wrong."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import struct
import subprocess
import sys
import textwrap
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lplr_index.errors import InputError, MissingDependencyError, VectorFileError, WriteError
from lplr_index.vectors import VectorFile, open_vectors
from lplr_index.vectors.base import CHUNK_BYTES, choose_key, chunk_rows, draw_rows
from lplr_index.vectors.formats import FORMATS
from lplr_index.vectors.hdf5 import DEFAULT_KEY
from lplr_index.vectors.npy import HEADER_BYTES
from lplr_index.vectors.parquet import BUFFER_BYTES
from lplr_index.vectors.raw import ColumnMajor
from lplr_index.vectors.records import open_bin, open_vecs
from lplr_index.vectors.safetensors import BrainFloats
from lplr_index.vectors.sink import DEFAULT_NAME
from lplr_index.vectors.sources import natural_order
from lplr_index.vectors.writing import write_chunks, write_vectors

PACKAGES = {".hdf5": "h5py", ".h5": "h5py", ".parquet": "pyarrow"}
ANY_DTYPE = [suffix for suffix, each in FORMATS.items() if each.dtype is None]
DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
ARROW_NUMBERS = [
    *[("halffloat", "f2"), ("float", "f4"), ("double", "f8"), ("int8", "i1"), ("uint8", "u1"), ("int64", "i8")]
]
SIZES = [(1, 1), (1, 9), (2, 3), (7, 1), (33, 5), (257, 17)]
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")


@pytest.fixture(params=FORMATS)
def suffix(request):
    need(request.param)
    return request.param


@pytest.fixture
def x(rng):
    """Small integers, which every format holds exactly, all rows different."""
    return (rng.permutation(101 * 100)[: 101 * 7].reshape(101, 7) % 101).astype(np.float32)


def need(suffix):
    if suffix in PACKAGES:
        pytest.importorskip(PACKAGES[suffix])


def read_all(path, key=None):
    with open_vectors(path, key=key) as file:
        return file.read(0, file.n)


def complaint(path, key=None, *, rows=None):
    """Return the one sentence that opening and reading ``path`` ends in."""
    with pytest.raises(VectorFileError) as caught, open_vectors(path, key=key) as file:
        for _ in file.chunks(rows):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is written is read, and the other way round ---


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


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">f2", ">i2", ">u8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_numpy_files_in_either_order_and_byte_order(tmp_path, x, suffix, order, dtype):
    y = np.array(x.astype(dtype), order=order)
    path = tmp_path / f"a{suffix}"
    np.save(path, y) if suffix == ".npy" else np.savez_compressed(path, y)
    with open_vectors(path) as file:
        assert isinstance(file, ColumnMajor) == (order == "F")
        assert file.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(file.read(0, 101), x)
        np.testing.assert_array_equal(file.read(40, 57), x[40:57])
        np.testing.assert_array_equal(file.read(0, 3), x[:3])
        np.testing.assert_array_equal(np.concatenate([chunk for _, chunk in file.chunks(10)]), x)


def test_numpy_headers_of_version_two(tmp_path, x):
    with (tmp_path / "a.npy").open("wb") as stream:
        np.lib.format.write_array(stream, x, version=(2, 0))
    np.testing.assert_array_equal(read_all(tmp_path / "a.npy"), x)


def test_texmex_and_big_ann_files_made_by_hand(tmp_path, x):
    (tmp_path / "a.fvecs").write_bytes(b"".join(struct.pack("<i7f", 7, *row) for row in x))
    (tmp_path / "a.bvecs").write_bytes(b"".join(struct.pack("<i7B", 7, *row.astype(int)) for row in x))
    (tmp_path / "a.fbin").write_bytes(struct.pack("<2I", 101, 7) + x.astype("<f4").tobytes())
    (tmp_path / "a.I8BIN").write_bytes(struct.pack("<2I", 101, 7) + (x - 50).astype("i1").tobytes())
    np.testing.assert_array_equal(read_all(tmp_path / "a.fvecs"), x)
    np.testing.assert_array_equal(read_all(tmp_path / "a.bvecs"), x)
    np.testing.assert_array_equal(read_all(tmp_path / "a.fbin"), x)
    np.testing.assert_array_equal(read_all(tmp_path / "a.I8BIN"), x - 50)
    for name in ("a.fvecs", "a.bvecs", "a.fbin"):
        write_vectors(tmp_path / f"b{name[1:]}", x)
        assert (tmp_path / f"b{name[1:]}").read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("dtype", ["<f8", "<f2", ">i2"])
def test_both_families_of_records_hold_any_dtype(tmp_path, x, dtype):
    data = x.astype(dtype)
    (tmp_path / "bin").write_bytes(struct.pack("<2I", *x.shape) + data.tobytes())
    (tmp_path / "vecs").write_bytes(b"".join(struct.pack("<i", 7) + row.tobytes() for row in data))
    with open_bin(tmp_path / "bin", data.dtype) as one, open_vecs(tmp_path / "vecs", data.dtype) as other:
        np.testing.assert_array_equal(one.read(3, 101), x[3:])
        np.testing.assert_array_equal(other.read(3, 101), x[3:])


def test_numpy_reads_what_is_written(tmp_path, x):
    write_vectors(tmp_path / "a.npy", x)
    write_vectors(tmp_path / "a.npz", x)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), x)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz", allow_pickle=False)[DEFAULT_NAME], x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_library_of_safetensors_reads_what_is_written_and_writes_what_is_read(tmp_path, x, dtype):
    library = pytest.importorskip("safetensors.numpy")
    x = x.astype(dtype)
    write_vectors(tmp_path / "a.safetensors", x)
    np.testing.assert_array_equal(library.load_file(tmp_path / "a.safetensors")[DEFAULT_NAME], x)
    library.save_file({"other": x[:3], "emb": x}, tmp_path / "b.safetensors", metadata={"made": "by hand"})
    np.testing.assert_array_equal(read_all(tmp_path / "b.safetensors", "emb"), x.astype(np.float32))


def test_bfloat16_of_safetensors(tmp_path, x):
    x = x * np.float32(0.25) - 3
    x[0, 0] = 1e38
    bits = (x.view(np.uint32) >> 16).astype("<u2")
    exact = (bits.astype(np.uint32) << 16).view(np.float32)
    write_safetensors(tmp_path / "a.safetensors", "BF16", x.shape, bits.tobytes())
    with open_vectors(tmp_path / "a.safetensors") as file:
        assert isinstance(file, BrainFloats)
        assert file.dtype == np.float32
        np.testing.assert_array_equal(file.read(0, file.n), exact)
        np.testing.assert_array_equal(file.read(13, 14), exact[13:14])


def write_safetensors(path, dtype, shape, data, /, **more):
    tensor = {"dtype": dtype, "shape": list(shape), "data_offsets": [0, len(data)]} | more
    header = json.dumps({"__metadata__": {"format": "np"}, "emb": tensor}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


@pytest.mark.parametrize("options", [{}, {"chunks": (10, 3)}, {"chunks": True, "compression": "gzip", "shuffle": True}])
def test_hdf5_of_ann_benchmarks(tmp_path, x, options):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("train", data=x, **options)
        file.create_dataset("test", data=x[:5] + 1)
        file.create_dataset("group/neighbors", data=np.arange(12, dtype=np.int32).reshape(3, 4))
        file.attrs["distance"] = "angular"
    np.testing.assert_array_equal(read_all(tmp_path / "a.hdf5"), x)
    np.testing.assert_array_equal(read_all(tmp_path / "a.hdf5", "test"), x[:5] + 1)
    np.testing.assert_array_equal(read_all(tmp_path / "a.hdf5", "group/neighbors"), np.arange(12).reshape(3, 4))
    write_vectors(tmp_path / "b.h5", x)
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file[DEFAULT_KEY][:], x)


@pytest.mark.parametrize("kind", ["list", "large_list", "fixed"])
@pytest.mark.parametrize(("number", "dtype"), ARROW_NUMBERS)
@pytest.mark.parametrize("group_rows", [1, 13, 1000])
def test_parquet_lists_of_every_kind(tmp_path, x, kind, number, dtype, group_rows):
    pa = pytest.importorskip("pyarrow")
    column = pa.array(list(x.astype(dtype)), parquet_type(pa, kind, number))
    write_parquet(tmp_path / "a.parquet", {"id": list(range(101)), "emb": column}, row_group_size=group_rows)
    with open_vectors(tmp_path / "a.parquet") as file:
        assert file.dtype == dtype
        np.testing.assert_array_equal(file.read(0, 101), x)
        np.testing.assert_array_equal(file.read(99, 101), x[99:])
        np.testing.assert_array_equal(file.read(12, 14), x[12:14])
        np.testing.assert_array_equal(file.read(12, 13), x[12:13])


def parquet_type(pa, kind, number="float"):
    inner = pa.type_for_alias(number)
    return {"list": pa.list_(inner), "large_list": pa.large_list(inner), "fixed": pa.list_(inner, 7)}[kind]


def write_parquet(path, columns, **options):
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pa.table(columns), path, **options)


def test_arrow_reads_what_is_written(tmp_path, x):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_vectors(tmp_path / "a.parquet", x)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == [DEFAULT_NAME]
    np.testing.assert_array_equal(np.array(table[DEFAULT_NAME].to_pylist()), x)
    assert BUFFER_BYTES < CHUNK_BYTES


# --- ranges, chunks, samples ---


@pytest.mark.parametrize("rows", [1, 2, 50, 100, 101, 102, 10**9])
def test_chunks_are_the_matrix_in_order(tmp_path, suffix, x, rows):
    write_vectors(tmp_path / f"a{suffix}", x)
    with open_vectors(tmp_path / f"a{suffix}") as file:
        chunks = list(file.chunks(rows))
    assert [start for start, _ in chunks] == list(range(0, 101, rows))
    assert all(len(chunk) == rows for _, chunk in chunks[:-1])
    np.testing.assert_array_equal(np.concatenate([chunk for _, chunk in chunks]), x)


def test_any_range_in_any_order(tmp_path, suffix, x, rng):
    write_vectors(tmp_path / f"a{suffix}", x)
    with open_vectors(tmp_path / f"a{suffix}") as file:
        for _ in range(30):
            start, stop = np.sort(rng.integers(0, 102, 2))
            np.testing.assert_array_equal(file.read(start, stop), x[start:stop])
        assert file.read(5, 5).shape == (0, 7)


def test_the_default_chunk_is_24_megabytes(tmp_path):
    d = 1024
    n = 2 * chunk_rows(d) + 1
    sparse_fbin(tmp_path / "a.u8bin", n, d, 1)
    with open_vectors(tmp_path / "a.u8bin") as file:
        sizes = [chunk.nbytes for _, chunk in file.chunks()]
    assert sizes == [24 << 20, 24 << 20, 4 * d]


def sparse_fbin(path, n, d, itemsize):
    path.write_bytes(struct.pack("<2I", n, d))
    os.truncate(path, 8 + n * d * itemsize)


def test_a_sample_is_the_same_rows_in_every_format(tmp_path, x):
    expected = {}
    for suffix in FORMATS:
        need(suffix)
        write_vectors(tmp_path / f"a{suffix}", x)
        with open_vectors(tmp_path / f"a{suffix}") as file:
            for size in (1, 10, 60, 101):
                y = file.sample(size, 7)
                np.testing.assert_array_equal(y, x[draw_rows(101, size, 7)])
                assert expected.setdefault(size, y.tobytes()) == y.tobytes()


@pytest.mark.parametrize("layout", ["npz", "F", "gzip", "groups", "shards"])
def test_a_sample_is_the_same_rows_in_every_layout(tmp_path, rng, layout):
    """Rows far apart: some are read one by one, some with what lies between, and both give the same."""
    x = rng.standard_normal((6000, 100)).astype(np.float32)
    path = write_layout(tmp_path, x, layout)
    with open_vectors(path) as file:
        for size, seed in itertools.product((3, 40, 1000, 5999), (0, 1)):
            np.testing.assert_array_equal(file.sample(size, seed), x[draw_rows(6000, size, seed)])


def write_layout(folder, x, layout):
    if layout == "npz":
        np.savez_compressed(folder / "a.npz", x)
        return folder / "a.npz"
    if layout == "F":
        np.save(folder / "a.npy", np.asfortranarray(x))
        return folder / "a.npy"
    if layout == "gzip":
        with pytest.importorskip("h5py").File(folder / "a.h5", "w") as file:
            file.create_dataset("train", data=x, chunks=(700, 100), compression="gzip")
        return folder / "a.h5"
    if layout == "groups":
        write_parquet(folder / "a.parquet", {"emb": list(x)}, row_group_size=999)
        return folder / "a.parquet"
    for start in range(0, len(x), 1700):
        write_vectors(folder / f"part_{start}.npy", x[start : start + 1700])
    return folder


@pytest.mark.parametrize(("n", "size"), [(1, 1), (2, 1), (2, 2), (3, 2), (10, 5), (10, 6), (1000, 1), (1000, 999)])
def test_drawn_rows_are_distinct_sorted_and_inside(n, size):
    for seed in range(20):
        rows = draw_rows(n, size, seed)
        assert rows.dtype == np.int64
        assert len(rows) == size
        assert rows[0] >= 0
        assert rows[-1] < n
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(rows, draw_rows(n, size, seed))


@pytest.mark.parametrize("size", [30, 50, 51, 90])
def test_every_row_is_drawn_equally_often(size):
    draws = 3000
    counts = np.bincount(np.concatenate([draw_rows(100, size, seed) for seed in range(draws)]), minlength=100)
    expected = draws * size / 100
    deviation = np.sqrt(expected * (1 - size / 100))
    assert np.abs(counts - expected).max() < 5 * deviation


def test_a_sample_of_a_huge_file_covers_it_and_takes_little_memory():
    n = 10**12
    tracemalloc.start()
    rows = draw_rows(n, 10_000, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    counts = np.histogram(rows, bins=20, range=(0, n))[0]
    assert counts.min() > 350
    assert counts.max() < 650


def test_a_sample_reads_only_what_it_needs(tmp_path, monkeypatch):
    sparse_fbin(tmp_path / "a.fbin", 200_000, 256, 4)
    with open_vectors(tmp_path / "a.fbin") as file:
        asked = []
        read = file.read

        def spy(start, stop):
            asked.append(stop - start)
            return read(start, stop)

        monkeypatch.setattr(file, "read", spy)
        file.sample(100, 0)
        assert sum(asked) < 1000
        asked.clear()
        file.sample(50_000, 0)
        assert max(asked) <= chunk_rows(256)
        assert len(asked) < 20


def test_take_wants_increasing_rows(tmp_path, x):
    write_vectors(tmp_path / "a.npy", x)
    with open_vectors(tmp_path / "a.npy") as file:
        np.testing.assert_array_equal(file.take(np.array([3, 99])), x[[3, 99]])
        assert file.take(np.array([], dtype=np.int64)).shape == (0, 7)
        for rows in ([-1], [101], [3, 3], [3, 2], [[1]], [0.5]):
            with pytest.raises(InputError):
                file.take(np.array(rows))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda file: file.read(0, 102), "stop to be an integer from 0 to 101"),
        (lambda file: file.read(-1, 5), "start to be an integer from 0 to 5"),
        (lambda file: file.read(6, 5), "start to be an integer from 0 to 5"),
        (lambda file: file.sample(0, 0), "size to be an integer from 1 to 101"),
        (lambda file: file.sample(102, 0), "size to be an integer from 1 to 101"),
        (lambda file: file.sample(5, -1), "seed"),
        (lambda file: next(file.chunks(0)), "rows"),
    ],
)
def test_what_a_file_cannot_be_asked(tmp_path, x, call, message):
    write_vectors(tmp_path / "a.npy", x)
    with open_vectors(tmp_path / "a.npy") as file, pytest.raises(InputError, match=message):
        call(file)


def test_a_closed_file_says_so(tmp_path, suffix, x):
    write_vectors(tmp_path / f"a{suffix}", x)
    file = open_vectors(tmp_path / f"a{suffix}")
    assert "101 rows of 7" in repr(file)
    file.close()
    file.close()
    with pytest.raises(VectorFileError, match="closed"):
        file.read(0, 1)
    with pytest.raises(AttributeError):
        file.n = 3


def test_a_file_that_shrinks_while_it_is_read(tmp_path, x):
    write_vectors(tmp_path / "a.npy", x)
    with open_vectors(tmp_path / "a.npy") as file:
        os.truncate(tmp_path / "a.npy", 500)
        with pytest.raises(VectorFileError, match="bytes too early"):
            file.read(0, 101)


# --- several matrices in a file, several files in a folder ---


def write_many(path, matrices):
    if path.suffix == ".npz":
        np.savez(path, **matrices)
    elif path.suffix == ".hdf5":
        with pytest.importorskip("h5py").File(path, "w") as file:
            for name, x in matrices.items():
                file[name] = x
    elif path.suffix == ".parquet":
        write_parquet(path, {name: list(x) for name, x in matrices.items()} | {"text": ["a"] * 101})
    else:
        pytest.importorskip("safetensors.numpy").save_file(matrices, path)


@pytest.mark.parametrize("suffix", [".npz", ".hdf5", ".parquet", ".safetensors"])
def test_the_key_chooses_the_matrix(tmp_path, x, suffix):
    path = tmp_path / f"a{suffix}"
    write_many(path, {"one": x, "two": x + 1})
    np.testing.assert_array_equal(read_all(path, "one"), x)
    np.testing.assert_array_equal(read_all(path, "two"), x + 1)
    assert complaint(path).endswith("holds: one, two")
    assert "'three'" in complaint(path, "three")
    assert complaint(path, "three").endswith("holds: one, two")
    write_many(path, {"only": x})
    np.testing.assert_array_equal(read_all(path), x)


def test_the_key_is_listed_in_part_where_there_are_many():
    message = "expected a key to be one of the matrices in a, which holds: 0, 1, .*, 19, [.]{3}$"
    with pytest.raises(VectorFileError, match=message):
        choose_key(Path("a"), None, map(str, range(1000)))
    with pytest.raises(VectorFileError, match=r"holds: none$"):
        choose_key(Path("a"), None, [])


@pytest.mark.parametrize("suffix", [".npy", ".fvecs", ".fbin"])
def test_a_key_where_there_is_nothing_to_choose(tmp_path, x, suffix):
    write_vectors(tmp_path / f"a{suffix}", x)
    assert "expected no key" in complaint(tmp_path / f"a{suffix}", "emb")


def write_parts(folder, suffix, x, cuts=(0, 10, 11, 60, 101)):
    """Write the rows of ``x`` as part_0, part_1, ..., part_10, part_11: in the order of numbers, not of letters."""
    folder.mkdir(exist_ok=True)
    for number, (start, stop) in zip((1, 2, 10, 11), itertools.pairwise(cuts), strict=True):
        write_vectors(folder / f"part_{number}{suffix}", x[start:stop])
    return folder


def test_a_folder_is_one_matrix(tmp_path, suffix, x):
    folder = write_parts(tmp_path / "folder", suffix, x)
    (folder / "README.md").write_text("not vectors")
    (folder / f".hidden{suffix}").write_bytes(b"")
    (folder / f"folder{suffix}").mkdir()
    with open_vectors(folder) as file:
        assert (file.n, file.d, file.path) == (101, 7, folder)
        for start, stop in ((0, 101), (9, 12), (10, 11), (0, 10), (60, 101), (59, 60)):
            np.testing.assert_array_equal(file.read(start, stop), x[start:stop])
        assert [len(chunk) for _, chunk in file.chunks(40)] == [40, 40, 21]
        np.testing.assert_array_equal(file.sample(30, 5), x[draw_rows(101, 30, 5)])


def test_a_pattern_is_the_files_that_match_it(tmp_path, x):
    folder = write_parts(tmp_path / "folder", ".npy", x)
    write_vectors(folder / "part_1.fbin", x)
    np.testing.assert_array_equal(read_all(str(folder / "part_*.npy")), x)
    np.testing.assert_array_equal(read_all(str(folder / "part_1?.npy")), x[11:])
    np.testing.assert_array_equal(read_all(folder / "*.fbin"), x)
    np.testing.assert_array_equal(read_all(str(tmp_path / "**" / "part_[12].npy")), x[:11])


def test_a_file_whose_name_looks_like_a_pattern(tmp_path, x):
    write_vectors(tmp_path / "a[1].npy", x)
    write_vectors(tmp_path / "a1.npy", x + 1)
    np.testing.assert_array_equal(read_all(tmp_path / "a[1].npy"), x)


def test_names_in_natural_order():
    names = ["b", "a10", "a2", "a02", "a1b10", "a1b9", "a", "1", "x/9/y", "x/10/y", "a²"]
    ordered = [str(path) for path in sorted(map(Path, names), key=natural_order)]
    assert ordered == ["1", "a", "a1b9", "a1b10", "a02", "a2", "a10", "a²", "b", "x/9/y", "x/10/y"]


def test_more_files_than_a_process_may_open(tmp_path):
    resource = pytest.importorskip("resource")
    for number in range(80):
        write_vectors(tmp_path / f"{number}.u8bin", np.full((2, 3), number))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
        y = read_all(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    np.testing.assert_array_equal(y[::2, 0], np.arange(80))


def test_files_of_two_dtypes_are_one_matrix(tmp_path, x):
    write_vectors(tmp_path / "1.npy", x.astype(np.int16))
    write_vectors(tmp_path / "2.npy", x.astype(np.float16))
    with open_vectors(tmp_path) as file:
        assert file.dtype == np.float32
        np.testing.assert_array_equal(file.read(0, 202), np.concatenate([x, x]))


def test_folders_that_are_no_matrix(tmp_path, x):
    folder = write_parts(tmp_path / "folder", ".npy", x)
    write_vectors(folder / "part_3.npy", x[:, :5])
    assert "expected 7 columns" in complaint(folder)
    assert "part_3.npy" in complaint(folder)
    (folder / "part_3.npy").write_bytes(b"\x93NUMPY, or so it says")
    assert "part_3.npy" in complaint(folder)
    (folder / "part_3.npy").unlink()
    write_vectors(folder / "part_3.fvecs", x)
    assert "expected files of one suffix" in complaint(folder)
    assert "part_3.fvecs" in complaint(folder)
    (folder / "notes.txt").write_text("")
    assert "notes.txt" in complaint(folder / "n*")
    (tmp_path / "empty").mkdir()
    assert complaint(tmp_path / "empty").startswith("no such file: ")
    assert complaint(tmp_path / "*.npy").startswith("no such file: ")


def test_a_part_that_changes_under_the_reader(tmp_path, x):
    folder = write_parts(tmp_path / "folder", ".npy", x)
    with open_vectors(folder) as file:
        write_vectors(folder / "part_10.npy", x)
        np.testing.assert_array_equal(file.read(0, 11), x[:11])
        with pytest.raises(VectorFileError, match=r"expected 49 rows in .*part_10\.npy, as before, got 101"):
            file.read(0, 101)


# --- numbers that cannot be used are named by file and row ---


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 37, 100])
def test_what_is_not_finite_is_named_by_row(tmp_path, x, bad, row):
    x[row, 4] = bad
    (tmp_path / "a.fvecs").write_bytes(b"".join(struct.pack("<i7f", 7, *each) for each in x))
    (tmp_path / "a.fbin").write_bytes(struct.pack("<2I", 101, 7) + x.tobytes())
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", np.asfortranarray(x.astype(np.float16)))
    np.savez(tmp_path / "a.npz", x)
    write_safetensors(tmp_path / "a.safetensors", "F32", x.shape, x.tobytes())
    for name in ("a.fvecs", "a.fbin", "a.npy", "b.npy", "a.npz", "a.safetensors"):
        message = complaint(tmp_path / name, rows=10)
        assert message == f"expected finite float32 numbers, got {bad} in row {row}, column 4 of {tmp_path / name}"


def test_what_is_not_finite_is_named_by_row_in_containers(tmp_path, x):
    x[37, 4] = np.nan
    for suffix in (".parquet", ".hdf5"):
        write_many(tmp_path / f"a{suffix}", {"emb": x})
        assert f"got nan in row 37, column 4 of {tmp_path / f'a{suffix}'}" in complaint(
            tmp_path / f"a{suffix}", rows=10
        )


def test_what_is_not_finite_is_named_by_the_file_of_a_folder_and_its_row_there(tmp_path, x):
    folder = write_parts(tmp_path / "folder", ".npy", x)
    part = np.load(folder / "part_10.npy")
    part[5, 2] = np.nan
    np.save(folder / "part_10.npy", part)
    assert f"got nan in row 5, column 2 of {folder / 'part_10.npy'}" in complaint(folder, rows=40)


def test_a_double_too_large_for_float32_is_named(tmp_path, x):
    y = x.astype(np.float64)
    y[3, 1] = 1e300
    np.save(tmp_path / "a.npy", y)
    assert "got 1e+300 in row 3, column 1" in complaint(tmp_path / "a.npy")


# --- files that are no matrix of vectors ---

NUMPY_DEFECTS = {
    "object": (np.array([["a", 1]], dtype=object), "got dtype object"),
    "string": (np.array([["a", "b"]]), "got dtype <U1"),
    "complex": (np.ones((2, 2), np.complex64), "got dtype complex64"),
    "structured": (np.ones((2, 2), [("a", "f4"), ("b", "i2")]), "got dtype [('a', '<f4'), ('b', '<i2')]"),
    "unicode structured": (np.ones((2, 2), [("\u0416", "f4")]), "expected an npy header"),
    "datetime": (np.zeros((2, 2), "M8[s]"), "got dtype datetime64[s]"),
    "longdouble": (np.ones((2, 2), np.longdouble), "expected float or integer numbers"),
    "vector": (np.ones(5), "expected an array of shape (n, d)"),
    "cube": (np.ones((2, 3, 4)), "got shape (2, 3, 4)"),
    "scalar": (np.float32(3), "got shape ()"),
    "no rows": (np.ones((0, 4)), "got shape (0, 4)"),
    "no columns": (np.ones((4, 0)), "got shape (4, 0)"),
}


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
@pytest.mark.parametrize("name", NUMPY_DEFECTS)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_numpy_arrays_that_are_no_vectors(tmp_path, name, suffix):
    x, message = NUMPY_DEFECTS[name]
    if name == "longdouble" and x.dtype.itemsize == 8:
        pytest.skip("a long double is a double here")
    (np.save if suffix == ".npy" else np.savez)(tmp_path / f"a{suffix}", x)
    got = complaint(tmp_path / f"a{suffix}")
    assert message in got
    assert str(tmp_path / f"a{suffix}") in got


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    np.save(tmp_path / "a.npy", np.array([[Bomb()]], dtype=object), allow_pickle=True)
    assert "dtype object" in complaint(tmp_path / "a.npy")
    assert not (tmp_path / "exploded").exists()


def test_paths_that_are_no_file(tmp_path, x):
    assert complaint(tmp_path / "absent.npy") == f"no such file: {tmp_path / 'absent.npy'}"
    assert "got 3" in complaint(3)
    complaint("a\0b.npy")
    complaint("n" * 5000 + ".npy")
    write_vectors(tmp_path / "a.npy", x)
    (tmp_path / "a.npy").rename(tmp_path / "a.txt")
    assert complaint(tmp_path / "a.txt").endswith("got .txt; numpy.save makes an .npy of any array")
    (tmp_path / "a").write_bytes(b"")
    assert complaint(tmp_path / "a").endswith("got no suffix; numpy.save makes an .npy of any array")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.npy")
        assert "regular file" in complaint(tmp_path / "pipe.npy")


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


def test_a_file_cut_short_or_too_long(tmp_path, suffix, x):
    path = tmp_path / f"a{suffix}"
    write_vectors(path, x)
    whole = path.read_bytes()
    for cut in (1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        complaint(path)
    if suffix in {".npy", ".fbin", ".ibin", ".u8bin", ".i8bin", ".fvecs", ".ivecs"}:
        path.write_bytes(whole + b"\0\0\0")
        complaint(path)


def test_texmex_rows_of_unequal_length(tmp_path):
    def row(d):
        return struct.pack(f"<i{d}f", d, *range(d))

    path = tmp_path / "a.fvecs"
    path.write_bytes(row(4) * 9 + row(3) + row(4) * 5)
    assert complaint(path) == f"expected rows of 4 columns in {path}, got 3 in row 9"
    path.write_bytes(row(4) * 9 + row(3) + row(4) * 5 + row(3) * 4 + bytes(4))  # a size that whole rows would have
    assert complaint(path, rows=2) == f"expected rows of 4 columns in {path}, got 3 in row 9"
    path.write_bytes(struct.pack("<i", -4) + row(4))
    assert "got -4" in complaint(path)


@pytest.mark.parametrize("kind", ["list", "large_list", "fixed"])
@pytest.mark.parametrize("at", [0, 1, 50, 100])
def test_parquet_rows_that_are_null(tmp_path, x, kind, at):
    # Older versions neither write lists of fixed size with a null between them nor say in which row they met one.
    pa = pytest.importorskip("pyarrow", minversion="26" if kind == "fixed" else None)
    rows = x.tolist()
    rows[at] = None
    write_parquet(tmp_path / "a.parquet", {"emb": pa.array(rows, parquet_type(pa, kind))}, row_group_size=30)
    message = complaint(tmp_path / "a.parquet")
    assert "got null" in message
    assert f"row {at}" in message
    rows[at] = [1.0, None, *range(5)]
    write_parquet(tmp_path / "a.parquet", {"emb": pa.array(rows, parquet_type(pa, kind))}, row_group_size=30)
    assert f"got null among those of row {at}" in complaint(tmp_path / "a.parquet")


def test_parquet_lists_of_unequal_length(tmp_path, x):
    rows = x.tolist()
    rows[50] = rows[50][:6]
    write_parquet(tmp_path / "a.parquet", {"emb": rows}, row_group_size=30)
    path = tmp_path / "a.parquet"
    assert complaint(path) == f"expected lists of 7 in {path}, got 6 numbers in row 50"
    rows[51] += [0.0]  # as many numbers as there should be
    write_parquet(path, {"emb": rows})
    assert complaint(path) == f"expected lists of 7 in {path}, got 6 numbers in row 50"
    rows[0] = []
    write_parquet(tmp_path / "a.parquet", {"emb": rows})
    assert "row 0" in complaint(tmp_path / "a.parquet")


def test_parquet_that_is_damaged_in_the_middle_stays_an_error_there_and_readable_elsewhere(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("lplr_index.vectors.base.CHUNK_BYTES", 8 * 100 * 4 * 7)  # batches of 100 rows
    x = rng.standard_normal((1000, 7)).astype(np.float32)
    path = tmp_path / "a.parquet"
    write_parquet(path, {"emb": list(x)}, row_group_size=100, compression="none", use_dictionary=False)
    raw = path.read_bytes()
    at = raw.index(x[400].tobytes())
    path.write_bytes(raw[: at - 60] + b"\xff" * 60 + raw[at:])  # the header of the page of rows 400 to 499
    with open_vectors(path) as file:
        for _ in range(3):
            for start, stop in ((399, 402), (350, 460), (400, 500)):
                with pytest.raises(VectorFileError):
                    file.read(start, stop)
            np.testing.assert_array_equal(file.read(0, 400), x[:400])
            np.testing.assert_array_equal(file.read(390, 400), x[390:400])
            np.testing.assert_array_equal(file.read(500, 1000), x[500:])


def test_parquet_without_lists_of_numbers(tmp_path):
    pa = pytest.importorskip("pyarrow")
    write_parquet(tmp_path / "a.parquet", {"c0": [1.0, 2.0], "words": [["a"], ["b"]]})
    message = "to have a list of numbers in each row, got 2 columns of other things"
    assert complaint(tmp_path / "a.parquet").endswith(message)
    assert complaint(tmp_path / "a.parquet", "words").endswith(message)
    write_parquet(tmp_path / "a.parquet", {"emb": pa.array([], pa.list_(pa.float32()))})
    assert "no row" in complaint(tmp_path / "a.parquet")


def test_hdf5_whose_numbers_are_not_in_the_file(tmp_path, x):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.hdf5"

    def create(**options):
        with h5py.File(path, "w") as file:
            options = {"shape": (101, 7), "dtype": "f4"} | options
            dataset = file.create_dataset("train", **options)
            if "chunks" in options:
                dataset[:8] = x[:8]

    create(chunks=(8, 7))
    assert "got fewer" in complaint(path)
    create(chunks=(8, 7), compression="gzip")
    assert "got fewer" in complaint(path)
    create()
    assert "got fewer" in complaint(path)
    create(external=str(tmp_path / "elsewhere.raw"))
    assert "other files" in complaint(path)
    layout = h5py.VirtualLayout((101, 7), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "elsewhere.h5"), "train", (101, 7))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("train", layout)
    assert "other files" in complaint(path)
    create(dtype=h5py.string_dtype())
    assert "dtype object" in complaint(path)
    create(shape=(5,))
    assert "got shape (5,)" in complaint(path)
    create(shape=())
    assert "got shape ()" in complaint(path)


def test_safetensors_that_are_no_vectors(tmp_path, x):
    path = tmp_path / "a.safetensors"
    data = x.tobytes()
    for more, message in [
        ({"dtype": "F8_E4M3"}, "got dtype F8_E4M3"),
        ({"dtype": ["F32"]}, "expected dtype, shape and data_offsets"),
        ({"shape": 7}, "expected dtype, shape and data_offsets"),
        ({"shape": [707]}, "got shape [707]"),
        ({"shape": [1 << 40, 7]}, "expected"),
        ({"shape": [-101, -7]}, "got shape (-101, -7)"),
        ({"shape": [101.0, 7]}, "expected dtype, shape and data_offsets"),
        ({"data_offsets": [0, len(data) + 1]}, "to lie inside"),
        ({"data_offsets": [-8, len(data) - 8]}, "to lie inside"),
        ({"data_offsets": [8, len(data)]}, "expected"),
        ({"data_offsets": [0]}, "expected dtype, shape and data_offsets"),
    ]:
        write_safetensors(path, "F32", x.shape, data, **more)
        assert message in complaint(path)
    for header in (b"[]", b"{}", b"[" * 100_000, b'{"emb": 3}', b'{"emb": {}}', b"\xff\xff"):
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        complaint(path)


def test_archives_that_cannot_be_read(tmp_path, x):
    path = tmp_path / "a.npz"
    np.savez(tmp_path / "a.npz", x)
    path.write_bytes(path.read_bytes().replace(x[50].tobytes(), x[51].tobytes()))
    assert "CRC" in complaint(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", b"x" * 100)
    assert "stored or deflated" in complaint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"x" * 100)
    assert complaint(path).endswith("holds: none")


def lies(folder):
    """Write small files whose headers announce more than there is; yield their paths."""
    huge = [(1 << 31, 1 << 31), (1, 1 << 31), (1 << 31, 1), (1 << 28, 4)]
    for number, (n, d) in enumerate(huge):
        (folder / f"{number}.fbin").write_bytes(struct.pack("<2I", n, d) + bytes(100))
        header = str({"descr": "<f4", "fortran_order": bool(number % 2), "shape": (n, d)}).encode() + b"\n"
        npy = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(100)
        (folder / f"{number}.npy").write_bytes(npy)
        with zipfile.ZipFile(folder / f"{number}.npz", "w") as archive:
            archive.writestr("a.npy", npy)
        write_safetensors(folder / f"{number}.safetensors", "F32", (n, d), bytes(100))
        write_safetensors(folder / f"1{number}.safetensors", "F32", (n, d), b"", data_offsets=[0, 4 * n * d])
    (folder / "a.fvecs").write_bytes(struct.pack("<i", 2**31 - 1) + bytes(100))
    (folder / "a.npy").write_bytes(b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1) + b" " * (2 * HEADER_BYTES))
    (folder / "a.safetensors").write_bytes(struct.pack("<Q", 2**40) + bytes(100))
    central = bytearray((folder / "0.npz").read_bytes())
    entry = central.index(b"PK\1\2")
    struct.pack_into("<2I", central, entry + 20, 2**31, 2**31)
    (folder / "a.npz").write_bytes(central)
    yield from sorted(folder.iterdir())


def test_a_header_that_lies_allocates_nothing(tmp_path):
    paths = list(lies(tmp_path))
    assert len(paths) == 24
    complaint(paths[0])
    tracemalloc.start()
    for path in paths:
        assert str(path) in complaint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@LINUX
def test_hdf5_and_parquet_headers_that_lie_allocate_nothing(tmp_path, x):
    h5py = pytest.importorskip("h5py")
    need(".parquet")
    write_vectors(tmp_path / "a.parquet", x)
    read_all(tmp_path / "a.parquet")
    before = peak_memory_bytes()
    for number, options in enumerate(
        [{}, {"chunks": (1000, 1000)}, {"chunks": (20_000, 20_000), "compression": "gzip"}]
    ):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file.create_dataset("train", (10**6, 10**6), "f4", **options)
        assert "got fewer" in complaint(tmp_path / f"{number}.h5")
    raw = (tmp_path / "a.parquet").read_bytes()
    footer = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    for at in range(footer, len(raw) - 8):  # every byte of the footer in turn becomes a large number
        (tmp_path / "b.parquet").write_bytes(raw[:at] + b"\xfe" + raw[at + 1 :])
        with contextlib.suppress(VectorFileError):
            read_all(tmp_path / "b.parquet")
    assert peak_memory_bytes() - before < 64 << 20


def peak_memory_bytes():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


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


# --- writing ---


def test_chunks_of_any_size_make_the_same_file(tmp_path, suffix, x):
    write_vectors(tmp_path / f"a{suffix}", x)
    time.sleep(0.01 if suffix != ".npz" else 2.1)  # zip archives count time in steps of two seconds
    write_chunks(tmp_path / f"b{suffix}", (x[start : start + 13] for start in range(0, 101, 13)), 101, 7)
    if suffix == ".parquet":  # where a chunk is a row group
        np.testing.assert_array_equal(read_all(tmp_path / "b.parquet"), x)
    else:
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_file_converts_to_every_format_and_back(tmp_path, suffix, x):
    write_vectors(tmp_path / "a.npy", x)
    with open_vectors(tmp_path / "a.npy") as file:
        write_chunks(tmp_path / f"b{suffix}", (rows for _, rows in file.chunks(10)), file.n, file.d)
    with open_vectors(tmp_path / f"b{suffix}") as file:
        write_chunks(tmp_path / "c.npy", (rows for _, rows in file.chunks(10)), file.n, file.d)
    assert (tmp_path / "c.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()


def test_what_is_written_may_be_a_list_a_view_or_of_another_byte_order(tmp_path, x):
    for y in (x.tolist(), np.asfortranarray(x), x.astype(">f4"), np.repeat(x, 2, axis=1)[:, ::2]):
        write_vectors(tmp_path / "a.npy", y)
        assert np.load(tmp_path / "a.npy").dtype == np.dtype("<f4")
        np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), x)
        write_vectors(tmp_path / "a.bvecs", y)
        np.testing.assert_array_equal(read_all(tmp_path / "a.bvecs"), x)


@pytest.mark.parametrize(
    ("name", "x", "message"),
    [
        ("a.u8bin", [[0, 255], [256, 0]], "x to fit uint8, got 256 in row 1, column 0"),
        ("a.u8bin", [[0, 0.5]], "x to fit uint8, got 0.5 in row 0, column 1"),
        ("a.i8bin", [[-129, 0]], "x to fit int8, got -129"),
        ("a.ivecs", [[2**31, 0]], "x to fit int32, got 2147483648"),
        ("a.ibin", [[1e20, 0]], "x to fit int32, got 1e"),
        ("a.fbin", [[0.0, np.nan]], "got nan in row 0, column 1 of x"),
        ("a.npy", [[1e300, 0]], "got 1e[+]300 in row 0, column 0 of x"),
        ("a.npy", [1, 2], "shape"),
        ("a.npy", np.zeros((0, 3)), "n to be an integer >= 1, got 0"),
        ("a.npy", np.zeros((3, 0)), "at least one column"),
        ("a.npy", [["a", "b"]], "float or integer numbers"),
        ("a.npy", np.ones((2, 2), complex), "float or integer numbers"),
    ],
)
def test_what_a_file_cannot_hold(tmp_path, name, x, message):
    with pytest.raises(InputError, match=message):
        write_vectors(tmp_path / name, np.array(x))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 7), "expected 3 rows .* got at least 10"),
        ((102, 7), "expected 102 rows .* got 101"),
        ((101, 8), "expected x with 8 columns, got 7"),
        ((0, 7), "n to be an integer >= 1"),
        ((101, -1), "d to be an integer >= 1"),
        ((101, 7, "complex64"), "dtype to be a float or integer type, got complex64"),
        ((101, 7, "no dtype"), "dtype to be a float or integer type, got 'no dtype'"),
        ((101, 7, "float64"), None),
        ((101, 7, "uint8"), None),
        ((101, 7, "float16"), None),
    ],
)
def test_what_chunks_must_be(tmp_path, suffix, x, arguments, message):
    fixed = FORMATS[suffix].dtype
    if message is None and fixed is not None and fixed != arguments[2]:
        message = f"expected dtype {fixed} for .*, got {arguments[2]}"
    chunks = (x[start : start + 10] for start in range(0, 101, 10))
    if message is None:
        write_chunks(tmp_path / f"a{suffix}", chunks, *arguments)
        np.testing.assert_array_equal(read_all(tmp_path / f"a{suffix}"), x)
    else:
        with pytest.raises(InputError, match=message):
            write_chunks(tmp_path / f"a{suffix}", chunks, *arguments)
        assert list(tmp_path.iterdir()) == []


def test_the_row_of_a_bad_number_is_that_of_the_whole_matrix(tmp_path, x):
    x[57, 3] = 300
    with pytest.raises(InputError, match=r"got 300\.0 in row 57, column 3"):
        write_chunks(tmp_path / "a.u8bin", (x[start : start + 10] for start in range(0, 101, 10)), 101, 7)
    x[57, 3] = 1e5
    with pytest.raises(InputError, match=r"x to fit float16, got 100000\.0 in row 57, column 3"):
        write_chunks(tmp_path / "a.npy", (x[start : start + 10] for start in range(0, 101, 10)), 101, 7, "f2")


def test_chunks_that_end_in_an_error_leave_nothing(tmp_path, suffix, x):
    def chunks():
        yield x[:10]
        raise KeyboardInterrupt

    (tmp_path / f"a{suffix}").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_chunks(tmp_path / f"a{suffix}", chunks(), 101, 7)
    assert [each.name for each in tmp_path.iterdir()] == [f"a{suffix}"]
    assert (tmp_path / f"a{suffix}").read_bytes() == b"old"


def test_a_full_disk_leaves_nothing(tmp_path, suffix):
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
        with pytest.raises(WriteError, match="cannot write"):
            write_vectors(tmp_path / f"a{suffix}", np.ones((1000, 300)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written(tmp_path, x):
    with pytest.raises(WriteError, match="there is no folder"):
        write_vectors(tmp_path / "absent" / "a.npy", x)
    with pytest.raises(VectorFileError, match=r"got \.txt"):
        write_vectors(tmp_path / "a.txt", x)


def test_the_smallest_matrix_too_wide_or_long_for_its_header(tmp_path):
    with pytest.raises(InputError, match="n to be an integer from 0 to 4294967295"):
        write_chunks(tmp_path / "a.fbin", [], 2**32, 1)
    with pytest.raises(InputError, match="d to be an integer from 0 to 2147483647"):
        write_chunks(tmp_path / "a.fvecs", [], 1, 2**31)
    assert list(tmp_path.iterdir()) == []


# --- damage: 4,000 random corruptions ---

VARIANTS = [
    *[(suffix, "") for suffix in FORMATS if suffix != ".h5"],
    (".npy", "Fortran"),
    (".npz", "deflated"),
    (".hdf5", "gzip"),
    (".parquet", "lists"),
]


@pytest.mark.parametrize(("suffix", "variant"), VARIANTS)
def test_a_damaged_file_is_an_error_or_a_matrix_and_takes_no_memory(tmp_path, suffix, variant, rng):
    need(suffix)
    good = tmp_path / f"good{suffix}"
    write_variant(good, rng.integers(0, 100, (37, 5)).astype(np.float32), variant)
    content = good.read_bytes()
    read_all(good)
    before = peak_memory_bytes() if Path("/proc/self/status").exists() else None
    path = tmp_path / f"bad{suffix}"
    complaints = [message for _ in range(250) if (message := complaint_of_damaged(path, damage(content, rng)))]
    assert all(str(path) in message and "\n" not in message for message in complaints)
    assert len(complaints) >= 50  # a quarter of the damages cuts the file
    if before is not None:
        assert peak_memory_bytes() - before < 128 << 20


def complaint_of_damaged(path, content):
    """Return what is said of the file, or None where it is still a matrix; nothing but our one error may come."""
    path.write_bytes(content)
    try:
        with open_vectors(path) as file:
            for start, rows in itertools.islice(file.chunks(16), 10):
                assert rows.shape == (min(16, file.n - start), file.d)
                assert np.isfinite(rows).all()
            file.sample(min(3, file.n), 0)
    except VectorFileError as err:
        return str(err)
    return None


def write_variant(path, x, variant):
    if variant == "Fortran":
        np.save(path, np.asfortranarray(x))
    elif variant == "deflated":
        np.savez_compressed(path, x)
    elif variant == "gzip":
        with pytest.importorskip("h5py").File(path, "w") as file:
            file.create_dataset("train", data=x, chunks=(8, 5), compression="gzip", shuffle=True)
    elif variant == "lists":
        write_parquet(path, {"id": range(37), "emb": list(x)}, row_group_size=10)
    else:
        write_vectors(path, x)


def damage(content, rng):
    """Cut the file, flip bits, overwrite eight bytes, or put extreme bytes into its first 200."""
    data = bytearray(content)
    kind = rng.integers(4)
    if kind == 0:
        return data[: rng.integers(len(data))]
    if kind == 1:
        for at in rng.integers(len(data), size=rng.integers(1, 4)):
            data[at] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        at = int(rng.integers(len(data) - 8))
        data[at : at + 8] = rng.bytes(8)
    else:
        for at in rng.integers(min(200, len(data)), size=rng.integers(1, 4)):
            data[at] = int(rng.choice([0, 1, 127, 128, 255]))
    return data


# --- memory ---

READ_ALL = """
import sys
from pathlib import Path
from lplr_index.vectors import base, open_vectors

# To a file of 300 MB this is what the default is to one of 4.5 GB.
base.CHUNK_BYTES = 2 << 20

def peak_bytes():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

def read(path):
    with open_vectors(path) as file:
        file.sample(file.n // 100 + 1, 0)
        return sum(len(chunk) for _, chunk in file.chunks())

big, small = sys.argv[1:]
read(small)  # what the libraries take is not the file's
before = peak_bytes()
n = read(big)
print(n, peak_bytes() - before)
"""
FILE_BYTES = 300 << 20
BUDGET_BYTES = FILE_BYTES // 8


@LINUX
@pytest.mark.parametrize("kind", ["npy", "F.npy", "npz", "fvecs", "fbin", "safetensors", "bf16", "hdf5", "parquet"])
def test_memory_stays_an_eighth_of_the_file(tmp_path, kind):
    """Chunks and sample of 2 MB each, a file of 300 MB: what is used follows the chunk and not the file."""
    n, d = FILE_BYTES // (4 * 128), 128
    big, small = (write_big(tmp_path / name, kind, rows, d) for name, rows in (("big", n), ("small", 10)))
    command = [sys.executable, "-c", textwrap.dedent(READ_ALL), str(big), str(small)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, grown = map(int, done.stdout.split())
    assert rows == n
    assert grown < BUDGET_BYTES


def write_big(folder, kind, n, d):
    """Write a matrix of zeros, as a sparse file where the format allows."""
    folder.mkdir()
    path = folder / ("a." + {"F.npy": "npy", "bf16": "safetensors"}.get(kind, kind))
    nbytes = n * d * 4
    if kind in {"npy", "F.npy"}:
        with path.open("wb") as stream:
            header = {"descr": "<f4", "fortran_order": kind == "F.npy", "shape": (n, d)}
            np.lib.format.write_array_header_1_0(stream, header)
            stream.truncate(stream.tell() + nbytes)
    elif kind == "npz":
        np.savez_compressed(path, np.zeros((n, d), np.float32))
    elif kind == "fvecs":
        write_vectors(path, np.zeros((n, d), np.float32))
    elif kind == "fbin":
        sparse_fbin(path, n, d, 4)
    elif kind in {"safetensors", "bf16"}:
        dtype, nbytes = ("BF16", nbytes // 2) if kind == "bf16" else ("F32", nbytes)
        write_safetensors(path, dtype, (n, d), b"", data_offsets=[0, nbytes])
        os.truncate(path, path.stat().st_size + nbytes)
    elif kind == "hdf5":
        with pytest.importorskip("h5py").File(path, "w") as file:
            file.create_dataset(
                "train", data=np.zeros((n, d), np.float32), chunks=(min(n, 1000), d), compression="gzip"
            )
    else:
        lists = pytest.importorskip("pyarrow").FixedSizeListArray.from_arrays(np.zeros(n * d, np.float32), d)
        write_parquet(path, {"emb": lists}, row_group_size=n, compression="none", use_dictionary=False)
    return path
