"""``lplr-index warmup``: says where kernels are kept, and for which CPU."""

from __future__ import annotations

import warnings

import pytest

from commands import run
from lplr_index.cli import warmup
from lplr_index.compiling import Warmup

DONE = Warmup("some/folder", "avx2", 3, 24, 1.25)


@pytest.fixture
def stages(monkeypatch):
    """Have nothing compiled; give what progress is told."""
    seen = []

    def quick(progress):
        progress("compiling", 0, 1)
        seen.append(progress)
        warnings.warn("kept\nelsewhere", stacklevel=1)
        return DONE

    monkeypatch.setattr(warmup, "warmup", quick)
    return seen


def test_it_says_what_it_did(stages, capsys):
    done = run(capsys, "warmup")

    assert done.status == 0
    assert done.out == "some/folder: 3 kernels compiled for avx2 in 1.2 s, 24 were there\n"
    assert done.err == "warning: kept elsewhere\n"
    assert len(stages) == 1
    assert run(capsys, "warmup", "--quiet") == (0, "", "")
    assert run(capsys, "warmup", "--json").document == DONE._asdict()
