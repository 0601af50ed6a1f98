"""How a format writes: what ``write_chunks`` and the formats agree on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Write = Callable[[npt.NDArray[Any]], object]
"""Takes the next rows: C-contiguous, of the dtype announced, shape (rows, d)."""

Sink = Callable[[BinaryIO, int, int, np.dtype[Any]], AbstractContextManager[Write]]
"""Begins a file of n rows of d numbers of a dtype in an empty stream; finishes it when its block ends.

The caller promises that n rows come, and that the shape and the dtype fit the format."""

DEFAULT_NAME = "vectors"
"""What the matrix is called in formats that name their matrices, unless their readers expect another name."""
