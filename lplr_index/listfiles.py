"""How the lists of an index lie in a file, beside its model and its rows. See FORMAT.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.blocks import BlockStore
from lplr_index.coarse import Coarse, list_bytes, list_numbers, number_bytes
from lplr_index.container import natural, stated
from lplr_index.errors import HeaderError
from lplr_index.ivf import IndexIVFLPLR
from lplr_index.listmodel import ListModel
from lplr_index.lists import Lists
from lplr_index.model import Model
from lplr_index.rows import Rows
from lplr_index.settings import Settings

LIST_DTYPES = {"list_centroids": "<f4", "list_basis": "<f4", "list_numbers": "|u1", "list_reach": "<f4"}
"""Of the sections of lists."""


def list_arrays(index: IndexIVFLPLR) -> dict[str, npt.NDArray[Any]]:
    """The sections of the lists of a trained index, by name."""
    held = index.rows
    coarse, numbers = index.model.coarse, list_bytes(held.lists, index.nlist)
    basis = {} if coarse.basis is None else {"list_basis": coarse.basis}
    return {"list_centroids": coarse.centroids, **basis, "list_numbers": numbers, "list_reach": held.reach}


def list_header(index: IndexIVFLPLR) -> dict[str, Any]:
    """What a header says of lists."""
    return {"lists": {"nlist": index.nlist, "nprobe": index.nprobe}}


def list_blocks(index: IndexIVFLPLR) -> BlockStore:
    """All rows of an index, list by list."""
    return BlockStore.of_blocks(index.rows.whole().blocks, len(index), index.rows.form)


def index_of_lists(
    header: dict[str, Any],
    settings: Settings,
    model: Model | None,
    rows: Rows | None,
    arrays: dict[str, npt.NDArray[Any]],
) -> IndexIVFLPLR:
    """The index of parts that were checked already, and of the sections of its lists, which are checked here.

    Parameters
    ----------
    header : dict
        What ``list_header`` said.
    settings : Settings
        What the index was asked to be.
    model : Model or None
        The code, None before training.
    rows : Rows of shape (ntotal, code_size), or None
        The rows, list by list, and their ids, in the order of the rows' numbers.
    arrays : dict of str to ndarray of shape (n, d)
        All sections, by name.

    Raises
    ------
    HeaderError
        If the sections do not fit each other.
    InputError
        If they do not fit the rest.
    """
    said = stated(header, "lists", dict)
    nlist, nprobe = natural(said.get("nlist")), natural(said.get("nprobe"))
    if model is None or rows is None:
        return IndexIVFLPLR.of_lists(settings, None, None, nlist, nprobe)
    centroids, given, reach = (arrays[f"list_{name}"] for name in ("centroids", "numbers", "reach"))
    basis = np.array(arrays["list_basis"], np.float32) if "list_basis" in arrays else None
    coarse = Coarse(np.array(centroids, np.float32), settings.metric, basis)
    code = ListModel(model.mu, model.R, model.encoder, model.codec, model.gain, model.norm, coarse=coarse)
    code.check()
    if coarse.nlist != nlist or given.shape != (len(rows), number_bytes(nlist)) or reach.shape != (nlist, 2):
        raise HeaderError(f"expected {nlist} lists and the list of {len(rows)} rows, got others")
    lists = list_numbers(given)
    if lists.max(initial=0) >= nlist or np.isnan(reach).any():
        raise HeaderError(f"expected rows in lists 0 to {nlist - 1} and how far these reach, got others")
    held = Lists.of_blocks(rows.store, lists, np.array(reach, np.float32), rows.ids)
    return IndexIVFLPLR.of_lists(settings, code, held, nlist, nprobe)
