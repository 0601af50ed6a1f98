"""What numbers were measured on: times mean nothing without it."""

from __future__ import annotations

import contextlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lplr_index.threads import available

_PACKAGES = ("lplr_index", "numpy", "numba", "faiss-cpu", "faiss-gpu")


def describe_machine(*packages: str) -> dict[str, str]:
    """Return processor, CPUs, system, Python and the versions of the packages that compute, and of these if installed.

    Parameters
    ----------
    *packages : str
        Further packages, as pip calls them.
    """
    found = {
        "processor": _processor(),
        "cpus": str(available()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in dict.fromkeys([*_PACKAGES, *packages]):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
