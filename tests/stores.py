"""What tests of the store share: small stores, the index they must equal, and damage."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from indexes import D_SMALL, queries, rows, trained, training_rows
from lplr_index import open_store
from lplr_index.store import merging

FLUSH_ROWS = 64  # rows of a journal, where tests want many segments


def small(path, kind="int", *, metric="cosine", bits=2.0, trains=True, **options):
    """Return a new store of 48 dimensions, which knows its data unless it is to learn them."""
    options.setdefault("train_rows", None)
    store = open_store(path, D_SMALL, bits, metric, ids=kind, **options)
    if trains:
        store.train(training_rows())
    return store


def twin(metric="cosine", kind="auto-2"):
    """Return the index that such a store must equal."""
    return trained(metric, kind)


@cache
def _made(kind):
    """Return the files of a store with some segments, dead rows in them, and a journal."""
    folder = Path(tempfile.mkdtemp()) / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "FLUSH_ROWS", FLUSH_ROWS)
        patch.setattr(merging, "FAN", 1000)
        with small(folder, kind, background=False) as store:
            for start in range(0, 200, 20):
                store.add(rows(200)[start : start + 20], names(range(start, start + 20), kind))
            store.delete(names([3, 70, 71], kind))
            store.add(rows(330)[200:330], names(range(200, 330), kind))
            store.upsert(rows(3)[:2], names([5, 199], kind))
            store.delete(names([150, 329], kind))
            assert store.info()["segments"] > 1
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder.parent)
    return files


def written(path, kind="int"):
    """Write a store with some segments, dead rows in them, and a journal; return its folder."""
    path.mkdir()
    for name, data in _made(kind).items():
        (path / name).write_bytes(data)
    return path


def written_twin():
    """Return the index that ``written`` equals."""
    index = trained()
    index.add(rows(330))
    index.remove_ids([3, 70, 71, 150, 329, 5, 199])
    index.add_with_ids(rows(3)[:2], [5, 199])
    return index


def names(ids, kind):
    """Return ids as a store of this kind has them."""
    return [f"row {i}" for i in ids] if kind == "str" else list(ids)


def file_of(folder, kind):
    """Return the last file of a kind: segment, live, journal or model."""
    return max(folder.glob(f"{kind}-*"))


def flip(path, place):
    """Change one bit of a file; a place below zero counts from the end."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.unlink()  # who has mapped the old file keeps it
    path.write_bytes(data)


def assert_same_results(store, index, k=700):
    """Compare a store with the index of the same rows, bit for bit."""
    assert store.ntotal == len(store) == index.ntotal
    for actual, expected in zip(store.search(queries(), k), index.search(queries(), k), strict=True):
        np.testing.assert_array_equal(actual, expected)
    radius = 2.0 if index.metric == "l2" else 0.3
    order = np.argsort(index.rows.ids.all())
    lims, D, I = index.range_search(queries(), radius)
    by_id = np.concatenate([np.lexsort((I[a:b],)) + a for a, b in pairwise(lims)])
    for actual, expected in zip(store.range_search(queries(), radius), (lims, D[by_id], I[by_id]), strict=True):
        np.testing.assert_array_equal(actual, expected)
    ids = index.rows.ids.all()[order]
    np.testing.assert_array_equal(store.reconstruct_batch(ids), index.reconstruct_batch(ids))
