"""What a search may look at: a mask over rows, ids, or one of faiss's selectors, all turned into a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import as_array, as_ids
from lplr_index.errors import InputError
from lplr_index.ids import IdMap


def row_mask(filter: Any, params: Any, ids: IdMap) -> npt.NDArray[np.bool_] | None:
    """The rows (ntotal,) that a search may return, or None for all.

    Parameters
    ----------
    filter : array_like of shape (ntotal,), bool, or of shape (n,), integer, or faiss.IDSelector, or None
        Rows to keep, ids to keep, or a selector of ids.
    params : faiss.SearchParameters or None
        Its ``sel`` is taken; give this or ``filter``, not both.
    ids : IdMap
        The ids of the rows.

    Raises
    ------
    InputError
        If both are given, the mask has another length, or the filter is none of the above.
    """
    selector = getattr(params, "sel", None)
    if params is not None and not hasattr(params, "sel"):
        raise InputError(f"expected params to be a faiss.SearchParameters, got {type(params).__name__}")
    if filter is not None and selector is not None:
        raise InputError("expected a filter or params with a selector, got both")
    chosen = selector if filter is None else filter
    return None if chosen is None else select(chosen, ids)


def select(chosen: Any, ids: IdMap) -> npt.NDArray[np.bool_]:
    """The rows (ntotal,) that a mask, an array of ids or a faiss.IDSelector chooses.

    Raises
    ------
    InputError
        If it is none of these, or a mask of another length.
    """
    if hasattr(chosen, "is_member"):
        return _ask_selector(chosen, ids)
    mask = as_array(chosen, name="filter")
    if mask.dtype == np.bool_:
        if mask.shape != (ids.ntotal,):
            raise InputError(f"expected a mask over {ids.ntotal} rows, got shape {mask.shape}")
        return mask
    return ids.mask_of(as_ids(mask, name="filter ids"))


def _ask_selector(selector: Any, ids: IdMap) -> npt.NDArray[np.bool_]:
    """Ask faiss about each id; ranges, by far the most common, without a call a row."""
    numbers = ids.all()
    if type(selector).__name__ == "IDSelectorRange":
        inside: npt.NDArray[np.bool_] = (numbers >= selector.imin) & (numbers < selector.imax)
        return inside
    member = selector.is_member
    return np.fromiter((member(number) for number in numbers.tolist()), np.bool_, len(numbers))
