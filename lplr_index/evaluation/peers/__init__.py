"""Other packages' indexes, one module a package, all behind ``Peer`` and ``PeerIndex``.

Sizes are what each offers, settings what its documentation recommends for recall, and no row is looked up among the
originals, which a user of any index may do besides.
"""

from __future__ import annotations

from lplr_index.evaluation.peers import faiss, lorann, rabitqlib, sentence_transformers, turbovec, usearch
from lplr_index.evaluation.peers.base import Peer, PeerIndex

PEERS: dict[str, Peer] = {
    module.PEER.name: module.PEER for module in (faiss, turbovec, rabitqlib, lorann, usearch, sentence_transformers)
}
"""Every package that is known, by name, whether installed or not."""

__all__ = ["PEERS", "Peer", "PeerIndex"]
