"""Hugging Face's ``.safetensors``: the length of a JSON header, the header, then the bytes of every tensor.

The library of that name is not used: its NumPy side cannot read bfloat16, which most such files hold,
and it reads through a memory map, so that what was read stays in the process. The format is this short.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lplr_index.errors import VectorFileError
from lplr_index.vectors.base import VectorFile, choose_key, closed_on_error
from lplr_index.vectors.raw import RowMajor, Stream
from lplr_index.vectors.sink import DEFAULT_NAME, Write

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of a float32
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}


def open_safetensors(path: Path, key: str | None) -> VectorFile:
    """Open the tensor ``key``."""
    stream = path.open("rb", buffering=0)
    with closed_on_error(stream):
        header, offset = _header(path, stream)
        name = choose_key(path, key, [name for name in header if name != "__metadata__"])
        try:
            kind, shape, (begin, end) = (header[name][field] for field in ("dtype", "shape", "data_offsets"))
            sane = isinstance(kind, str) and all(isinstance(each, int) for each in (*shape, begin, end))
        except (KeyError, TypeError, ValueError):
            sane = False
        if not sane:
            raise VectorFileError(
                f"expected dtype, shape and data_offsets of {name!r} in {path}, got {header[name]!s:.200}"
            )
        if kind not in DTYPES:
            raise VectorFileError(f"expected float or integer numbers in {path}, got dtype {kind}")
        if len(shape) != 2:
            raise VectorFileError(f"expected a tensor of shape (n, d) in {path}, got shape {shape}")
        if not 0 <= begin <= end <= path.stat().st_size - offset:
            raise VectorFileError(f"expected the tensor {name!r} to lie inside {path}, got bytes {begin} to {end}")
        layout = BrainFloats if kind == "BF16" else RowMajor
        return layout(path, stream, offset + end, offset=offset + begin, shape=(shape[0], shape[1]), dtype=DTYPES[kind])


def _header(path: Path, stream: Stream) -> tuple[dict[str, Any], int]:
    """Return the JSON header and the offset at which the tensors begin."""
    size = path.stat().st_size
    length = int.from_bytes(stream.read(8) or b"", "little")
    if size < 8 or length > size - 8:
        raise VectorFileError(f"expected {path} to begin with the length of its header, got {length} of {size} bytes")
    header = json.loads(stream.read(length) or b"")
    if not isinstance(header, dict):
        raise VectorFileError(f"expected the header of {path} to name tensors, got {type(header).__name__}")
    return header, 8 + length


class BrainFloats(RowMajor):
    """Rows of bfloat16, read as uint16 and widened."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32, which holds every bfloat16."""
        return np.dtype(np.float32)

    def _rows(self, start: int, stop: int) -> npt.NDArray[Any]:
        upper = super()._rows(start, stop)
        return (upper.astype(np.uint32) << 16).view(np.float32)


@contextlib.contextmanager
def safetensors_sink(stream: BinaryIO, n: int, d: int, dtype: np.dtype[Any]) -> Iterator[Write]:
    """Write ``.safetensors``: one tensor."""
    tensor = {"dtype": NAMES[dtype], "shape": [n, d], "data_offsets": [0, n * d * dtype.itemsize]}
    header = json.dumps({DEFAULT_NAME: tensor}).encode()
    header += b" " * (-len(header) % 8)  # so that the numbers are aligned
    stream.write(len(header).to_bytes(8, "little") + header)
    yield lambda rows: stream.write(rows.data)
