"""``open_store``: a store that is there, or a new one."""

from __future__ import annotations

import os
from pathlib import Path

from lplr_index.arrays import as_integer
from lplr_index.errors import InputError
from lplr_index.metric import parse_metric
from lplr_index.settings import Settings
from lplr_index.store.folder import file_name, is_store, make_folder, read_manifest
from lplr_index.store.following import Follower
from lplr_index.store.manifest import KINDS, Manifest
from lplr_index.store.store import Store
from lplr_index.store.writing import Writer
from lplr_index.training import TRAIN_ROWS as TRAINING_ROWS

TRAIN_ROWS = 10_000  # rows at which a store trains itself


def open_store(
    path: str | os.PathLike[str],
    d: int | None = None,
    bits: float | None = None,
    metric: str | int | None = None,
    *,
    ids: str | None = None,
    method: str | None = None,
    seed: int | None = None,
    nlist: int | None = None,
    train_rows: int | None = TRAIN_ROWS,
    background: bool = True,
    read_only: bool = False,
    skip_damaged: bool = False,
) -> Store:
    """Open a store, or make one where there is none.

    Parameters
    ----------
    path : str or os.PathLike
        Its folder. A new one is made in a folder that exists.
    d : int, optional
        Dimension of the vectors, which a new store needs to know.
    bits : float, optional
        Bits per coordinate that the code of a row may cost, as for ``IndexLPLR``; 1 where None.
    metric : {"cosine", "ip", "l2"} or int, optional
        Similarity, as for ``IndexLPLR``; cosine where None.
    ids : {"int", "str"}, optional
        The kind of ids; integers where None.
    method : str, optional
        How rows are coded, as for ``IndexLPLR``; ``auto`` where None.
    seed : int, optional
        As for ``IndexLPLR``; 0 where None.
    nlist : int, optional
        Lists that rows are dealt out to, as for ``IndexIVFLPLR``, of which a search looks at ``nprobe``. Where None, a
        new store has none, and every search looks at all rows. Training lists needs faiss.
    train_rows : int, optional
        As soon as there are so many rows, and 16 for each list or 65,536, the store trains itself on them and packs
        them; before, they are kept as float32 and searched exactly. Where None, only ``train`` does that.
    background : bool
        Merge small segments in a thread, or, where False, in the call that makes that due. Results are the same.
    read_only : bool
        Only search. Any number of processes may, while another one writes: each search sees what was written by then.
    skip_damaged : bool
        Leave out segments that are missing or damaged, where a store is opened with ``read_only``.
        ``snapshot`` then writes what is left as a whole store.

    Raises
    ------
    InputError
        If an argument is out of range, or is not what the store was made with.
    LockedError
        If it is to be written and has a writer already: the message says who and since when.
    FormatError
        One of its subclasses, if a file of the store is missing or damaged: the message names it.
    WriteError
        If it cannot be written.
    FileNotFoundError
        If there is none to open.
    """
    folder = Path(path)
    if skip_damaged and not read_only:
        raise InputError("expected skip_damaged together with read_only, got it for a store that is to be written")
    if train_rows is not None:
        train_rows = as_integer(train_rows, "train_rows", least=1)
    if ids not in (None, *KINDS):
        raise InputError(f"expected ids to be one of {', '.join(KINDS)}, got {ids!r}")
    fresh = None
    if not is_store(folder) and not read_only:
        if d is None:
            read_manifest(folder)  # which says that there is none
        settings = Settings.of(d or 0, *_asked(bits, metric, method), None, None, 8, seed or 0)
        fresh = _fresh(settings, ids or "int", _as_lists(nlist, settings.method))
        make_folder(folder)
    store = Store(
        Follower(folder, skip_damaged=skip_damaged)
        if read_only
        else Writer(folder, fresh, train_rows, background=background)
    )
    try:
        store.check(d, bits, metric, ids, method, seed, nlist)
    except InputError:
        store.close()
        raise
    return store


def _asked(bits: float | None, metric: str | int | None, method: str | None) -> tuple[float, str, str]:
    return 1.0 if bits is None else bits, parse_metric("cosine" if metric is None else metric), method or "auto"


def _as_lists(nlist: int | None, method: str) -> int:
    """How many lists, 0 for none."""
    if nlist is None:
        return 0
    if method != "auto":
        raise InputError(f"expected no method but auto with nlist, got {method!r}")
    return as_integer(nlist, "nlist", least=1, most=TRAINING_ROWS)  # of more, training would find too few rows


def _fresh(settings: Settings, ids: str, nlist: int) -> Manifest:
    return Manifest(1, settings, ids, None, None, file_name("journal", 1), (), 0, 1, nlist)
