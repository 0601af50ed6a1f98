"""Embedding files: every format gives the same matrix, in bounded memory, or one error that says what is wrong."""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lplr_index.errors import InputError, VectorFileError
from lplr_index.vectors import open_vectors
from lplr_index.vectors.base import choose_key, chunk_rows, draw_rows
from lplr_index.vectors.formats import FORMATS
from lplr_index.vectors.npy import HEADER_BYTES
from lplr_index.vectors.writing import write_vectors
from vector_files import complaint, need, read_all, write_parquet, write_parts, write_safetensors

LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")


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
