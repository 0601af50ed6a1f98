"""How codes share nibbles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def pack_fields(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Cut codes into fields of at most four bits and put them into nibbles without waste.

    Parameters
    ----------
    bits : ndarray of shape (m,)
        Bits of each column, 0 to 8.

    Returns
    -------
    ndarray of shape (fields, 5), int32
        Column, nibble, shift in the nibble, mask, shift in the code; by column, most significant field first.

    Notes
    -----
    A field never crosses a nibble, so a nibble's value selects all its columns' parts with one look-up.
    Codes over four bits are cut into four bits and the rest.
    A field of three bits needs a single bit beside it; where those run out, some are cut into two and one.
    """
    pieces: list[tuple[int, int, int]] = []  # width, column, shift in the code
    for j, b in enumerate(bits.tolist()):
        high = min(b, 4)
        if b > 4:
            pieces.append((b - 4, j, 0))
        if high:
            pieces.append((high, j, b - high))
    ones = sum(width == 1 for width, _, _ in pieces)
    threes = [piece for piece in pieces if piece[0] == 3]
    for piece in threes[len(threes) - max(0, -(-(len(threes) - ones) // 2)) :]:
        _, j, shift = piece
        pieces.remove(piece)
        pieces += [(2, j, shift + 1), (1, j, shift)]

    room: list[list[int]] = [[], [], [], [], []]  # nibbles by free bits
    fields, count = [], 0
    for width, j, shift in sorted(pieces, key=lambda piece: -piece[0]):
        fit = next((free for free in range(width, 4) if room[free]), None)
        if fit is None:
            nibble, fit, count = count, 4, count + 1
        else:
            nibble = room[fit].pop(0)
        room[fit - width].append(nibble)
        fields.append((j, nibble, 4 - fit, (1 << width) - 1, shift))
    fields.sort(key=lambda field: (field[0], -field[4]))
    return np.array(fields, np.int32).reshape(-1, 5)
