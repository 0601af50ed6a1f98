"""Factorizations in files: the packed codes and what decodes them, in one ``.npz`` that is checked as it is read.

A file holds the arrays of a factorization by their names (``codes_L``, ``quantizer_L.vmin``; of a picture,
``channels.0.codes_L``), as they are in memory, and ``about``: JSON in UTF-8 that says how they belong together. Nothing
is pickled, every array has the checksum of the zip archive, and only classes of this package are made again.
What serves to encode further rows is left out, as it is not counted either.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.atomic import atomic_write
from lplr_index.errors import UnsupportedError, VectorFileError
from lplr_index.vectors.base import reading

FORMAT = "lplr_index factors"
VERSION = 1
_ABOUT = "about"
_PACKAGE = "lplr_index."
_ENCODING_ONLY = {"stored_encoder"}  # fields that ``reconstruct`` does not read

Arrays = dict[str, npt.NDArray[Any]]


def write_factors(code: Any, path: str | os.PathLike[str]) -> None:
    """Write a factorization to a file, whole or not at all.

    Parameters
    ----------
    code : Factorization or Picture
        Or whatever else ``factorize`` returns, as far as it is made of dataclasses of this package.
    path : str or os.PathLike
        The file to create or replace.

    Raises
    ------
    UnsupportedError
        If it is made of something else.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from lplr_index.factorization import factorize
    >>> A = np.outer(np.arange(1, 101), np.arange(1, 41))
    >>> write_factors(factorize(A, rank=1), "product.npz")
    >>> decode_factors("product.npz").shape
    (100, 40)
    """
    arrays: Arrays = {}
    about = {"format": FORMAT, "version": VERSION, "content": _taken_apart(code, "", arrays)}
    arrays[_ABOUT] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with atomic_write(path) as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # its stub takes the names for allow_pickle


def decode_factors(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Return the matrix or the picture whose factors a file holds.

    Parameters
    ----------
    path : str or os.PathLike
        What ``write_factors`` wrote.

    Returns
    -------
    ndarray of shape (n, d), float32, or (height, width) or (height, width, 3), uint8
        What ``reconstruct`` of the factorization returned, bit by bit.

    Raises
    ------
    VectorFileError
        If the file cannot be read, or is damaged or none of ours.
    """
    file = Path(path)
    with reading(file):
        if not file.exists():
            raise VectorFileError(f"no such file: {path}")
        with file.open("rb") as stream:  # opened here: numpy leaves the files that it cannot read to the collector
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile) or _ABOUT not in archive:
                raise VectorFileError(f"expected the factors of a factorization in {path}, got other arrays")
            with archive:
                arrays = {name: archive[name] for name in archive.files}
        about = json.loads(arrays[_ABOUT].tobytes())
        if (about["format"], about["version"]) != (FORMAT, VERSION):
            raise VectorFileError(f"expected {FORMAT} of version {VERSION} in {path}, got {about['version']}")
        decoded: npt.NDArray[Any] = _put_together(about["content"], arrays).reconstruct()
    return decoded


def _taken_apart(value: Any, name: str, arrays: Arrays) -> Any:
    """Return ``value`` as JSON can say it; its arrays go to ``arrays``, under names that say where they belong."""

    def part(key: object, inner: Any) -> Any:
        return _taken_apart(inner, f"{name}.{key}" if name else str(key), arrays)

    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        arrays[name] = np.asarray(value)
        return {"array": name}
    if type(value) in {tuple, list}:
        return {type(value).__name__: [part(number, each) for number, each in enumerate(value)]}
    kind = type(value)
    if not dataclasses.is_dataclass(kind) or not kind.__module__.startswith(_PACKAGE):
        raise UnsupportedError(f"expected a factorization made of dataclasses of this package, got {kind.__name__}")
    fields = {
        field.name: None if field.name in _ENCODING_ONLY else part(field.name, getattr(value, field.name))
        for field in dataclasses.fields(kind)
        if field.init
    }
    return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}


def _put_together(content: Any, arrays: Arrays) -> Any:
    """Return what ``_taken_apart`` took apart."""
    if not isinstance(content, dict):
        return content
    if "array" in content:
        return arrays[content["array"]]
    if "list" in content:
        return [_put_together(each, arrays) for each in content["list"]]
    if "tuple" in content:
        return tuple(_put_together(each, arrays) for each in content["tuple"])
    module, _, name = content["class"].partition(":")
    found = getattr(importlib.import_module(module), name) if module.startswith(_PACKAGE) else None
    if not isinstance(found, type) or not dataclasses.is_dataclass(found) or found.__module__ != module:
        raise VectorFileError(f"expected a class of factorizations of this package, got {content['class']}")
    return found(**{key: _put_together(each, arrays) for key, each in content["fields"].items()})
