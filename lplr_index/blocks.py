"""Where codes live: blocks of 32 rows in the layout of the scan, in pieces that grow without moving."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, IdArray
from lplr_index.errors import InputError
from lplr_index.memory import aligned

BLOCK = 32  # rows of one block, as in kernels/scan.py
PIECE = 8192  # blocks of a piece: a new row never copies more than one piece


class Form(NamedTuple):
    """What the bytes of a row are, in their order, and so what lies where in a block: see kernels/bounds.py.

    Attributes
    ----------
    nibbles : int
        Nibbles, an even number; a column of 16 bytes each in a block.
    singles : int
        Bytes that are each read by themselves (of centroids, of a gain); a run of 32 bytes each.
    norms : int
        Numbers of two bytes; a run of 64 bytes each.
    """

    nibbles: int = 0
    singles: int = 0
    norms: int = 0

    @property
    def code_size(self) -> int:
        """Bytes of a row."""
        return self.nibbles // 2 + self.singles + 2 * self.norms

    @property
    def singles_at(self) -> int:
        """Where the runs of single bytes start in a block."""
        return self.nibbles // 2 * BLOCK

    @property
    def norms_at(self) -> int:
        """Where the runs of two-byte numbers start in a block."""
        return (self.nibbles // 2 + self.singles) * BLOCK


class Piece(NamedTuple):
    """A run of whole blocks: ``blocks`` (blocks, 32 * code_size) uint8 hold rows ``row0`` to ``row0 + rows``."""

    blocks: ByteMatrix
    row0: int
    rows: int


class BlockStore:
    """The codes of an index, row after row.

    Pieces that came from a file stay where they are, mapped and read-only; rows that are added go into pieces of their
    own, so an index grows without copying what it holds, and its memory stays close to the bytes of its codes.
    Every piece but the last ends with a full block.

    Parameters
    ----------
    form : Form
        What the bytes of a row are.
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        self.ntotal = 0
        self._pieces: list[ByteMatrix] = []
        self._rows: list[int] = []

    @classmethod
    def of_blocks(cls, blocks: ByteMatrix, ntotal: int, form: Form) -> BlockStore:
        """A store over existing blocks (ceil(ntotal / 32), 32 * code_size), which are not copied."""
        store = cls(form)
        if ntotal:
            store._pieces, store._rows, store.ntotal = [blocks], [ntotal], ntotal
        return store

    @property
    def code_size(self) -> int:
        """Bytes of a row."""
        return self.form.code_size

    def __iter__(self) -> Iterator[Piece]:
        row0 = 0
        for blocks, rows in zip(self._pieces, self._rows, strict=True):
            yield Piece(blocks, row0, rows)
            row0 += rows

    def append(self, codes: ByteMatrix) -> None:
        """Add rows of codes (n, code_size) uint8."""
        from lplr_index.kernels import codes as kernel

        done = 0
        while done < len(codes):
            self._open_piece()
            held = self._rows[-1]
            n = min(len(codes) - done, PIECE * BLOCK - held)
            self._reserve(held + n)
            kernel.weave(codes[done : done + n], held, self.form.nibbles, self.form.singles, self._pieces[-1])
            self._rows[-1] += n
            self.ntotal += n
            done += n

    def rows(self, rows: IdArray) -> ByteMatrix:
        """The codes (n, code_size) of the given row numbers, which must be in range."""
        from lplr_index.kernels import codes as kernel

        out = np.empty((len(rows), self.code_size), np.uint8)
        for piece in self:
            here = np.flatnonzero((rows >= piece.row0) & (rows < piece.row0 + piece.rows))
            if len(here):
                part = np.empty((len(here), self.code_size), np.uint8)
                kernel.unweave(piece.blocks, rows[here] - piece.row0, self.form.nibbles, self.form.singles, part)
                out[here] = part
        return out

    def keep(self, mask: npt.NDArray[np.bool_]) -> BlockStore:
        """A store of the rows of the mask (ntotal,), in their order; this one is left as it is."""
        kept = BlockStore(self.form)
        for piece in self:
            for start in range(0, piece.rows, PIECE * BLOCK):
                stop = min(start + PIECE * BLOCK, piece.rows)
                chosen = np.flatnonzero(mask[piece.row0 + start : piece.row0 + stop]) + piece.row0 + start
                kept.append(self.rows(chosen))
        return kept

    def view(self) -> BlockStore:
        """A store of the rows there are now, to be read: rows that are added here later do not show in it."""
        held = BlockStore(self.form)
        held._pieces, held._rows, held.ntotal = list(self._pieces), list(self._rows), self.ntotal
        return held

    def whole(self) -> Iterator[ByteMatrix]:
        """The blocks as a file holds them: all full but the last, whose unused rows are zero."""
        for piece in self:
            yield piece.blocks[: -(-piece.rows // BLOCK)]

    def _open_piece(self) -> None:
        """Make the last piece one that can take a row."""
        if self._pieces and self._rows[-1] < PIECE * BLOCK and self._pieces[-1].flags.writeable:
            return
        if self._pieces and self._rows[-1] % BLOCK:  # a read-only or oversized piece ends inside a block: move its tail
            whole = self._rows[-1] // BLOCK
            tail = self._pieces[-1][whole : whole + 1].copy()
            left = self._rows[-1] - whole * BLOCK
            self._pieces[-1], self._rows[-1] = self._pieces[-1][:whole], whole * BLOCK
            if not whole:
                del self._pieces[-1], self._rows[-1]
            self._pieces.append(tail)
            self._rows.append(left)
            return
        self._pieces.append(aligned((0, BLOCK * self.code_size)))
        self._rows.append(0)

    def _reserve(self, rows: int) -> None:
        """Grow the last piece to hold ``rows`` rows: by half at least, a whole piece at most."""
        need, have = -(-rows // BLOCK), len(self._pieces[-1])
        if need > have:
            size = min(PIECE, max(need, have + have // 2))
            if size < need:
                raise InputError(f"expected at most {PIECE} blocks in a piece, got {need}")
            grown = aligned((size, BLOCK * self.code_size))
            grown[:have] = self._pieces[-1]
            self._pieces[-1] = grown
