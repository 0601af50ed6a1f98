"""HERA and QET: columns are swapped in pairs, which is remembered, and then quantized in groups."""

from lplr_index.hera.entanglement import ENTANGLEMENTS, Entangled, entangle
from lplr_index.hera.groups import Stage

__all__ = ["ENTANGLEMENTS", "Entangled", "Stage", "entangle"]
