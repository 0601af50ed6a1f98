"""A collection that grows on disk: a folder of immutable segments, a journal, and a manifest that says what counts.

``open_store`` opens one. From the ground up: ``keys`` (ids), ``arrangement`` (what rows are and where they lie: vectors
and codes as in ``flat``, codes in lists as in ``listed``), ``living`` (which of them live), ``segments`` (one file of
rows), ``journal`` (what came last), ``manifest`` and ``folder`` (what is there, and how it gets there), ``contents``
(all of it in one process), ``searching``, ``merging``, then ``following`` (a reader), ``ledger`` and ``writing`` (the
writer), and ``store``, the class.
"""

from __future__ import annotations

from lplr_index.store.folder import is_store
from lplr_index.store.opening import open_store
from lplr_index.store.store import Store

__all__ = ["Store", "is_store", "open_store"]
