"""Data sets that come with the package, so that a demonstration or a test needs no download.

Each folder beside this file is one set; its README.md states source, model, licence and checksums, and
``datasets/`` in the repository holds the recipe that made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["EmbeddedSet", "newsgroups"]


@dataclass(frozen=True, eq=False)
class EmbeddedSet:
    """Embedding vectors with labels, split into rows to index and held-out queries.

    Attributes
    ----------
    name : str
        The name of the set's folder.
    train : numpy.ndarray of shape (n, d), float16
        The vectors to index, memory-mapped and read-only.
    test : numpy.ndarray of shape (n_test, d), float16
        The queries, none of which is a row of ``train``; memory-mapped and read-only.
    train_labels : numpy.ndarray of shape (n,), int16
        The class of each row of ``train``, from 0 to ``len(label_names) - 1``.
    test_labels : numpy.ndarray of shape (n_test,), int16
        The class of each row of ``test``.
    label_names : tuple of str
        The name of each class.
    """

    name: str
    train: npt.NDArray[np.float16]
    test: npt.NDArray[np.float16]
    train_labels: npt.NDArray[np.int16]
    test_labels: npt.NDArray[np.int16]
    label_names: tuple[str, ...]


def newsgroups() -> EmbeddedSet:
    """Return posts of 20 Usenet newsgroups as 384-d MiniLM sentence vectors of length one.

    10,000 posts to index and 2,000 later ones as queries, labelled by newsgroup.
    Vectors are mapped into memory, so the call costs the same whether or not they are then read.

    Returns
    -------
    EmbeddedSet
        ``train`` of shape (10000, 384), ``test`` of shape (2000, 384), 20 classes.

    Examples
    --------
    >>> from lplr_index.data import newsgroups
    >>> posts = newsgroups()
    >>> posts.train.shape, len(posts.label_names)
    ((10000, 384), 20)
    """
    folder = Path(__file__).parent / "newsgroups_minilm"
    return EmbeddedSet(
        name=folder.name,
        train=np.load(folder / "train.npy", mmap_mode="r"),
        test=np.load(folder / "test.npy", mmap_mode="r"),
        train_labels=np.load(folder / "train_labels.npy"),
        test_labels=np.load(folder / "test_labels.npy"),
        label_names=tuple((folder / "labels.txt").read_text(encoding="ascii").splitlines()),
    )
