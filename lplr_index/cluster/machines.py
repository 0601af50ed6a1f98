"""What a cluster must be able to do, and the smallest one: this process.

Work is given as a function of a module, which any process can import, and its arguments. It is a pure function: what
it returns or writes depends on its arguments alone, so that it may be run twice, of which a lost worker makes use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

Call = tuple[Any, ...]


class Held(Protocol):
    """Things that were made once and stay where they are, one a worker."""

    def ask(self, function: Callable[..., Any], shared: Any, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Yield (i, ``function(thing[i], shared, *calls[i])``) of all things, in whatever order they are ready."""


class Machines(Protocol):
    """Where work is done."""

    @property
    def workers(self) -> int:
        """How much is done at the same time."""

    def map(self, function: Callable[..., Any], shared: Any, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Yield (i, ``function(shared, *calls[i])``) of all calls, in whatever order they are ready."""

    def hold(self, make: Callable[..., Any], calls: Sequence[Call]) -> Held:
        """Have ``make(*call)`` made of each call, by a worker of its own, when it is first asked."""


class _HeldHere:
    def __init__(self, make: Callable[..., Any], calls: Sequence[Call]) -> None:
        self._things = [make(*call) for call in calls]

    def ask(self, function: Callable[..., Any], shared: Any, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        for number, (thing, call) in enumerate(zip(self._things, calls, strict=True)):
            yield number, function(thing, shared, *call)


class Here:
    """The process itself, one call after the other.

    Parameters
    ----------
    workers : int
        What to say when asked.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def map(self, function: Callable[..., Any], shared: Any, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """As ``Machines.map``, in the order of the calls."""
        for number, call in enumerate(calls):
            yield number, function(shared, *call)

    def hold(self, make: Callable[..., Any], calls: Sequence[Call]) -> Held:
        """As ``Machines.hold``, at once."""
        return _HeldHere(make, calls)
