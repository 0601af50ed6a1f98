"""Every method of ``factorize`` at one budget: the factorizations, and why a method has none."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lplr_index.errors import InputError, UnsupportedError
from lplr_index.factorization import METHODS

CHOICES = {
    "lplr": ("nbits", "nbits_R", "scale", "sketch"),
    "lsvd": ("nbits", "nbits_R", "scale", "sketch"),
    "dsvd": ("nbits", "nbits_R", "scale"),
    "nq": ("scale",),
    "qmf": ("nbits", "nbits_R"),
}
"""What a method leaves to the caller beside its budget; those not named here choose all by the budget."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """What became of a method at a budget.

    Attributes
    ----------
    method : str
        As ``factorize`` calls it.
    bits : float
        The budget.
    code : Factorization or Picture or None
        None where there is none, and ``reason`` says why.
    seconds : float
        That it took.
    reason : str
        Empty where there is a factorization.
    """

    method: str
    bits: float
    code: Any
    seconds: float
    reason: str = ""


def check_methods(methods: list[str]) -> list[str]:
    """Return ``methods`` if there are such.

    Raises
    ------
    InputError
        If there is another name among them.
    """
    for method in methods:
        if method not in METHODS:
            raise InputError(f"expected methods among {', '.join(METHODS)}, got {method}")
    return methods


def options_of(
    method: str, *, nbits: int = 8, nbits_R: int = 8, scale: str = "matrix", sketch: str | None = None
) -> dict[str, Any]:
    """Return those of the arguments that ``factorize`` takes with ``method``."""
    given = {"nbits": nbits, "nbits_R": nbits_R, "scale": scale, "sketch": sketch}
    return {name: given[name] for name in CHOICES.get(method, ())}


def attempt(method: str, bits: float, make: Callable[[], Any]) -> Attempt:
    """Call ``make``; what it does not take or cannot do is the reason why there is nothing.

    Parameters
    ----------
    method : str
        What to call it.
    bits : float
        Of the budget.
    make : callable
        Returns the factorization.
    """
    began_s = time.perf_counter()
    try:
        code = make()
    except (InputError, UnsupportedError) as err:
        return Attempt(method, bits, None, time.perf_counter() - began_s, str(err))
    return Attempt(method, bits, code, time.perf_counter() - began_s)
