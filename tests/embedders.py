"""A model that needs no torch: its vectors are a function of the item, and it counts what it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lplr_index.embedding import Item, Source
from lplr_index.errors import InputError


class Hashing:
    """Embeds the bytes of an item into 8 numbers; may be told to be interrupted after some items."""

    stride = 2

    def __init__(self, *, model: str = "hashing", interrupted_after: int | None = None, scale: float = 1.0):
        self.identity = {"model": model}
        self.versions = {"hashing": "1"}
        self.seen = []
        self._left = interrupted_after
        self._scale = scale

    def prepare(self, content):
        data = content.read_bytes() if isinstance(content, Path) else str(content).encode()
        if not data.strip():
            raise InputError("expected something, got nothing")
        return data

    def encode(self, prepared):
        if self._left is not None:
            self._left -= len(prepared)
            if self._left < 0:
                raise KeyboardInterrupt
        self.seen += prepared
        return self._scale * expected(prepared)


def expected(contents: Iterable[bytes | str]):
    """Return the vectors (n, 8) that ``Hashing`` gives."""
    data = [each.encode() if isinstance(each, str) else each for each in contents]
    digests = [hashlib.sha256(each).digest()[:8] for each in data]
    return np.array([list(digest) for digest in digests], np.float32).reshape(-1, 8)


def texts(contents: Iterable[str], labels: Iterable[str] | None = None) -> Source:
    """Return a source of texts."""
    contents = list(contents)
    classes = [None] * len(contents) if labels is None else list(labels)
    items = [Item(f"t{row}", *each) for row, each in enumerate(zip(contents, classes, strict=True))]
    return Source(
        {"kind": "test", "name": "texts"}, len(items), lambda: iter(items), labels is not None, has_texts=True
    )
