"""What a store holds, in one small file that is replaced as a whole: whoever has read it knows what to open."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from lplr_index.coarse import MOST_LISTS
from lplr_index.container import fitting_together, natural, pack, stated, unpack
from lplr_index.errors import HeaderError
from lplr_index.ids import LARGEST
from lplr_index.settings import Settings
from lplr_index.store.segments import Stamp

VERSIONS = (1, 2)
KINDS = ("int", "str")  # of ids
_FILE = 3  # version of the file around: FORMAT.md
_NAME = re.compile(r"(?:segment|live|journal)-\d{8,19}|model-[0-9a-f]{16}")


@dataclass(frozen=True)
class Entry:
    """A segment, and which of its rows live.

    Attributes
    ----------
    file : Stamp
        Of the segment.
    rows : int
        Its rows, the dead among them.
    live : Stamp or None
        The file that says which rows live; all do where None. Those that the journal kills are not counted.
    dead : int
        How many do not, by that file.
    """

    file: Stamp
    rows: int
    live: Stamp | None = None
    dead: int = 0


@dataclass(frozen=True)
class Manifest:
    """All there is to know of a store.

    Attributes
    ----------
    generation : int
        Counts how often the manifest was replaced.
    settings : Settings
        Of its index.
    ids : str
        ``"int"`` or ``"str"``.
    digest : str or None
        Of the model that all segments share; None before training.
    model : Stamp or None
        Its file, an index without rows.
    journal : str
        The file of changes that are not in segments yet.
    segments : tuple of Entry
        In the order they were made.
    next_id : int
        One above the largest number given by then; those of the journal come on top.
    serial : int
        The largest number in a name of a file; the next file gets the next.
    nlist : int
        Lists that rows are dealt out to; 0 where they are not.
    """

    generation: int
    settings: Settings
    ids: str
    digest: str | None
    model: Stamp | None
    journal: str
    segments: tuple[Entry, ...]
    next_id: int
    serial: int
    nlist: int = 0

    @property
    def names(self) -> set[str]:
        """The files that count, the manifest itself left out."""
        live = {entry.live.name for entry in self.segments if entry.live}
        return {self.journal, *live, *(entry.file.name for entry in self.segments)} | (
            {self.model.name} if self.model else set()
        )


def pack_manifest(manifest: Manifest) -> bytes:
    """The bytes of a manifest's file, of the lowest version that knows all of it."""
    said = asdict(manifest)
    if not manifest.nlist:
        del said["nlist"]
    return b"".join(pack({"store": {"version": 2 if manifest.nlist else 1, **said}}, [], _FILE))


def parse_manifest(data: bytes) -> Manifest:
    """The manifest in the bytes of its file.

    Raises
    ------
    FormatError
        One of its subclasses, if it is not a whole, unchanged manifest.
    """
    header, _ = unpack(np.frombuffer(data, np.uint8), {})
    said = stated(header, "store", dict)
    if said.get("version") not in VERSIONS:
        raise HeaderError(f"expected a store of version 1 to {VERSIONS[-1]}, got {said.get('version')!r}")
    if said["version"] == 1:
        said = {"nlist": 0, **said}
    _only(said, {"version", *(field.name for field in fields(Manifest))})
    with fitting_together():
        asked = stated(said, "settings", dict)
        _only(asked, {field.name for field in fields(Settings)})
        segments = tuple(_entry(each) for each in stated(said, "segments", list))
        digest, model = said["digest"], _stamp(said["model"])
        if (digest is None) != (model is None) or not isinstance(digest, str | None):
            raise HeaderError(f"expected a digest of a model, or neither, got {digest!r}")
        manifest = Manifest(
            generation=natural(said["generation"]),
            settings=Settings(**asked).checked(),
            ids=stated(said, "ids", str),
            digest=digest,
            model=model,
            journal=_name(stated(said, "journal", str)),
            segments=segments,
            next_id=natural(said["next_id"]),
            serial=natural(said["serial"]),
            nlist=natural(said["nlist"]),
        )
    files = len(segments) + sum(entry.live is not None for entry in segments) + (model is not None) + 1
    if (
        (manifest.nlist > 0) != (said["version"] > 1)
        or manifest.nlist > MOST_LISTS
        or manifest.ids not in KINDS
        or manifest.next_id > LARGEST + 1
        or len(manifest.names) != files
    ):
        raise HeaderError(f"expected a manifest whose parts fit together, got {manifest}")
    return manifest


def _entry(said: Any) -> Entry:
    if not isinstance(said, dict):
        raise HeaderError(f"expected a segment to be a JSON object, got {type(said).__name__}")
    _only(said, {field.name for field in fields(Entry)})
    file, live = _stamp(said["file"]), _stamp(said["live"])
    entry = Entry(file or Stamp("", 0, 0), natural(said["rows"]), live, natural(said["dead"]))
    if file is None or not entry.rows or entry.dead > entry.rows or (live is None) != (entry.dead == 0):
        raise HeaderError(f"expected a segment of some rows, and bits of them where some are dead, got {said!r}")
    return entry


def _stamp(said: Any) -> Stamp | None:
    if said is None:
        return None
    if not isinstance(said, dict):
        raise HeaderError(f"expected a file to be a JSON object, got {type(said).__name__}")
    _only(said, {field.name for field in fields(Stamp)})
    return Stamp(_name(stated(said, "name", str)), natural(said["nbytes"]), natural(said["crc32"]))


def _name(name: str) -> str:
    """A name of one of our files, which leads nowhere else."""
    if not _NAME.fullmatch(name):
        raise HeaderError(f"expected the name of a file of a store, got {name!r}")
    return name


def _only(said: dict[str, Any], known: set[str]) -> None:
    if set(said) != known:
        raise HeaderError(f"expected {', '.join(sorted(known))}, got {', '.join(sorted(map(str, said)))}")
