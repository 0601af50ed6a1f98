"""How a row of L becomes bits, and what those bits are worth to a query."""

from lplr_index.codecs.base import Codec, QueryTables
from lplr_index.codecs.centroids import Centroids
from lplr_index.codecs.scalar import ScalarCodec
from lplr_index.codecs.trellis import Chain, TrellisCodec

__all__ = ["Centroids", "Chain", "Codec", "QueryTables", "ScalarCodec", "TrellisCodec"]
