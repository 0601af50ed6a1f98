"""Embedding files: opened by ``open_vectors``, written by ``write_vectors`` and ``write_chunks``.

``base`` says what every format answers to, one module per family of formats reads and writes it, ``formats`` finds
the family by suffix, ``sources`` makes one matrix of folders and patterns, ``writing`` makes files.
"""

from lplr_index.vectors.base import VectorFile
from lplr_index.vectors.sources import open_vectors
from lplr_index.vectors.writing import write_chunks, write_vectors

__all__ = ["VectorFile", "open_vectors", "write_chunks", "write_vectors"]
