"""What is embedded, and by what: the words that readers, encoders and the job share."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix

Content = str | Path | npt.NDArray[Any]
"""A text, an image file, or numbers: an image as uint8 of shape (height, width, 3), a vector of shape (d,)."""


class Item(NamedTuple):
    """One thing to embed.

    Attributes
    ----------
    id : str
        How a person finds it again: a path, a row number, or an id of their own.
    content : str, Path or ndarray of shape (height, width, 3) or (d,)
        The thing itself, or where it lies.
    label : str, optional
        Its class.
    """

    id: str
    content: Content
    label: str | None = None


@dataclass(frozen=True)
class Source:
    """A collection of items, which is walked through several times and never held in memory as a whole.

    Attributes
    ----------
    facts : mapping
        What the manifest says of it.
    count : int
        Number of items.
    items : callable
        Starts a walk through the items, whose order is always the same.
    is_labelled : bool
        Every item has a label.
    has_texts : bool
        The items are texts.
    remarks : tuple of str
        What the user may not expect of it.
    """

    facts: Mapping[str, Any]
    count: int
    items: Callable[[], Iterator[Item]]
    is_labelled: bool = False
    has_texts: bool = False
    remarks: tuple[str, ...] = field(default=())


class Encoder(Protocol):
    """A model, in the two steps that the job takes with every item."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the vectors are a function of, the items aside: model, checksum of its weights, settings."""

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions of the packages that compute."""

    @property
    def stride(self) -> int:
        """How many items ``encode`` is best given at once."""

    def prepare(self, content: Content) -> Any:
        """Return what ``encode`` takes for one item, which may be an array of shape (height, width, 3) or (d,).

        Raises
        ------
        InputError
            If the item cannot be embedded; the message says why.
        """

    def encode(self, prepared: list[Any]) -> FloatMatrix:
        """Return the vectors (n, d) of n prepared items."""


def content_digest(content: Content) -> bytes:
    """Return the sha256 of one item: of a file its bytes, of an array of shape (...,) its shape and numbers.

    A file that cannot be read counts as an empty one: encoders leave it out and say why.
    """
    if isinstance(content, str):
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()
    if isinstance(content, Path):
        try:
            with content.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").digest()
        except OSError:
            return hashlib.sha256().digest()
    head = f"{content.dtype.str} {content.shape}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(content).tobytes()).digest()


def package_versions(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
