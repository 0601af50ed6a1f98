"""Many machines: a store that is built and searched by the workers of a cluster, with the results of one index.

From the ground up: ``slices`` (how rows are shared out), ``machines`` (what a cluster must be able to do; this process
is the smallest), ``publishing`` (how segments become a store), ``building`` and ``searching``. ``on_ray`` is the one
module that knows Ray.
"""

from __future__ import annotations

from lplr_index.cluster.building import build_store
from lplr_index.cluster.searching import ClusterStore

__all__ = ["ClusterStore", "build_store"]
