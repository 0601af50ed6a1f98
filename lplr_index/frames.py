"""Arrow tables and columns of what an index gives, for pandas, polars, DuckDB and whatever else reads Arrow.

The way in needs no function: ``train``, ``add``, ``search`` and ``add_sa_codes`` take columns and tables as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import as_array, as_codes, as_vectors
from lplr_index.arrow import EXTRA, bytes_column, list_column
from lplr_index.contract import Index
from lplr_index.errors import InputError
from lplr_index.extras import require
from lplr_index.metric import is_similarity


def search_table(index: Index, x: npt.ArrayLike, k: int, **options: Any) -> Any:
    """The k nearest rows of each query, one row a result.

    Parameters
    ----------
    index : IndexLPLR, IndexRefineLPLR or Store
        What is searched.
    x : array_like of shape (nq, d)
        Queries; a column or table of them too.
    k : int
        Neighbours wanted.
    **options
        As ``search`` of the index takes them.

    Returns
    -------
    pyarrow.Table
        ``query`` (int64, the row number in x), ``rank`` (int32, from zero), ``id`` (int64, or string) and ``score``
        (float32, larger is nearer), under L2 ``distance`` (float32, squared). Where an index has fewer than k rows,
        there are fewer. ``to_pandas()`` and ``polars.from_arrow`` make frames of it.

    Raises
    ------
    InputError
        As ``search`` raises it.
    MissingDependencyError
        Without pyarrow.
    """
    arrow = require("pyarrow", EXTRA)
    D, I = index.search(x, k, **options)
    missing: Any = None if I.dtype == object else -1  # a store's strings are objects
    found = np.not_equal(I, missing)
    query, rank = np.nonzero(found)
    return arrow.table(
        {
            "query": query,
            "rank": rank.astype(np.int32),
            "id": I[found],
            "score" if is_similarity(index.metric_type) else "distance": D[found],
        }
    )


def vector_column(x: npt.ArrayLike) -> Any:
    """Vectors x (n, d), such as ``reconstruct_n`` gives, as a pyarrow array of n lists of d float32.

    Its memory is that of x, where x is a contiguous float32 array.
    """
    return list_column(as_vectors(x))


def code_column(codes: npt.ArrayLike) -> Any:
    """Codes (n, code_size) uint8, such as ``sa_encode`` gives, as a pyarrow array of n times code_size bytes.

    Its memory is that of the codes, where they are contiguous. ``add_sa_codes`` takes such a column.

    Raises
    ------
    InputError
        If they are something else.
    """
    rows = as_array(codes, name="codes")
    if rows.ndim != 2:
        raise InputError(f"expected codes of shape (n, code_size), got shape {rows.shape}")
    return bytes_column(as_codes(rows, rows.shape[1]))
