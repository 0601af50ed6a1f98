"""The formats, by suffix: how each is read, how it is written, and what it can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lplr_index.errors import VectorFileError
from lplr_index.vectors.base import VectorFile
from lplr_index.vectors.hdf5 import hdf5_sink, open_hdf5
from lplr_index.vectors.npy import npy_sink, npz_sink, open_npy, open_npz
from lplr_index.vectors.parquet import open_parquet, parquet_sink
from lplr_index.vectors.records import bin_sink, open_bin, open_vecs, vecs_sink
from lplr_index.vectors.safetensors import open_safetensors, safetensors_sink
from lplr_index.vectors.sink import Sink


@dataclass(frozen=True)
class Format:
    """One format; ``dtype`` is the only one it holds, None where it holds any."""

    open: Callable[[Path, str | None], VectorFile]
    sink: Sink
    dtype: np.dtype[Any] | None = None
    has_keys: bool = False


def _fixed(opener: Callable[[Path, np.dtype[Any]], VectorFile], sink: Sink, name: str) -> Format:
    dtype = np.dtype(name)
    return Format(lambda path, _key: opener(path, dtype), sink, dtype)


FORMATS = {
    ".npy": Format(lambda path, _key: open_npy(path), npy_sink),
    ".npz": Format(open_npz, npz_sink, has_keys=True),
    ".fvecs": _fixed(open_vecs, vecs_sink, "<f4"),
    ".ivecs": _fixed(open_vecs, vecs_sink, "<i4"),
    ".bvecs": _fixed(open_vecs, vecs_sink, "u1"),
    ".fbin": _fixed(open_bin, bin_sink, "<f4"),
    ".ibin": _fixed(open_bin, bin_sink, "<i4"),
    ".u8bin": _fixed(open_bin, bin_sink, "u1"),
    ".i8bin": _fixed(open_bin, bin_sink, "i1"),
    ".hdf5": Format(open_hdf5, hdf5_sink, has_keys=True),
    ".h5": Format(open_hdf5, hdf5_sink, has_keys=True),
    ".parquet": Format(open_parquet, parquet_sink, has_keys=True),
    ".safetensors": Format(open_safetensors, safetensors_sink, has_keys=True),
}


def format_of(path: Path) -> Format:
    """Return the format that the suffix of ``path`` stands for, in upper or lower case.

    Raises
    ------
    VectorFileError
        If it stands for none.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise VectorFileError(f"expected {path} to end in one of {' '.join(FORMATS)}, got {suffix or 'no suffix'}")
    return FORMATS[suffix]
