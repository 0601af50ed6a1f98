"""Texts to vectors by any sentence-transformers model, or by a plain BERT and a way to pool its tokens."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lplr_index.arrays import FloatMatrix, as_integer
from lplr_index.embedding.items import Content, package_versions
from lplr_index.embedding.operators import require_torchvision
from lplr_index.embedding.weights import loading, weights_digest
from lplr_index.errors import InputError
from lplr_index.extras import require

MODEL = "all-MiniLM-L6-v2"
POOLINGS = ("cls", "mean", "max")
BATCH = 32


class SentenceEncoder:
    """A sentence-transformers model.

    Parameters
    ----------
    model : str
        A name on the Hugging Face hub or a local folder.
    pooling : {"cls", "mean", "max"}, optional
        What to make of the vectors of the tokens: the first, their mean or their largest entries. A sentence model
        knows, and where None it is asked; a plain BERT such as ``google/bert_uncased_L-2_H-128_A-2`` does not.
    tokens : int, optional
        Tokens to read of a text; as many as the model was made for where None.
    batch : int, optional
        Texts the model computes at once; 32 where None.
    device : str, optional
        Such as ``"cpu"`` or ``"cuda"``; the fastest there is where None.

    Raises
    ------
    InputError
        If there is no such model, or it cannot be fetched.
    MissingDependencyError
        If sentence-transformers is not installed.
    """

    def __init__(
        self,
        model: str = MODEL,
        *,
        pooling: str | None = None,
        tokens: int | None = None,
        batch: int | None = None,
        device: str | None = None,
    ) -> None:
        if pooling not in (None, *POOLINGS):
            raise InputError(f"expected pooling to be one of {', '.join(POOLINGS)}, got {pooling!r}")
        self._batch = BATCH if batch is None else as_integer(batch, "batch", least=1)
        tokens = None if tokens is None else as_integer(tokens, "tokens", least=1)
        library = require_sentence_transformers()
        with loading(model):
            parts = None if pooling is None else _modules(model, pooling, tokens)
            self._model = library.SentenceTransformer(None if parts else model, modules=parts, device=device)
            if tokens is not None:
                self._model.max_seq_length = tokens
        self.identity = {
            "model": Path(model).resolve().name if Path(model).is_dir() else model,
            "weights": weights_digest(self._model),
            "pooling": pooling or "as the model says",
            "tokens": self._model.max_seq_length,
        }
        self.versions = package_versions("sentence-transformers", "transformers", "torch")
        # Several batches at once, because the library sorts what it is given by length: less padding is computed.
        self.stride = 8 * self._batch

    @staticmethod
    def prepare(content: Content) -> str:
        """Return a text without spaces around it.

        Raises
        ------
        InputError
            If it is empty, or no text but pixels (height, width, 3).
        """
        text = content.strip() if isinstance(content, str) else ""
        if not text:
            raise InputError("expected a text, got an empty one")
        return text

    def encode(self, prepared: list[Any]) -> FloatMatrix:
        """Return the vectors (n, d) of n texts."""
        x = self._model.encode(prepared, batch_size=self._batch, show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(x, np.float32)


def _modules(model: str, pooling: str, tokens: int | None) -> list[Any]:
    """Return the two steps of a sentence model that is made of a plain one."""
    try:
        library = importlib.import_module("sentence_transformers.sentence_transformer.modules")
    except ImportError:  # before 5.4 they were elsewhere
        library = importlib.import_module("sentence_transformers.models")
    words = library.Transformer(model, max_seq_length=tokens)
    size = getattr(words, "get_embedding_dimension", None) or words.get_word_embedding_dimension
    return [words, library.Pooling(size(), pooling_mode=pooling)]


def require_sentence_transformers() -> Any:
    """Return the module sentence_transformers, imported past what makes that fail on otherwise working machines.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    if importlib.util.find_spec("torchvision") and importlib.util.find_spec("torch"):
        require_torchvision()
    with no_folder_taken_for("datasets"):
        return require("sentence_transformers", "text")


@contextlib.contextmanager
def no_folder_taken_for(package: str) -> Iterator[None]:
    """Hide a folder of this name that happens to lie on the import path, such as this repository's ``datasets/``.

    sentence-transformers imports the Hugging Face package whenever something of its name can be found, and an ordinary
    folder can: Python takes it for a namespace.
    """
    spec = importlib.util.find_spec(package)
    hide = package not in sys.modules and spec is not None and spec.origin is None
    if hide:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hide:
            del sys.modules[package]
