"""Bars: one a stage, with a rate, and none where nobody looks or rich is not installed."""

from __future__ import annotations

import pytest

from lplr_index.cli import progress
from lplr_index.errors import MissingDependencyError


@pytest.fixture
def display(monkeypatch):
    """Give rich's display, drawn to nowhere, that the next bars take."""
    made = progress._display()
    made.console.file = open("/dev/null", "w")  # noqa: PTH123, SIM115 - closed below
    monkeypatch.setattr(progress, "_display", lambda: made)
    yield made
    made.console.file.close()


def test_a_bar_for_each_stage(display):
    with progress.Bars(visible=True, unit="rows") as bars:
        bars("reading", 0, 0)
        bars("adding", 0, 10, "x.npy")
        bars("adding", 4, 10, "y.npy")
        reading, adding = display.tasks
        assert reading.finished
        assert (adding.description, adding.completed, adding.total) == ("adding y.npy", 4, 10)
        assert adding.fields["rate"].endswith(" rows/s")
        assert adding.fields["left"] == "left"
        assert reading.fields["rate"] == ""
    assert all(task.finished for task in display.tasks)


def test_none_where_nobody_looks(monkeypatch):
    monkeypatch.setattr(progress, "_display", lambda: pytest.fail("nobody looks"))

    with progress.Bars(visible=False, unit="rows") as bars:
        bars("adding", 1, 2)


def test_none_without_rich(monkeypatch):
    def missing(name, extra):
        raise MissingDependencyError(f"{name} of {extra}")

    monkeypatch.setattr(progress, "require", missing)

    assert progress._display() is None
    with progress.Bars(visible=True, unit="rows") as bars:
        bars("adding", 1, 2)
