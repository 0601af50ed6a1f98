"""Damaged files for every reader: each must read them as they are, or raise an error of this package.

    python tests/fuzzing.py [--inputs N] [--seed S] [READER ...]

Prints, for each reader, how many inputs were read, how many refused, and whatever else was raised. It is run as a
process of its own, because a library that reads a damaged file may take its process with it.
"""

from __future__ import annotations

import argparse
import json
import signal
import struct
import sys
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lplr_index import (
    IndexIVFLPLR,
    IndexLPLR,
    IndexRefineLPLR,
    decode_factors,
    factorize,
    open_vectors,
    read_index,
    write_factors,
    write_index,
    write_vectors,
)
from lplr_index.coarse import Coarse
from lplr_index.container import MAGIC
from lplr_index.embedding.images import load_image, open_images
from lplr_index.embedding.parts import as_part, read_document, write_document
from lplr_index.embedding.texts import open_texts
from lplr_index.errors import LPLRError
from lplr_index.evaluation import read_json
from lplr_index.training import train_lists
from lplr_index.vectors.formats import FORMATS

Seeds = Callable[[Path], None]
Reader = Callable[[Path], object]

SECONDS = 20  # that one input may take
NUMBERS = (0, 1, 2, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64 - 1)
WORDS = (b"NaN", b"-1", b"1e999", b"null", b"true", b"[]", b"{}", b'""', b"[" * 2000, b"\xff\xfe", b"\0", b",", b"\n")


# --- What is read -----------------------------------------------------------------------------------------------------


def matrix() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, (20, 8)).astype(np.float32)


def write_matrix(path: Path) -> None:
    dtype = FORMATS[path.suffix].dtype
    write_vectors(path, matrix() if dtype is None else matrix().astype(dtype))


def read_vectors(path: Path) -> None:
    with open_vectors(path) as source:
        for _ in source.chunks(7):
            pass
        source.sample(3, 0)


def write_texts(path: Path) -> None:
    rows = [{"text": f'a "text", number {row}', "label": "ab"[row % 2], "id": str(row)} for row in range(12)]
    if path.suffix == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    elif path.suffix == ".txt":
        path.write_text("".join(row["text"] + "\n" for row in rows), "utf-8")
    else:
        between = "\t" if path.suffix == ".tsv" else ","
        lines = [between.join(rows[0]), *(between.join(f'"{row["id"]}"' for _ in row) for row in rows)]
        path.write_text("\n".join(lines), "utf-8")


def read_texts(path: Path) -> None:
    columns = {} if path.suffix == ".txt" else {"column": "text", "label_column": "label", "id_column": "id"}
    for item in open_texts(path, **columns).items():
        _ = item.content


def trained(method: str) -> IndexLPLR:
    index = IndexLPLR(8, 4, "l2", method)
    index.train(np.random.default_rng(1).standard_normal((60, 8)))
    index.add_with_ids(matrix(), np.arange(20) * 3)
    return index


def write_refined(path: Path) -> None:
    index = IndexRefineLPLR(IndexLPLR(8, 4), refine_bits=4)
    index.train(np.random.default_rng(1).standard_normal((60, 8)))
    index.add(matrix() + 1)
    write_index(index, path)


def write_lists(path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((60, 8)).astype(np.float32)
    settings = IndexLPLR(8, 4, "l2").settings
    model = train_lists(x, settings, Coarse(x[:3].copy(), "l2"))
    index = IndexIVFLPLR.of_lists(settings, model, None, 3, 2)
    index.add_with_ids(matrix(), np.arange(20) * 3)
    write_index(index, path)


def read_and_search(path: Path) -> None:
    for mmap in (True, False):
        index = read_index(path, mmap=mmap)
        index.search(matrix()[:2], 3)
        index.reconstruct_n(0, min(2, index.ntotal))


def read_signed(path: Path) -> None:
    """Read an index whose checksums have been made right again, so that what they guard is looked at."""
    data = bytearray(path.read_bytes())
    if len(data) > 24 and data[:8] == MAGIC:
        length = min(struct.unpack_from("<I", data, 12)[0], len(data) - 24)
        struct.pack_into("<II", data, 12, length, zlib.crc32(data[24 : 24 + length]))
        struct.pack_into("<I", data, 20, zlib.crc32(data[:20]))
        path.write_bytes(data)
    read_and_search(path)


def write_picture(path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)).save(path)


def read_picture(path: Path) -> None:
    for item in open_images(path.parent).items():
        load_image(item.content)


def read_manifest(path: Path) -> None:
    for part in read_document(path).get("parts") or []:
        as_part(part)


def write_manifest(path: Path) -> None:
    part = {"key": "0-ab", "rows": 3, "sha256": "ab" * 32, "left_out": [[1, "why"]]}
    write_document(path, {"settings": {"model": "minilm"}, "parts": [part, part]})


READERS: dict[str, tuple[str, Seeds, Reader]] = {
    **{suffix[1:]: (f"x{suffix}", write_matrix, read_vectors) for suffix in FORMATS},
    **{f"texts {s}": (f"x.{s}", write_texts, read_texts) for s in ("csv", "tsv", "jsonl", "txt", "parquet")},
    "picture png": ("x.png", write_picture, read_picture),
    "picture jpeg": ("x.jpg", write_picture, read_picture),
    "embedding manifest": ("manifest.json", write_manifest, read_manifest),
    "index auto": ("x.lplr", lambda path: write_index(trained("auto"), path), read_and_search),
    "index lsvd": ("x.lplr", lambda path: write_index(trained("lsvd"), path), read_and_search),
    "index refined": ("x.lplr", write_refined, read_and_search),
    "index signed": ("x.lplr", lambda path: write_index(trained("auto"), path), read_signed),
    "index in lists": ("x.lplr", write_lists, read_and_search),
    "index in lists, signed": ("x.lplr", write_lists, read_signed),
    "index refined, signed": ("x.lplr", write_refined, read_signed),
    "factors": ("x.npz", lambda path: write_factors(factorize(matrix(), rank=3), path), decode_factors),
    "results": ("x.json", lambda path: path.write_bytes(RESULTS.read_bytes()), read_json),
}
"""By name: the file, what writes a whole one, and what reads it."""

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "newsgroups-thorough.json"


# --- How it is damaged ------------------------------------------------------------------------------------------------


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes of a file after one to three accidents."""
    data = bytearray(whole)
    for _ in range(rng.integers(1, 4)):
        ACCIDENTS[rng.integers(len(ACCIDENTS))](data, rng)
    return bytes(data)


def place(data: bytearray, rng: np.random.Generator) -> int:
    """Return somewhere in a file, half of the time near its start or its end, where most of the structure is."""
    near = min(len(data), 256)
    where = rng.integers(4)
    if where == 0:
        return int(rng.integers(near + 1))
    if where == 1:
        return len(data) - int(rng.integers(near + 1))
    return int(rng.integers(len(data) + 1))


def cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[place(data, rng) :]


def flip(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(1 << rng.integers(4)):
        if data:
            data[min(place(data, rng), len(data) - 1)] ^= 1 << rng.integers(8)


def overwrite(data: bytearray, rng: np.random.Generator) -> None:
    start, size = place(data, rng), int(rng.integers(1, 33))
    data[start : start + size] = rng.bytes(size) if rng.random() < 0.5 else bytes([rng.integers(256)]) * size


def renumber(data: bytearray, rng: np.random.Generator) -> None:
    start, size = place(data, rng), int(rng.choice([1, 2, 4, 8]))
    number = int(rng.choice(len(NUMBERS)))
    data[start : start + size] = (NUMBERS[number] % 256**size).to_bytes(size, "little")


def reword(data: bytearray, rng: np.random.Generator) -> None:
    start, word = place(data, rng), WORDS[rng.integers(len(WORDS))]
    data[start : start + int(rng.integers(len(word) + 1))] = word


def repeat(data: bytearray, rng: np.random.Generator) -> None:
    start, size = place(data, rng), int(rng.integers(1, 65))
    data[place(data, rng) : 0] = data[start : start + size]


def leave_out(data: bytearray, rng: np.random.Generator) -> None:
    start = place(data, rng)
    del data[start : start + int(rng.integers(1, 65))]


ACCIDENTS = (cut, flip, overwrite, renumber, reword, repeat, leave_out)


# --- Running ----------------------------------------------------------------------------------------------------------


def fuzz(name: str, inputs: int, seed: int, folder: Path) -> dict[str, object]:
    """Read ``inputs`` damaged files; the last one is left in the folder."""
    file, write, read = READERS[name]
    path = folder / file
    write(path)
    whole = path.read_bytes()
    read(path)  # which is fine
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    outcomes: Counter[str] = Counter()
    untyped: dict[str, str] = {}
    for _ in range(inputs):
        data = damaged(whole, rng)
        path.write_bytes(data)
        signal.alarm(SECONDS)
        try:
            read(path)
            outcomes["read"] += 1
        except LPLRError:
            outcomes["refused"] += 1
        except Exception as err:  # noqa: BLE001 -- which is what is looked for
            outcomes["untyped"] += 1
            untyped.setdefault(f"{type(err).__name__}: {err}"[:300], data.hex())
        signal.alarm(0)
    path.unlink()
    return {"reader": name, "inputs": inputs, **outcomes, "errors": untyped}


def too_slow(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"an input took more than {SECONDS} s")


def main() -> None:
    """Fuzz and print a line in JSON for each reader."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("readers", nargs="*", default=list(READERS), help="which; all by default")
    parser.add_argument("--inputs", type=int, default=1000, help="damaged files for each reader (1000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, too_slow)
    warnings.simplefilter("ignore")
    for name in options.readers:
        with tempfile.TemporaryDirectory() as folder:
            said = fuzz(name, options.inputs, options.seed, Path(folder))
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
