"""The folder of a store: names of files, the step that makes a new manifest count, and what is left to sweep."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from lplr_index.atomic import atomic_write, sync_folder
from lplr_index.container import mapped
from lplr_index.errors import FormatError, MissingFileError, NotAnIndexError, WriteError
from lplr_index.index import IndexLPLR
from lplr_index.ivf import NPROBE, IndexIVFLPLR
from lplr_index.listmodel import ListModel
from lplr_index.model import Model
from lplr_index.settings import Settings
from lplr_index.storage import read_index, write_index
from lplr_index.store.manifest import Manifest, pack_manifest, parse_manifest
from lplr_index.store.segments import Stamp, map_file

MANIFEST = "manifest"
LOCK = "lock"
_OURS = re.compile(r"(?:segment|live|journal)-\d{8,19}|model-[0-9a-f]{16}|\.[0-9a-f]{16}\.tmp")


def file_name(kind: str, serial: int) -> str:
    """The name of a ``segment``, ``live`` or ``journal`` file."""
    return f"{kind}-{serial:08d}"


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a store lies there."""
    return (Path(path) / MANIFEST).is_file()


def read_manifest(folder: Path) -> bytes:
    """The bytes of the manifest.

    Raises
    ------
    NotAnIndexError
        If the folder holds none.
    FileNotFoundError
        If there is no folder.
    """
    try:
        return (folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        if not folder.is_dir():
            raise
        raise NotAnIndexError(f"expected a store, a folder with a {MANIFEST}, got {folder}") from None
    except NotADirectoryError as err:
        raise NotAnIndexError(f"expected a store, a folder with a {MANIFEST}, got the file {folder}") from err


def parsed(folder: Path, data: bytes) -> Manifest:
    """The manifest of a folder in its bytes; what is raised names the file."""
    with naming(folder, MANIFEST):
        return parse_manifest(data)


def publish(folder: Path, manifest: Manifest) -> bytes:
    """Make a manifest count: what it names must be on the disk. Returns its bytes; raises WriteError if it does not."""
    data = pack_manifest(manifest)
    with atomic_write(folder / MANIFEST) as stream:
        stream.write(data)
    return data


@contextlib.contextmanager
def naming(folder: Path, name: str) -> Iterator[None]:
    """Say what is wrong with a file with its path; that it is missing is one such thing.

    Raises
    ------
    FormatError
        One of its subclasses.
    """
    path = folder / name
    try:
        yield
    except FormatError as err:
        err.args = (f"{path}: {err}",)
        raise
    except FileNotFoundError as err:
        raise MissingFileError(f"{path}: expected a file, which the manifest names, got none") from err


def index_of(settings: Settings, nlist: int, model: Model | None) -> IndexLPLR:
    """The empty index, in so many lists or in none, that encodes rows for a store, or trains."""
    if nlist:
        trained = model if isinstance(model, ListModel) else None
        return IndexIVFLPLR.of_lists(settings, trained, None, nlist, min(NPROBE, nlist))
    return IndexLPLR.restored(settings, model, None)


def write_model(folder: Path, index: IndexLPLR) -> Stamp:
    """Write the model of an index without rows, as this index; raises WriteError if that cannot be done."""
    name = f"model-{index.model.digest[:16]}"
    write_index(index, folder / name)
    with (folder / name).open("rb") as stream:
        data = mapped(stream)
    return Stamp(name, len(data), int.from_bytes(data[16:20].tobytes(), "little"))


def read_model_of(folder: Path, manifest: Manifest) -> Model | None:
    """The model that all segments share, None before training.

    Raises
    ------
    FormatError
        One of its subclasses, if it is missing, damaged, or another.
    """
    if manifest.model is None:
        return None
    with naming(folder, manifest.model.name):
        map_file(folder, manifest.model)
    index = read_index(folder / manifest.model.name)  # which names the file itself
    with naming(folder, manifest.model.name):
        if not isinstance(index, IndexLPLR) or not index.is_trained or index.model.digest != manifest.digest:
            raise FormatError(f"expected the training {manifest.digest}, got another")
        if (index.nlist if isinstance(index, IndexIVFLPLR) else 0) != manifest.nlist:
            raise FormatError(f"expected a training of {manifest.nlist} lists, got another")
        return index.model


def sweep(folder: Path, manifest: Manifest | None) -> None:
    """Remove files that do not count: of a writer that died, or that merging has replaced."""
    counted = manifest.names if manifest else set()
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in counted:
            remove(folder, path.name)


def strangers(folder: Path) -> str:
    """What a folder holds that is no file of a store, empty where there is nothing such."""
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join([name for name in names if not _OURS.fullmatch(name) and name != LOCK][:3])


def remove(folder: Path, name: str) -> None:
    """Remove a file, which others may still have mapped, and which the next sweep removes if this cannot."""
    with contextlib.suppress(OSError):
        (folder / name).unlink()


def make_folder(folder: Path) -> None:
    """Make the folder of a new store, unless it is there.

    Raises
    ------
    WriteError
        If it cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
    except OSError as err:
        raise WriteError(f"cannot write {folder}: {err.strerror or err}") from err
