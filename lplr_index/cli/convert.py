"""Convert embedding files into each other.

The suffixes tell the formats: .npy .npz .fvecs .ivecs .bvecs .fbin .ibin .u8bin .i8bin .hdf5 .h5 .parquet
.safetensors. A folder or a pattern of files becomes one file. Files may be larger than memory.
Numbers are read as float32 and keep their type where the format can hold it; float64 becomes float32.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lplr_index.arrays import FloatMatrix
from lplr_index.building import Progress
from lplr_index.cli.options import add_key
from lplr_index.cli.output import Terminal, check_output
from lplr_index.errors import InputError, VectorFileError
from lplr_index.vectors import VectorFile, open_vectors, write_chunks
from lplr_index.vectors.formats import format_of

EXAMPLE = "lplr-index convert 'parts/*.parquet' vectors.npy --key embedding --dtype float16"
DTYPES = ("float16", "float32", "int8", "uint8", "int32")
EXACT_BELOW = 1 << 24  # from here on float32 skips integers


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", metavar="SRC", help="the vectors: a file, a folder, or a pattern in quotes")
    parser.add_argument("target", metavar="DST", help="the file to write")
    add_key(parser)
    parser.add_argument("--dtype", choices=DTYPES, help="type of the numbers in DST, if its format leaves a choice")


def run(options: argparse.Namespace, terminal: Terminal) -> None:
    """Convert the file and say what came of it."""
    fixed = format_of(Path(options.target)).dtype
    check_output(options.target, options.source)
    began_s = time.perf_counter()
    with open_vectors(options.source, key=options.key) as source, terminal.bars() as bars:
        dtype = options.dtype or fixed or _kept(source.dtype)
        n, d = source.n, source.d
        try:
            write_chunks(options.target, _chunks(source, bars), n, d, dtype)
        except InputError as err:
            raise InputError(f"cannot convert {options.source}: {err}") from err
    facts = {
        "file": options.target,
        "rows": n,
        "d": d,
        "dtype": np.dtype(dtype).name,
        "file_bytes": Path(options.target).stat().st_size,
        "seconds": time.perf_counter() - began_s,
    }
    text = "{file}: {rows:,} rows of {d} {dtype}, {file_bytes:,} bytes, in {seconds:.1f} s".format(**facts)
    terminal.done(facts, [text])


def _kept(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type to write numbers of ``dtype`` as: a float64 that went through float32 is none any more."""
    return np.dtype(np.float32) if dtype.kind == "f" and dtype.itemsize > 4 else dtype.newbyteorder("<")


def _chunks(source: VectorFile, progress: Progress) -> Iterator[FloatMatrix]:
    """Yield the chunks (rows, d) of a file, in which every number is what it was."""
    whole_numbers = source.dtype.kind in "iu" and source.dtype.itemsize > 2
    for start, rows in source.chunks():
        if whole_numbers and (large := np.abs(rows) >= EXACT_BELOW).any():
            row, column = np.argwhere(large)[0]
            raise VectorFileError(
                f"expected integers below {EXACT_BELOW} in {source.path}, which float32 holds exactly, "
                f"got {rows[row, column]:.0f} in row {start + row}"
            )
        yield rows
        progress("converting", start + len(rows), source.n)
