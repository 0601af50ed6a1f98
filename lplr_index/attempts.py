"""Every method of ``factorize`` at one budget, in bytes with everything counted; and why a method has none."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lplr_index.arrays import FloatMatrix
from lplr_index.errors import InputError, UnsupportedError
from lplr_index.factorization import METHODS, factorize

CHOICES = {
    "lplr": ("nbits", "nbits_R", "scale", "sketch"),
    "lsvd": ("nbits", "nbits_R", "scale", "sketch"),
    "dsvd": ("nbits", "nbits_R", "scale"),
    "nq": ("scale",),
    "qmf": ("nbits", "nbits_R"),
}
"""What a method leaves to the caller beside its budget; those not named here choose all by the budget."""

SLACK = 1.05
"""Of a budget: the formula for ranks knows no headers and no ranges, nor that rows of codes end at whole bytes."""

_TRIES = 8


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


def factorize_within(A: FloatMatrix, nbytes: float, method: str, *, header_bytes: int = 0, **options: Any) -> Any:
    """Factorize into so many bytes, everything counted; again with fewer where it takes too many, if it can.

    Parameters
    ----------
    A : ndarray of shape (n, d), float32
    nbytes : float
        The budget. 5 % more are no reason to try again.
    method : str
        One of ``factorize``.
    header_bytes : int
        That the caller keeps beside it.
    **options
        Further arguments of ``factorize``.

    Returns
    -------
    Factorization
        The smallest of this method where none is small enough: its ``nbytes`` tell.

    Raises
    ------
    InputError
        If the method does not take the options, or the budget does not pay for anything.
    """
    asked = nbytes
    code = factorize(A, method, bits=8 * asked / A.size, **options)
    for _ in range(_TRIES):
        if code.nbytes + header_bytes <= SLACK * nbytes:
            break
        asked *= nbytes / (code.nbytes + header_bytes)
        try:
            code = factorize(A, method, bits=8 * asked / A.size, **options)
        except InputError:
            break  # it is as small as it gets
    return code
