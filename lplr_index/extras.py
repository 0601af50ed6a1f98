"""Optional packages: imported where they are used, never with the package itself."""

from __future__ import annotations

import importlib
from typing import Any

from lplr_index.errors import MissingDependencyError


def require(module: str, extra: str) -> Any:
    """Return the module of that name, which ``pip install "lplr_index[extra]"`` brings.

    The modules come back untyped: most of them carry no types of their own.

    Raises
    ------
    MissingDependencyError
        If it cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as err:
        package = module.partition(".")[0]
        raise MissingDependencyError(
            f'expected the package {package}, which pip install "lplr_index[{extra}]" brings, got {err}'
        ) from err
