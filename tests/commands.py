"""The command line, run inside the test's own process or as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lplr_index.cli import main

COMMAND = [sys.executable, "-m", "lplr_index"]


class Done(NamedTuple):
    """What a command left: its exit status and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line that a command refused its input with."""
        assert self.status == 2, self
        assert self.out == ""
        line, *more = self.err.splitlines()
        assert not more, self.err
        assert line.startswith("error: ")
        return line.removeprefix("error: ")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Done:
    """Run a command in this process."""
    capsys.readouterr()
    status = main([str(each) for each in arguments])
    return Done(status, *capsys.readouterr())


def run_apart(*arguments: object, **options: Any) -> Done:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120, **options
    )
    return Done(done.returncode, done.stdout, done.stderr)


def files(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, hidden ones too, and what is in them."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make packages look as if they were not installed."""
    for name in [*sys.modules]:
        if name.partition(".")[0] in packages:
            monkeypatch.delitem(sys.modules, name)
    for name in packages:
        monkeypatch.setitem(sys.modules, name, None)


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment and more."""
    return {**os.environ, **more}
