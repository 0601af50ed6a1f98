"""The search of the nearest point of the E8 codebooks; what they are says ``caldera.lattice``.

This file is an island: it imports nothing of this package. numba's cache does not see edits in other files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

WIDTH = 8
SHIFT = np.float32(0.25)

Array = np.ndarray[Any, np.dtype[Any]]


@njit(nogil=True, cache=True)
def nearest(x: Array, shapes: Array, longest: Array, alone: Array, number_of: Array, out: Array) -> None:
    """Write the codes of the points of E8P nearest to rows; of two as near the one without the shift, found first.

    Signs are those of the row. Where that makes the sum odd one more is flipped, at the coordinate where it costs
    least. Of all permutations of a shape the one ordered like the magnitudes of the row is nearest, flipped or not: it
    has the largest product, and the least flip, as its smallest number, 1/2, meets the smallest magnitude.

    Parameters
    ----------
    x : ndarray of shape (n, 8), float32
    shapes : ndarray of shape (s, 8), float32
        Falling magnitudes, all permutations of which are patterns.
    longest : ndarray of shape (8,), float32
        The falling magnitudes of all patterns that stand alone.
    alone : ndarray of shape (p, 8), float32
        The patterns that stand alone, as they are.
    number_of : ndarray of shape (3 ** 8,), uint8
        A pattern's number by its magnitudes less 1/2, read as digits to the base of 3, the lowest first.
    out : ndarray of shape (n,), uint16
    """
    size = np.empty(WIDTH, np.float32)
    order = np.empty(WIDTH, np.intp)
    half, two, four = np.float32(0.5), np.float32(2.0), np.float32(4.0)
    for i in range(len(x)):
        least = np.float32(np.inf)
        for side in range(2):
            shift = -SHIFT if side else SHIFT
            signs, energy = 0, np.float32(0.0)
            for j in range(WIDTH):
                value = x[i, j] - shift
                energy += value * value
                size[j] = abs(value)
                if value < 0:
                    signs |= 1 << j
                at = j
                while at > 0 and size[order[at - 1]] < size[j]:
                    order[at] = order[at - 1]
                    at -= 1
                order[at] = j
            count = 0
            for j in range(WIDTH):
                count += (signs >> j) & 1
            best, flip = -1, -1
            for s in range(len(shapes)):
                product, total = np.float32(0.0), np.float32(0.0)
                norm = np.float32(0.0)
                for j in range(WIDTH):
                    product += shapes[s, j] * size[order[j]]
                    total += shapes[s, j]
                    norm += shapes[s, j] * shapes[s, j]
                wrong = (count + int(total)) & 1
                distance = energy + norm - two * product + wrong * four * half * size[order[WIDTH - 1]]
                if distance < least:
                    least, best, flip = distance, s, order[WIDTH - 1] if wrong else -1
            product, norm = np.float32(0.0), np.float32(0.0)
            for j in range(WIDTH):
                product += longest[j] * size[order[j]]
                norm += longest[j] * longest[j]
            if energy + norm - two * product < least:  # else no arrangement of these can be nearer
                for s in range(len(alone)):
                    product, total, cheapest, weakest = np.float32(0.0), np.float32(0.0), np.float32(np.inf), -1
                    for j in range(WIDTH):
                        part = alone[s, j] * size[j]
                        product += part
                        total += alone[s, j]
                        if part < cheapest:
                            cheapest, weakest = part, j
                    wrong = (count + int(total)) & 1
                    distance = energy + norm - two * product + wrong * four * cheapest
                    if distance < least:
                        least, best, flip = distance, len(shapes) + s, weakest if wrong else -1
            if best < 0:
                continue
            digits = 0
            for j in range(WIDTH):
                place = order[j] if best < len(shapes) else j
                magnitude = shapes[best, j] if best < len(shapes) else alone[best - len(shapes), j]
                digits += int(magnitude) * 3**place
            if flip >= 0:
                signs ^= 1 << flip
            out[i] = number_of[digits] | ((signs & 127) << 8) | (side << 15)


@njit(nogil=True, cache=True)
def nearest_of(x: Array, table: Array, out: Array) -> None:
    """Write which row of ``table`` (c, 8) is nearest to each of ``x`` (n, 8), the first of several, to ``out`` (n,)."""
    for i in range(len(x)):
        least = np.float32(np.inf)
        for c in range(len(table)):
            distance = np.float32(0.0)
            for j in range(WIDTH):
                difference = x[i, j] - table[c, j]
                distance += difference * difference
            if distance < least:
                least = distance
                out[i] = c
