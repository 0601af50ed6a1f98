"""Indexes of faiss that hold the same codes and give the same results, where a layout has such an equivalent."""

from __future__ import annotations

from typing import Any

import numpy as np

from lplr_index.codecs import ScalarCodec
from lplr_index.errors import UnsupportedError
from lplr_index.extras import require
from lplr_index.index import IndexLPLR


def to_faiss(index: IndexLPLR) -> Any:
    """A faiss index with the rows of ``index`` and the same results up to float rounding.

    A linear transform does what R does, an ``IndexScalarQuantizer`` holds L; under cosine a normalisation comes first.
    Ids of your own are kept by an ``IndexIDMap2``.

    Parameters
    ----------
    index : IndexLPLR
        Trained, by ``lplr``, ``lsvd``, ``dsvd`` or ``nq`` with 4 or 8 bits an entry: faiss's scalar quantizers know
        uniform columns of these widths, no gain and no other levels.

    Raises
    ------
    UnsupportedError
        If the index has no exact equivalent: another method or width, or L2 with an R that is not the identity.
    MissingDependencyError
        If faiss is not installed.
    """
    faiss = require("faiss", "eval")
    model, nbits = index.model, index.settings.nbits
    codec = model.codec
    if index.method == "auto" or nbits not in (4, 8) or not isinstance(codec, ScalarCodec):
        raise UnsupportedError(
            f"expected uniform columns of 4 or 8 bits without gain, which faiss has, got method {index.method!r}"
            + (f" with {nbits} bits" if nbits else "")
        )
    if index.metric == "l2" and model.R is not None:
        raise UnsupportedError(f"expected cosine or ip, or nq under L2, got L2 with the R of {index.method!r}")
    kind = faiss.ScalarQuantizer.QT_4bit if nbits == 4 else faiss.ScalarQuantizer.QT_8bit
    scalar = faiss.IndexScalarQuantizer(codec.m, kind, index.metric_type)
    low = codec.levels[codec.starts[:-1]].astype(np.float64)
    high = codec.levels[codec.starts[1:] - 1].astype(np.float64)
    # faiss decodes code c of n as vmin + (c + 1/2) / (n - 1) * vdiff, half a step above ours.
    vmin, vdiff = low - (high - low) / (2 * ((1 << nbits) - 1)), high - low
    faiss.copy_array_to_vector(np.concatenate([vmin, vdiff]).astype(np.float32), scalar.sq.trained)
    scalar.is_trained = True
    chain = [scalar]
    if model.R is not None:
        transform = faiss.LinearTransform(index.d, codec.m, False)  # noqa: FBT003 - no bias
        faiss.copy_array_to_vector(np.ascontiguousarray(model.R).reshape(-1), transform.A)
        transform.is_trained = True
        chain.append(faiss.IndexPreTransform(transform, chain[-1]))
    if index.metric == "cosine":
        chain.append(faiss.IndexPreTransform(faiss.NormalizationTransform(index.d, 2.0), chain[-1]))
    ids = index.rows.ids.stored
    if len(ids):
        chain.append(faiss.IndexIDMap2(chain[-1]))  # it takes an index only while that is empty
        faiss.copy_array_to_vector(ids, chain[-1].id_map)
    if index.ntotal:
        scalar.add_sa_codes(_codes(index, codec, nbits))
    for link in chain:
        link.ntotal = scalar.ntotal
    if len(ids):
        chain[-1].construct_rev_map()
    return chain[-1]


def _codes(index: IndexLPLR, codec: ScalarCodec, nbits: int) -> Any:
    """The codes of all rows (n, bytes) as faiss packs them: 4 bits low nibble first, 8 bits a byte each."""
    rows = codec.column_codes(np.ascontiguousarray(index.rows.codes(0, len(index))[:, : codec.nibbles // 2]))
    if nbits == 8:
        return rows
    padded = np.concatenate([rows, np.zeros((len(rows), rows.shape[1] % 2), np.uint8)], axis=1)
    return np.ascontiguousarray(padded[:, 0::2] | (padded[:, 1::2] << 4))
