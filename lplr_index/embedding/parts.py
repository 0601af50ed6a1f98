"""Vectors in parts: what is finished survives an interruption, and is believed only if its checksum says so.

A part is what a fixed number of items becomes, and is filed under a key: the checksum of those items, of the model and
of its settings. So a part that is there under its key is the right one, whatever happened to the input since.
Parts lie in a folder of their own until the last of them is made; then they become one file, in which the manifest
knows each of them again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.atomic import atomic_write
from lplr_index.errors import InputError, LPLRError
from lplr_index.vectors import open_vectors, write_chunks

SETTINGS = "settings.json"


@dataclass(frozen=True)
class Part:
    """What became of one part of the items.

    Attributes
    ----------
    key : str
        Checksum of what went in.
    rows : int
        Vectors that came out.
    sha256 : str
        Checksum of these vectors.
    left_out : tuple of (int, str)
        The items that could not be embedded, by their place in the part, and why.
    """

    key: str
    rows: int
    sha256: str
    left_out: tuple[tuple[int, str], ...] = ()


class Parts:
    """The parts in a folder and in the file they become.

    Parameters
    ----------
    folder : Path
        For unfinished parts; made when the first is saved.
    vectors : Path
        The finished file.
    manifest : Path
        What says which parts are in it.
    dtype : dtype
        Of the vectors in both.
    settings : mapping
        What all parts were made with.
    renew : bool
        Remove the unfinished parts and overlook the finished.

    Attributes
    ----------
    damaged : int
        Parts that were there and not what their checksum says.

    Raises
    ------
    InputError
        If there is something of other settings, or of other origin, where the parts are to go.
    """

    def __init__(
        self,
        folder: Path,
        vectors: Path,
        manifest: Path,
        dtype: np.dtype[Any],
        settings: Mapping[str, Any],
        *,
        renew: bool = False,
    ) -> None:
        self._folder, self._vectors, self._dtype = folder, vectors, dtype
        self._settings = json.loads(json.dumps(settings))
        self.damaged = 0
        self._finished: dict[str, tuple[Part, int]] = {}
        if renew:
            self.clear()
            self._begin()
            manifest.unlink(missing_ok=True)
            return
        written = read_document(manifest)
        begun = read_document(folder / SETTINGS)
        for found in (written.get("settings"), begun):
            if isinstance(found, dict) and found:
                self._refuse_others(found)
        if vectors.exists() and not written and not begun:
            raise InputError(f"expected no {vectors} but one of this command's own, got one without {manifest.name}")
        start = 0
        for part in map(as_part, written.get("parts", [])):
            if part is None:
                break
            self._finished[part.key] = part, start
            start += part.rows

    def _refuse_others(self, found: Mapping[str, Any]) -> None:
        for name in {**self._settings, **found}:
            ours, theirs = self._settings.get(name), found.get(name)
            if ours != theirs:
                raise InputError(
                    f"expected {name} {theirs!r}, as for the vectors that are in {self._vectors.parent}, got {ours!r}: "
                    "choose another folder, or renew"
                )

    def _begin(self) -> None:
        """Make the folder of unfinished parts, which says first of all what they are made with."""
        self._folder.mkdir(exist_ok=True)
        if not (self._folder / SETTINGS).exists():
            write_document(self._folder / SETTINGS, self._settings)

    def find(self, key: str) -> Part | None:
        """Return the part of this key, or None where there is none, or only a damaged one."""
        facts = self._folder / f"{key}.json"
        for part in (as_part(read_document(facts)), self._finished.get(key, (None, 0))[0]):
            with contextlib.suppress(LPLRError):
                if part is not None and checksum(self.rows(part)) == part.sha256:
                    return part
        self.damaged += facts.exists() or key in self._finished
        return None

    def save(self, key: str, x: npt.NDArray[Any], left_out: Sequence[tuple[int, str]]) -> Part:
        """File the vectors (rows, d) of a part, whole or not at all.

        Raises
        ------
        InputError
            If they are not finite, or too large for the dtype.
        WriteError
            If they cannot be written.
        """
        self._begin()
        file = self._folder / f"{key}.npy"
        if len(x):
            n, d = x.shape
            write_chunks(file, [x], n, d, self._dtype)
        part = Part(key, len(x), checksum(x.astype(self._dtype)), tuple(left_out))
        # Last: a part is there when its facts are.
        write_document(self._folder / f"{key}.json", asdict(part))
        return part

    def rows(self, part: Part) -> npt.NDArray[Any]:
        """Return the vectors (rows, d) of a part, not compared with its checksum.

        Raises
        ------
        VectorFileError, InputError
            If they cannot be read, or end too early.
        """
        if not part.rows:
            return np.empty((0, 0), self._dtype)
        file, start = self._folder / f"{part.key}.npy", 0
        if not file.exists() and part.key in self._finished:
            file, start = self._vectors, self._finished[part.key][1]
        with open_vectors(file) as source:
            return source.read(start, start + part.rows).astype(self._dtype)

    def finish(self, parts: Sequence[Part]) -> tuple[int, int]:
        """Make one file of parts, unless it is that already, and return its shape (n, d).

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        n = sum(part.rows for part in parts)
        d = next(self.rows(part).shape[1] for part in parts if part.rows)
        if list(parts) != [part for part, _ in self._finished.values()] or self._folder.exists():
            write_chunks(self._vectors, (self.rows(part) for part in parts if part.rows), n, d, self._dtype)
        return n, d

    def clear(self) -> None:
        """Remove the folder of unfinished parts."""
        shutil.rmtree(self._folder, ignore_errors=True)


def as_part(facts: Any) -> Part | None:
    """Return a part from its facts in a document, or None where they are damaged."""
    try:
        left_out = tuple((int(place), str(why)) for place, why in facts["left_out"])
        return Part(str(facts["key"]), int(facts["rows"]), str(facts["sha256"]), left_out)
    except (KeyError, TypeError, ValueError, OverflowError):  # JSON may say Infinity
        return None


def checksum(x: npt.NDArray[Any]) -> str:
    """Return the sha256 of the numbers of ``x`` (rows, d)."""
    return hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()


def read_document(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, empty where there is no file or it is damaged: then it counts as absent."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):  # of brackets by the thousand
        return {}
    return document if isinstance(document, dict) else {}


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all.

    Raises
    ------
    WriteError
        If it cannot be written.
    """
    with atomic_write(path) as stream:
        stream.write((json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
