"""How a row of L becomes bits, and what those bits are worth to a query."""

from lplr_index.codecs.base import Codec, QueryTables, bound_tables, heavy_nibbles
from lplr_index.codecs.scalar import ScalarCodec

__all__ = ["Codec", "QueryTables", "ScalarCodec", "bound_tables", "heavy_nibbles"]
