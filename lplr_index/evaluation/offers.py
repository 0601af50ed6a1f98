"""What can be put forward to be measured, ours or anybody's, and what is said of those who cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EXACT = "exact float32"
"""The family of the uncompressed index."""

OURS = "LPLR "
"""What the names of our families begin with."""


@dataclass(frozen=True)
class Contender:
    """An index that can be built again and again.

    Attributes
    ----------
    family, name, notes : str
        The line of a plot, the index, and settings a reader should know of.
    requested_bits : float or None
        Bits per coordinate asked for; None where it comes in sizes of its own.
    build : callable
        Returns the index, empty and not trained.
    """

    family: str
    name: str
    notes: str
    requested_bits: float | None
    build: Callable[[], Any]


@dataclass(frozen=True)
class Skip:
    """An index that is not shown, and why.

    Attributes
    ----------
    name : str
        The index.
    requested_bits : float or None
        Bits per coordinate asked for; None for all.
    reason : str
        One sentence.
    """

    name: str
    requested_bits: float | None
    reason: str


@dataclass(frozen=True)
class Wanted:
    """What contenders are wanted for; the meaning of each is that of ``contenders``.

    Attributes
    ----------
    d : int
        Dimension.
    bits : tuple of float
        Bits per coordinate.
    metric : str
        ``"cosine"``, ``"ip"`` or ``"l2"``.
    nt : int
        Training rows there will be.
    thorough : bool
        Whether training may take minutes.
    additive_codes : int
        The most codes a row of an additive quantizer.
    seed : int
        Of everything random.
    """

    d: int
    bits: tuple[float, ...]
    metric: str
    nt: int
    thorough: bool
    additive_codes: int
    seed: int
