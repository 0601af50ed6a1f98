"""The rows an index holds: packed codes and ids, which grow and shrink together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import ByteMatrix, IdArray
from lplr_index.blocks import BlockStore, Form, Piece
from lplr_index.ids import IdMap


class Rows:
    """Codes of ``code_size`` bytes under ids.

    Parameters
    ----------
    store : BlockStore
        The codes.
    ids : IdMap
        Their ids, as many.
    """

    def __init__(self, store: BlockStore, ids: IdMap) -> None:
        self.store = store
        self.ids = ids

    @classmethod
    def none(cls, form: Form) -> Rows:
        """No rows yet, of bytes of this form."""
        return cls(BlockStore(form), IdMap())

    def __len__(self) -> int:
        return self.ids.ntotal

    def __iter__(self) -> Iterator[Piece]:
        return iter(self.store)

    def append(self, codes: ByteMatrix, ids: IdArray | None) -> None:
        """Add codes (n, code_size) under ids (n,) of the user's own, or under the next ones where None.

        Raises
        ------
        InputError
            If an id is out of range, given twice or already held; nothing is added then.
        """
        if ids is not None:
            self.ids.check_new(ids)
        numbers = self.ids.fresh(len(codes)) if ids is None else ids
        self.store.append(codes)
        self.ids.extend(numbers, own=ids is not None)

    def keep(self, mask: npt.NDArray[np.bool_]) -> None:
        """Keep the rows of the mask (n,)."""
        self.store = self.store.keep(mask)
        self.ids.keep(mask)

    def codes(self, first: int, count: int) -> ByteMatrix:
        """The codes (count, code_size) of rows in the order they are held."""
        return self.codes_at(np.arange(first, first + count))

    def codes_at(self, rows: IdArray) -> ByteMatrix:
        """The codes (n, code_size) of rows by their number (n,) in the order they are held, which must be in range."""
        return self.store.rows(rows)

    def codes_of(self, ids: IdArray) -> ByteMatrix:
        """The codes (n, code_size) of rows by id (n,).

        Raises
        ------
        UnknownIdError
            If one of them is not held.
        """
        return self.codes_at(self.ids.rows_of(ids))
