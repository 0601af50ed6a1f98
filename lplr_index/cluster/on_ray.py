"""A cluster of Ray: the only module that knows it.

Slices are tasks, which Ray runs again elsewhere when a worker is lost; segments are held by actors, which it starts
again, and asks again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from lplr_index.arrays import as_integer
from lplr_index.cluster.machines import Call, Held
from lplr_index.errors import ClusterError, InputError
from lplr_index.extras import require
from lplr_index.threads import available

LOCAL = "local"
RETRIES = 8
_STORE_BYTES = 256 << 20  # of a local cluster, for what is under way; Ray writes to disk what is more
_END_S = 60.0  # to wait for work to end that nobody wants any more
_KNOCK_S = 10.0
_QUEUED = 2  # tasks for each worker: the next is there when one ends, and no more results than that wait at a time


class RayMachines:
    """The workers of a Ray cluster, in a ``with`` block.

    Parameters
    ----------
    address : str
        ``"local"`` starts a cluster on this machine, which ends with the block. ``"auto"`` or an address such as
        ``10.0.0.1:6379`` joins a running one, of which this machine must be a part. Where this process is connected
        already, ``"auto"`` takes that connection, and leaves it open.
    workers : int, optional
        Most workers to use; one for each processor of the cluster where None.

    Attributes
    ----------
    retries : int
        How often a task is run again, and a holder of segments is started again, before that is an error.

    Raises
    ------
    MissingDependencyError
        If Ray is not installed.
    ClusterError
        If there is no such cluster.
    InputError
        If ``workers`` is not a positive integer.
    """

    def __init__(self, address: str = "auto", workers: int | None = None) -> None:
        self._ray = require("ray", "ray")
        wanted = None if workers is None else as_integer(workers, "workers", least=1)
        self._ours = not (address == "auto" and self._ray.is_initialized())
        if self._ours:
            self._join(address, wanted)
        processors = int(self._ray.cluster_resources().get("CPU", 1))
        self.retries = RETRIES
        self._workers = processors if wanted is None else min(wanted, processors)

    @property
    def workers(self) -> int:
        """How much is done at the same time."""
        return self._workers

    def map(self, function: Callable[..., Any], shared: Any, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Yield (i, ``function(shared, *calls[i])``) of all calls, in whatever order they are ready.

        Raises
        ------
        LPLRError
            Whatever the function raises.
        ClusterError
            If a call was lost more often than ``RETRIES``.
        """
        task = self._ray.remote(_run).options(num_cpus=1, max_retries=self.retries)
        common, todo = self._ray.put(shared), iter(enumerate(calls))
        running: dict[Any, int] = {}
        try:
            while True:
                while len(running) < _QUEUED * self._workers and (each := next(todo, None)) is not None:
                    running[task.remote(function, common, *each[1])] = each[0]
                if not running:
                    return
                yield from self._ready(running)
        finally:
            self._abandon(list(running))

    def hold(self, make: Callable[..., Any], calls: Sequence[Call]) -> Held:
        """Have ``make(*call)`` made of each call, by a worker of its own, when it is first asked.

        Raises
        ------
        InputError
            If there are more calls than workers: some would wait for a place for ever.
        """
        if len(calls) > self._workers:
            raise InputError(f"expected at most {self._workers} things to hold, one a worker, got {len(calls)}")
        holder = self._ray.remote(_Holder).options(num_cpus=1, max_restarts=self.retries, max_task_retries=self.retries)
        return _HeldOnRay(self, [holder.remote(make, call) for call in calls])

    def ask(
        self, actors: Sequence[Any], function: Callable[..., Any], shared: Any, calls: Sequence[Call]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (i, what actor i makes of its call), in whatever order they are ready; raises as ``map`` does."""
        common = self._ray.put(shared)
        asked = enumerate(zip(actors, calls, strict=True))
        running = {actor.ask.remote(function, common, *call): number for number, (actor, call) in asked}
        while running:
            yield from self._ready(running)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            self._ray.shutdown()

    def _join(self, address: str, workers: int | None) -> None:
        # Ray tells its makers about every cluster unless it is told not to; whoever wants that can still say so.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # errors of calls that others' errors made useless
        _knock(address)
        how: dict[str, Any] = {"address": address}
        if address == LOCAL:
            how |= {"num_cpus": workers or available(), "include_dashboard": False}
            how |= {"object_store_memory": _STORE_BYTES}
        try:
            self._ray.init(**how, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as err:
            said = (str(err).strip() or type(err).__name__).splitlines()[0]
            raise ClusterError(f"expected a Ray cluster at {address}, got none: {said}") from err

    def _abandon(self, refs: list[Any]) -> None:
        """End what is still running, and wait until it has ended: nobody writes into a folder that is about to go."""
        for ref in refs:
            self._ray.cancel(ref, force=True)
        if refs:
            self._ray.wait(refs, num_returns=len(refs), timeout=_END_S)

    def _ready(self, running: dict[Any, int]) -> Iterator[tuple[int, Any]]:
        """Wait until something is ready, and yield it; it is no longer among what is running then."""
        ready, _ = self._ray.wait(list(running), num_returns=1)
        for ref in ready:
            number = running.pop(ref)
            yield number, self._result(ref)

    def _result(self, ref: Any) -> Any:
        """What a call returned, or raise what it raised, as if it had been made here."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except errors.RayTaskError as cause:
            raise cause.cause from None  # not what Ray makes of it, whose message is the worker's traceback
        except errors.RayError as err:
            said = (str(err).strip() or "nothing").splitlines()[0]
            raise ClusterError(f"expected every worker to finish, got {type(err).__name__}: {said}") from err


def _knock(address: str) -> None:
    """Raise ClusterError where nobody listens at host:port, of which Ray is sure only after five minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()
    except (OSError, OverflowError) as err:
        raise ClusterError(f"expected a Ray cluster at {address}, got none: {err}") from err


class _HeldOnRay:
    """Things that actors hold; Ray ends them when nobody holds this any more."""

    def __init__(self, machines: RayMachines, actors: list[Any]) -> None:
        self._machines, self._actors = machines, actors

    def ask(self, function: Callable[..., Any], shared: Any, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        return self._machines.ask(self._actors, function, shared, calls)


class _Holder:
    """An actor: one thing, made when it is first needed, and again after a restart."""

    def __init__(self, make: Callable[..., Any], call: Call) -> None:
        self._make, self._call = make, call
        self._thing: Any = None

    def ask(self, function: Callable[..., Any], shared: Any, *call: Any) -> Any:
        # Made here and not at the start: an error then reaches who asks, and the actor lives.
        if self._thing is None:
            self._thing = self._make(*self._call)
        return function(self._thing, shared, *call)


def _run(function: Callable[..., Any], shared: Any, *call: Any) -> Any:
    """A task."""
    return function(shared, *call)
