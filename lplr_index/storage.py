"""Index files, as FORMAT.md describes them: one file, checksummed, mapped into memory, written whole or not at all."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lplr_index.atomic import atomic_write
from lplr_index.blocks import BLOCK, BlockStore
from lplr_index.codecs import ScalarCodec
from lplr_index.container import Buffer, Parts, natural, pack, stated, unpack
from lplr_index.errors import FormatError, HeaderError, InputError, LPLRError
from lplr_index.gains import NO_GAIN, Gain
from lplr_index.ids import IdMap
from lplr_index.index import IndexLPLR
from lplr_index.model import Model
from lplr_index.rows import Rows
from lplr_index.settings import Settings

_DTYPES = {"mu": "<f4", "R": "<f4", "R_half": "<f2", "R_index": "|u1", "R_values": "<f4", "encoder": "<f4"}
_DTYPES |= {"bits": "|u1", "levels": "<f4", "fields": "<i4", "ids": "<i8", "blocks": "|u1"}


def write_index(index: IndexLPLR, path: str | os.PathLike[str]) -> None:
    """Write an index to a file, which is either there as a whole afterwards or as it was before.

    Raises
    ------
    InputError
        If ``index`` is not an IndexLPLR.
    WriteError
        If the file cannot be written.
    """
    with atomic_write(path) as stream:
        for part in _parts(index):
            stream.write(part)


def serialize_index(index: IndexLPLR) -> Buffer:
    """The bytes (n,) uint8 that ``write_index`` would write.

    Raises
    ------
    InputError
        If ``index`` is not an IndexLPLR.
    """
    return np.frombuffer(b"".join(_parts(index)), np.uint8).copy()


def read_index(path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True) -> IndexLPLR:
    """Read an index.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    mmap : bool
        Leave the codes in the file, mapped read-only: memory is used for what is searched, and shared by processes.
        Rows may still be added; they are held in memory.
    verify : bool
        Compare the checksum of the codes too, which reads them once. Everything else is always checked.

    Raises
    ------
    FormatError
        One of its subclasses, if the file is not a whole, unchanged index.
    FileNotFoundError, PermissionError
        As ``open`` raises them.
    """
    with Path(path).open("rb") as stream:
        return _read(_map(stream) if mmap else np.frombuffer(stream.read(), np.uint8).copy(), str(path), verify=verify)


def deserialize_index(data: npt.ArrayLike | bytes) -> IndexLPLR:
    """The index of which these are the bytes, (n,) uint8 or bytes.

    Raises
    ------
    FormatError
        One of its subclasses, if they are not a whole, unchanged index.
    """
    raw = np.frombuffer(data, np.uint8) if isinstance(data, (bytes, bytearray, memoryview)) else np.asarray(data)
    if raw.dtype != np.uint8 or raw.ndim != 1:
        raise InputError(f"expected bytes or a one-dimensional uint8 array, got {raw.dtype} of shape {raw.shape}")
    return _read(raw.copy(), "data", verify=True)


def verify_index(path: str | os.PathLike[str]) -> IndexLPLR:
    """Read every byte of an index file and check it; returns the index.

    Raises
    ------
    FormatError
        One of its subclasses, if the file is not a whole, unchanged index.
    """
    return read_index(path, mmap=True, verify=True)


# Writing


def _arrays(index: IndexLPLR) -> Iterator[tuple[str, str, tuple[int, ...], Parts]]:
    """Name, dtype, shape and parts of every section, in file order."""
    if not index.is_trained:
        return
    named = _model_arrays(index.model)
    if len(index.rows.ids.stored):
        named["ids"] = index.rows.ids.stored
    for name, array in named.items():
        yield name, _DTYPES[name], array.shape, [np.ascontiguousarray(array, dtype=_DTYPES[name])]
    blocks = -(-index.ntotal // BLOCK)
    yield "blocks", _DTYPES["blocks"], (blocks, BLOCK * index.code_size), list(index.rows.store.whole())


def _model_arrays(model: Model) -> dict[str, npt.NDArray[Any]]:
    """The sections of a model."""
    named: dict[str, npt.NDArray[Any] | None] = {"mu": model.mu}
    if model.R is not None:
        named |= _compact(model.R)
    named |= {"encoder": model.encoder, **model.codec.arrays}
    return {name: array for name, array in named.items() if array is not None}


def _model_numbers(model: Model | None) -> dict[str, int | float]:
    """What a header says of a model."""
    return {
        "nibbles": model.codec.nibbles if model else 0,
        "heavy": model.codec.heavy if model else 0,
        "gain_step": model.gain.step if model else 0.0,
        "norm_unit": model.norm_unit if model else 0.0,
    }


def _compact(R: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
    """R in the fewest bytes that keep every bit: float16 if it fits, one byte an entry if it has few values."""
    with np.errstate(over="ignore"):
        half = R.astype("<f2")
    if np.array_equal(half.astype(np.float32), R):
        return {"R_half": half}
    values, where = np.unique(R, return_inverse=True)
    if len(values) <= 256:
        return {"R_index": where.reshape(R.shape).astype(np.uint8), "R_values": values}
    return {"R": R}


def _parts(index: IndexLPLR) -> Iterator[bytes]:
    """The bytes of a file, in pieces."""
    if not isinstance(index, IndexLPLR):
        raise InputError(f"expected an IndexLPLR to write, got {type(index).__name__}")
    header = {
        "settings": asdict(index.settings),
        "trained": index.is_trained,
        "ntotal": index.ntotal,
        "next_id": index.rows.ids.next_id,
        **_model_numbers(index.model if index.is_trained else None),
    }
    return pack(header, _arrays(index))


# Reading


def _map(stream: BinaryIO) -> Buffer:
    size = os.fstat(stream.fileno()).st_size
    if not size:
        return np.empty(0, np.uint8)
    return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _read(data: Buffer, path: str, *, verify: bool) -> IndexLPLR:
    try:
        return _index(*unpack(data, _DTYPES, frozenset() if verify else frozenset({"blocks"})))
    except FormatError as err:
        err.args = (f"{path}: {err}",)
        raise


def _index(header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> IndexLPLR:
    """Put an index together, and see that its parts fit."""
    asked = stated(header, "settings", dict)
    if set(asked) != {field.name for field in fields(Settings)}:
        raise HeaderError(
            f"expected the settings {', '.join(f.name for f in fields(Settings))}, got {', '.join(asked)}"
        )
    try:
        settings = Settings(**asked)
        settings.check()
        model = rows = None
        if stated(header, "trained", bool):
            model = _model(header, arrays)
            ntotal, next_id = natural(header.get("ntotal")), natural(header.get("next_id"))
            blocks, ids = arrays["blocks"], arrays.get("ids")
            if model.d != settings.d or model.code_size != settings.code_size:
                raise HeaderError(f"expected rows of {settings.code_size} bytes for d = {settings.d}, got others")
            if blocks.shape != (-(-ntotal // BLOCK), BLOCK * settings.code_size):
                raise HeaderError(f"expected blocks for {ntotal} rows, got shape {blocks.shape}")
            if ids is not None and (ids.shape != (ntotal,) or (ids < 0).any() or len(np.unique(ids)) != ntotal):
                raise HeaderError(f"expected {ntotal} distinct ids, got others")
            store = BlockStore.of_blocks(blocks, ntotal, model.form)
            rows = Rows(store, IdMap(ntotal, None if ids is None else ids.astype(np.int64), next_id))
        elif arrays:
            raise HeaderError(f"expected no sections in an untrained index, got {', '.join(arrays)}")
    except (LPLRError, TypeError, ValueError, KeyError, OverflowError) as err:
        if isinstance(err, FormatError):
            raise
        raise HeaderError(f"expected a header whose parts fit together, got one that does not: {err}") from err
    return IndexLPLR.restored(settings, model, rows)


def _model(header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Model:
    """The model; its arrays are copied, so that they stay when the file goes."""
    held = {
        name: np.array(a, dtype=np.dtype(a.dtype).newbyteorder("=")) for name, a in arrays.items() if name != "blocks"
    }
    R = held.get("R")
    if "R_half" in held:
        R = held["R_half"].astype(np.float32)
    elif "R_index" in held:
        values, where = held["R_values"], held["R_index"]
        if values.ndim != 1 or where.max(initial=0) >= len(values):
            raise HeaderError(
                f"expected R_index below {len(values)}, the number of R_values, got {where.max(initial=0)}"
            )
        R = np.ascontiguousarray(values[where])
    codec = ScalarCodec(
        held["bits"], held["levels"], held["fields"], *(natural(header.get(key)) for key in ("nibbles", "heavy"))
    )
    codec.check()
    step, norm_unit = (float(stated(header, key, (int, float))) for key in ("gain_step", "norm_unit"))
    gain = Gain(8, step=step) if step else NO_GAIN
    model = Model(held["mu"], R, held.get("encoder"), codec, gain, norm_unit)
    model.check()
    return model
