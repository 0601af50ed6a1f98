"""Progress on stderr: a bar with its rate and the time left, drawn by rich where it is installed."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from lplr_index.errors import MissingDependencyError
from lplr_index.extras import require


class Bars:
    """One bar a stage, the last of them moving; gone when the ``with`` block ends.

    Called as a ``lplr_index.building.Progress``.

    Parameters
    ----------
    visible : bool
        Draw them, if rich is there to draw with.
    unit : str
        What is counted.
    """

    def __init__(self, *, visible: bool, unit: str) -> None:
        self._display = _display() if visible else None
        self._unit = unit
        self._stage = ""
        self._task: Any = None
        self._began_s = 0.0

    def __call__(self, stage: str, done: int, total: int, doing: str = "") -> None:
        """Show that ``done`` of ``total`` are done, and what comes next; a bar that only moves where the total is 0."""
        if self._display is None:
            return
        if stage != self._stage:
            self._finish()
            self._stage, self._began_s = stage, time.perf_counter()
            self._task = self._display.add_task(stage, total=total or None, rate="", left="")
        elapsed_s = time.perf_counter() - self._began_s
        speed = done / elapsed_s if elapsed_s else 0.0
        rate = f"{speed:,.{0 if speed >= 10 else 1}f} {self._unit}/s" if done else ""
        text, left = f"{stage} {doing}".rstrip(), "left" if total else ""
        self._display.update(self._task, description=text, completed=done, total=total or None, rate=rate, left=left)

    def __enter__(self) -> Self:
        if self._display is not None:
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._finish()
            self._display.stop()

    def _finish(self) -> None:
        """Fill the bar of a stage that nobody could count, and stop its clock."""
        if self._task is not None and self._display is not None:
            total = self._display.tasks[self._task].total or 1
            self._display.update(self._task, total=total, completed=total)


def _display() -> Any:
    """Return rich's display on stderr, or None where rich is not installed: it is nice to have, not needed."""
    try:
        progress, console = require("rich.progress", "cli"), require("rich.console", "cli")
    except MissingDependencyError:
        return None
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[left]}"),
        console=console.Console(stderr=True),
        transient=True,
    )
