"""Where codes live: blocks of 32 rows in the layout of the scan, in pieces that grow without moving.

Heads of blocks lie apart from their tails, so that a search that does not look at all of every row reads little else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, IdArray
from lplr_index.errors import InputError
from lplr_index.memory import aligned

BLOCK = 32  # rows of one block, as in kernels/scan.py
PIECE = 8192  # blocks of a piece: a new row never copies more than one piece


class Form(NamedTuple):
    """What the bytes of a row are, in their order, and so what lies where in a block: see kernels/layout.py.

    Attributes
    ----------
    nibbles : int
        Nibbles, an even number; a column of 16 bytes each in a block.
    singles : int
        Bytes that are each read by themselves (of centroids, of a gain); a run of 32 bytes each.
    norms : int
        Numbers of two bytes; a run of 64 bytes each.
    tail : int
        How many of the nibbles, an even number, lie in the tails of blocks: the last ones.
    """

    nibbles: int = 0
    singles: int = 0
    norms: int = 0
    tail: int = 0

    @property
    def code_size(self) -> int:
        """Bytes of a row."""
        return self.nibbles // 2 + self.singles + 2 * self.norms

    def shapes(self, n: int) -> dict[str, tuple[int, int]]:
        """The sections of a file for blocks of n rows, and their shapes: of the tails only if there are any."""
        count = -(-n // BLOCK)
        tails = {"tails": (count, BLOCK * self.tail_size)} if self.tail else {}
        return {"blocks": (count, BLOCK * self.head_size), **tails}

    @property
    def head(self) -> int:
        """Nibbles in the heads of blocks."""
        return self.nibbles - self.tail

    @property
    def head_size(self) -> int:
        """Bytes of a row in the heads."""
        return self.code_size - self.tail_size

    @property
    def tail_size(self) -> int:
        """Bytes of a row in the tails."""
        return self.tail // 2

    @property
    def singles_at(self) -> int:
        """Where the runs of single bytes start in a head."""
        return self.head // 2 * BLOCK

    @property
    def norms_at(self) -> int:
        """Where the runs of two-byte numbers start in a head."""
        return (self.head // 2 + self.singles) * BLOCK


class Blocks(NamedTuple):
    """Whole blocks: their heads (blocks, 32 * head_size) and their tails (blocks, 32 * tail_size), uint8."""

    heads: ByteMatrix
    tails: ByteMatrix

    @classmethod
    def room(cls, count: int, form: Form) -> Blocks:
        """So many without rows."""
        return cls(*(aligned((count, BLOCK * size)) for size in (form.head_size, form.tail_size)))

    @classmethod
    def of_sections(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Blocks:
        """Those in the sections of a file, (blocks, bytes) each, as ``Form.shapes`` has them."""
        heads = arrays["blocks"]
        return cls(heads, arrays.get("tails", heads[:, :0]))

    def section(self, name: str) -> ByteMatrix:
        """What is in a section of that name, (blocks, bytes)."""
        return self.heads if name == "blocks" else self.tails

    @property
    def n(self) -> int:
        """How many."""
        return len(self.heads)

    @property
    def is_writeable(self) -> bool:
        """Whether rows can be written into them."""
        return bool(self.heads.flags.writeable)

    def some(self, first: int, last: int) -> Blocks:
        """Those from ``first`` to ``last``."""
        return Blocks(self.heads[first:last], self.tails[first:last])

    def copied(self, count: int, form: Form) -> Blocks:
        """A copy with room for ``count``."""
        larger = Blocks.room(count, form)
        for part, own in zip(larger, self, strict=True):
            part[: len(own)] = own
        return larger

    def write(self, codes: ByteMatrix, first: int, form: Form) -> None:
        """Write rows of codes (n, code_size) uint8 from row ``first`` on."""
        from lplr_index.kernels import codes as kernel

        kernel.weave(codes, first, form.head, form.nibbles, form.singles, *self)

    def read(self, rows: IdArray, form: Form) -> ByteMatrix:
        """The codes (n, code_size) of rows (n,)."""
        from lplr_index.kernels import codes as kernel

        out = np.empty((len(rows), form.code_size), np.uint8)
        kernel.unweave(*self, rows, form.head, form.nibbles, form.singles, out)
        return out


class Piece(NamedTuple):
    """A run of whole blocks, which hold rows ``row0`` to ``row0 + rows``."""

    blocks: Blocks
    row0: int
    rows: int

    @property
    def flat(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Heads and tails as kernels take them, (bytes,) each."""
        return self.blocks.heads.reshape(-1), self.blocks.tails.reshape(-1)


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
        self._pieces: list[Blocks] = []
        self._rows: list[int] = []

    @classmethod
    def of_blocks(cls, blocks: Blocks, ntotal: int, form: Form) -> BlockStore:
        """A store over existing blocks, ceil(ntotal / 32) of them, which are not copied."""
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
        done = 0
        while done < len(codes):
            self._open_piece()
            held = self._rows[-1]
            n = min(len(codes) - done, PIECE * BLOCK - held)
            self._reserve(held + n)
            self._pieces[-1].write(codes[done : done + n], held, self.form)
            self._rows[-1] += n
            self.ntotal += n
            done += n

    def rows(self, rows: IdArray) -> ByteMatrix:
        """The codes (n, code_size) of the given row numbers, which must be in range."""
        out = np.empty((len(rows), self.code_size), np.uint8)
        for piece in self:
            here = np.flatnonzero((rows >= piece.row0) & (rows < piece.row0 + piece.rows))
            if len(here):
                out[here] = piece.blocks.read(rows[here] - piece.row0, self.form)
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

    def whole(self) -> Iterator[Blocks]:
        """The blocks as a file holds them: all full but the last, whose unused rows are zero."""
        for piece in self:
            yield piece.blocks.some(0, -(-piece.rows // BLOCK))

    def _open_piece(self) -> None:
        """Make the last piece one that can take a row."""
        if self._pieces and self._rows[-1] < PIECE * BLOCK and self._pieces[-1].is_writeable:
            return
        if self._pieces and self._rows[-1] % BLOCK:  # a read-only or oversized piece ends inside a block: move its tail
            whole = self._rows[-1] // BLOCK
            last = self._pieces[-1].some(whole, whole + 1).copied(1, self.form)
            left = self._rows[-1] - whole * BLOCK
            self._pieces[-1], self._rows[-1] = self._pieces[-1].some(0, whole), whole * BLOCK
            if not whole:
                del self._pieces[-1], self._rows[-1]
            self._pieces.append(last)
            self._rows.append(left)
            return
        self._pieces.append(Blocks.room(0, self.form))
        self._rows.append(0)

    def _reserve(self, rows: int) -> None:
        """Grow the last piece to hold ``rows`` rows: by half at least, a whole piece at most."""
        need, have = -(-rows // BLOCK), self._pieces[-1].n
        if need > have:
            size = min(PIECE, max(need, have + have // 2))
            if size < need:
                raise InputError(f"expected at most {PIECE} blocks in a piece, got {need}")
            self._pieces[-1] = self._pieces[-1].copied(size, self.form)
