"""Index files, as FORMAT.md describes them: one file, checksummed, mapped into memory, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lplr_index.atomic import atomic_write
from lplr_index.blocks import Blocks, BlockStore
from lplr_index.container import Buffer, Parts, fitting_together, mapped, natural, pack, stated, unpack
from lplr_index.errors import FormatError, HeaderError, InputError, VectorFileError
from lplr_index.ids import IdMap
from lplr_index.index import IndexLPLR
from lplr_index.ivf import IndexIVFLPLR
from lplr_index.listfiles import LIST_DTYPES, index_of_lists, list_arrays, list_blocks, list_header
from lplr_index.memory import aligned
from lplr_index.model import Model
from lplr_index.modelfiles import DTYPES, model_arrays, model_numbers, read_model
from lplr_index.originals import Fingerprint, Originals
from lplr_index.refine import AnyIndex, IndexRefineLPLR
from lplr_index.residuals import Residuals
from lplr_index.rows import Rows
from lplr_index.settings import Settings

_DTYPES = DTYPES | {"ids": "<i8", "blocks": "|u1", "tails": "|u1"}
_SECOND = "refine."  # before the names of what a second code has in common with the first
_DTYPES |= {_SECOND + name: dtype for name, dtype in _DTYPES.items() if name != "ids"}
_DTYPES |= LIST_DTYPES
_BLOCKS = frozenset({"blocks", "tails", _SECOND + "blocks", _SECOND + "tails"})


def write_index(index: AnyIndex, path: str | os.PathLike[str]) -> None:
    """Write an index to a file, which is either there as a whole afterwards or as it was before.

    Original vectors stay where they are, and are read once: the file holds their path and their checksum.

    Raises
    ------
    InputError
        If ``index`` is not an IndexLPLR or an IndexRefineLPLR.
    UnsupportedError
        If it refines by original vectors in an array, which has no path.
    WriteError
        If the file cannot be written.
    """
    with atomic_write(path) as stream:
        for part in _parts(index):
            stream.write(part)


def serialize_index(index: AnyIndex) -> Buffer:
    """The bytes (n,) uint8 that ``write_index`` would write; raises as it does."""
    return np.frombuffer(b"".join(_parts(index)), np.uint8).copy()


def read_index(
    path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True, originals: Any = None
) -> AnyIndex:
    """Read an index.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    mmap : bool
        Leave the codes in the file, mapped read-only: memory is used for what is searched, and shared by processes.
        Rows may still be added; they are held in memory.
    verify : bool
        Compare the checksum of the codes too, which reads them once. Everything else is always checked;
        of original vectors, 256 rows.
    originals : str, os.PathLike or array_like of shape (n, d), optional
        Where the original vectors are, of an index that refines by them. Where None, they are looked for where they
        were, then beside the index.

    Raises
    ------
    FormatError
        One of its subclasses, if the file is not a whole, unchanged index, or the original vectors are others.
    VectorFileError
        If the original vectors cannot be read.
    FileNotFoundError, PermissionError
        As ``open`` raises them.
    """
    with Path(path).open("rb") as stream:
        data = mapped(stream) if mmap else _load(stream)
    return _read(data, str(path), verify=verify, originals=originals)


def deserialize_index(data: npt.ArrayLike | bytes, *, originals: Any = None) -> AnyIndex:
    """The index of which these are the bytes, (n,) uint8 or bytes; ``originals`` as in ``read_index``.

    Raises
    ------
    FormatError
        One of its subclasses, if they are not a whole, unchanged index, or the original vectors are others.
    VectorFileError
        If the original vectors cannot be read.
    """
    raw = np.frombuffer(data, np.uint8) if isinstance(data, (bytes, bytearray, memoryview)) else np.asarray(data)
    if raw.dtype != np.uint8 or raw.ndim != 1:
        raise InputError(f"expected bytes or a one-dimensional uint8 array, got {raw.dtype} of shape {raw.shape}")
    return _read(raw.copy(), "data", verify=True, originals=originals)


def verify_index(path: str | os.PathLike[str], *, originals: Any = None) -> AnyIndex:
    """Read every byte of an index file, and of the original vectors if it refines by them, and check it.

    Returns the index; ``originals`` and what is raised are as in ``read_index``.
    """
    with Path(path).open("rb") as stream:
        return _read(mapped(stream), str(path), verify=True, originals=originals, whole=True)


# Writing


def _arrays(
    model: Model | None, more: dict[str, npt.NDArray[Any]], store: BlockStore, prefix: str = ""
) -> Iterator[tuple[str, str, tuple[int, ...], Parts]]:
    """Name, dtype, shape and parts of every section of a code and ``more``, in file order; none before training."""
    if model is None:
        return
    for name, array in (model_arrays(model) | more).items():
        yield prefix + name, _DTYPES[name], array.shape, [np.ascontiguousarray(array, dtype=_DTYPES[name])]
    for name, shape in store.form.shapes(store.ntotal).items():
        yield prefix + name, _DTYPES[name], shape, [each.section(name) for each in store.whole()]


def _parts(index: AnyIndex) -> Iterator[bytes]:
    """The bytes of a file, in pieces."""
    if not isinstance(index, AnyIndex):
        raise InputError(f"expected an IndexLPLR or IndexRefineLPLR to write, got {type(index).__name__}")
    base = index.base_index if isinstance(index, IndexRefineLPLR) else index
    model = base.model if base.is_trained else None
    header: dict[str, Any] = {
        "settings": asdict(base.settings),
        "trained": base.is_trained,
        "ntotal": base.ntotal,
        "next_id": base.rows.ids.next_id,
        **model_numbers(model),
    }
    store, more = base.rows.store, {"ids": base.rows.ids.stored} if len(base.rows.ids.stored) else {}
    if isinstance(base, IndexIVFLPLR):
        header |= list_header(base)
        if model is not None:
            store, more = list_blocks(base), more | list_arrays(base)
    arrays = [*_arrays(model, more, store)]
    if isinstance(index, IndexRefineLPLR):
        header["refine"] = {"k_factor": index.k_factor, **_second_stage(index.refine)}
        if isinstance(refine := index.refine, Residuals):
            arrays += _arrays(refine.model, {}, refine.store, _SECOND)
    return pack(header, arrays, _version(index, base))


def _version(index: AnyIndex, base: IndexLPLR) -> int:
    """The lowest format version that knows all of an index."""
    if base.is_trained and base.model.head is not None:
        return 5
    if isinstance(base, IndexIVFLPLR):
        return 4
    if base.method == "auto" and base.metric == "l2":
        return 3
    return 2 if isinstance(index, IndexRefineLPLR) or base.method == "auto" else 1


def _second_stage(refine: Residuals | Originals) -> dict[str, Any]:
    """What a header says of a second stage."""
    if isinstance(refine, Originals):
        return {"originals": asdict(refine.fingerprint())}
    stage = {"code_size": refine.code_size, "lengths": refine.lengths, "trained": refine.model is not None}
    return {"residuals": stage | model_numbers(refine.model)}


# Reading


def _load(stream: BinaryIO) -> Buffer:
    data = aligned((os.fstat(stream.fileno()).st_size,))
    read = stream.readinto(data.data)  # type: ignore[attr-defined]
    return data[:read]


def _read(data: Buffer, path: str, *, verify: bool, originals: Any, whole: bool = False) -> AnyIndex:
    """The index in a file's bytes; ``whole`` compares all original vectors and not only some."""
    try:
        header, arrays = unpack(data, _DTYPES, frozenset() if verify else _BLOCKS)
        second = {name.removeprefix(_SECOND): a for name, a in arrays.items() if name.startswith(_SECOND)}
        base = _index(header, {name: a for name, a in arrays.items() if not name.startswith(_SECOND)})
        stage = stated(header, "refine", dict) if "refine" in header else {}
        if second and "residuals" not in stage:
            raise HeaderError(f"expected no second code in an index without residuals, got {', '.join(second)}")
        if "originals" not in stage and originals is not None:
            raise InputError("expected originals only for an index that refines by original vectors, got another index")
        if not stage:
            return base
        refine: Residuals | Originals
        if "residuals" in stage:
            refine = _residuals(stated(stage, "residuals", dict), second, base)
        else:
            refine = _originals(stated(stage, "originals", dict), Path(path).parent, originals, whole=whole)
        with fitting_together():
            if isinstance(refine, Originals):
                refine.check_ids(base.rows.ids.all())
            return IndexRefineLPLR.restored(base, refine, float(stated(stage, "k_factor", (int, float))))
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
    with fitting_together():
        settings = Settings(**asked).checked()
        model = rows = None
        if stated(header, "trained", bool):
            model = read_model(header, arrays)
            ntotal, next_id = natural(header.get("ntotal")), natural(header.get("next_id"))
            ids = arrays.get("ids")
            if model.d != settings.d or model.code_size != settings.code_size:
                raise HeaderError(f"expected rows of {settings.code_size} bytes for d = {settings.d}, got others")
            if (model.norm.bits > 0) != (settings.metric == "l2"):
                raise HeaderError(f"expected norms of rows under l2 alone, got {model.norm} under {settings.metric}")
            _check_blocks(arrays, ntotal, model)
            if ids is not None and (ids.shape != (ntotal,) or (ids < 0).any() or len(np.unique(ids)) != ntotal):
                raise HeaderError(f"expected {ntotal} distinct ids, got others")
            store = BlockStore.of_blocks(Blocks.of_sections(arrays), ntotal, model.form)
            rows = Rows(store, IdMap(ntotal, None if ids is None else ids.astype(np.int64), next_id))
        elif arrays:
            raise HeaderError(f"expected no sections in an untrained index, got {', '.join(arrays)}")
        if "lists" in header:
            return index_of_lists(header, settings, model, rows, arrays)
        if strange := set(arrays) & set(LIST_DTYPES):
            raise HeaderError(f"expected no lists in an index without them, got {', '.join(sorted(strange))}")
    return IndexLPLR.restored(settings, model, rows)


def _residuals(header: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], base: IndexLPLR) -> Residuals:
    """The second code, for the rows of the base."""
    with fitting_together():
        model = read_model(header, arrays) if stated(header, "trained", bool) else None
        refine = Residuals(natural(header.get("code_size")), model, stated(header, "lengths", str))
        refine.check(base.d)
        if model is None:
            if arrays or base.ntotal:
                raise HeaderError(f"expected neither rows nor sections of an untrained code, got {base.ntotal} rows")
            return refine
        _check_blocks(arrays, base.ntotal, model)
        refine.store = BlockStore.of_blocks(Blocks.of_sections(arrays), base.ntotal, refine.store.form)
    return refine


def _check_blocks(arrays: dict[str, npt.NDArray[Any]], ntotal: int, model: Model) -> None:
    """Raise HeaderError unless the sections of a file hold the blocks of so many rows."""
    shapes = {name: arrays[name].shape for name in ("blocks", "tails") if name in arrays}
    expected = model.form.shapes(ntotal)
    if shapes != expected:
        raise HeaderError(f"expected blocks of {ntotal} rows in {expected}, got {shapes}")


def _originals(header: dict[str, Any], folder: Path, given: Any, *, whole: bool) -> Originals:
    """The original vectors, where they are said to be, or were, or beside the index, if they are the same."""
    with fitting_together():
        expected = Fingerprint(**header)
        expected.check()
    was, key = Path(expected.path), expected.key
    where = given
    if given is None:
        where = folder / was.name if (folder / was.name).exists() and not was.exists() else was
    elif not isinstance(given, (str, os.PathLike)) or Path(given).suffix != was.suffix:
        key = None  # it chose among the matrices of another kind of file
    try:
        originals = Originals(where, key)
    except VectorFileError as err:
        raise VectorFileError(f"{err}; read_index(..., originals=...) says where the original vectors are now") from err
    originals.check(expected, whole=whole)
    return originals
