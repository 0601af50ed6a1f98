"""The embedded set is what its README says, and good enough to show what compression costs."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

import lplr_index.data
from lplr_index.data import EmbeddedSet, newsgroups

FOLDER = Path(lplr_index.data.__file__).parent / "newsgroups_minilm"
RECIPES = Path(__file__).parents[1] / "datasets" / "README.md"
MOST_BYTES = 10_000_000
# Rounding to float16 moves an entry by at most 2^-11 of itself, and so the length of a row.
HALF_PRECISION = 2.0**-11
CHECKSUM = re.compile(r"^([0-9a-f]{64})  (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def posts() -> EmbeddedSet:
    return newsgroups()


@pytest.fixture(scope="module")
def checksums() -> dict[str, str]:
    """Give the sha256 of each file, as its README states it."""
    return {name: digest for digest, name in CHECKSUM.findall((FOLDER / "README.md").read_text("utf-8"))}


def test_shapes_and_dtypes(posts: EmbeddedSet):
    assert posts.name == "newsgroups_minilm"
    assert (posts.train.shape, posts.train.dtype) == ((10_000, 384), np.float16)
    assert (posts.test.shape, posts.test.dtype) == ((2_000, 384), np.float16)
    assert (posts.train_labels.shape, posts.train_labels.dtype) == ((10_000,), np.int16)
    assert (posts.test_labels.shape, posts.test_labels.dtype) == ((2_000,), np.int16)


def test_vectors_are_mapped_and_cannot_be_changed(posts: EmbeddedSet):
    assert isinstance(posts.train, np.memmap)
    assert isinstance(posts.test, np.memmap)
    assert not posts.train.flags.writeable
    with pytest.raises(dataclasses.FrozenInstanceError):
        posts.train = posts.test  # type: ignore[misc]


@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_have_length_one(posts: EmbeddedSet, split: str):
    norms = np.linalg.norm(getattr(posts, split).astype(np.float64), axis=1)

    assert np.abs(norms - 1).max() <= HALF_PRECISION


@pytest.mark.parametrize("split", ["train_labels", "test_labels"])
def test_every_class_is_there_and_has_a_name(posts: EmbeddedSet, split: str):
    assert len(set(posts.label_names)) == 20
    assert set(getattr(posts, split).tolist()) == set(range(20))


def test_no_row_is_there_twice(posts: EmbeddedSet):
    rows = {row.tobytes() for split in (posts.train, posts.test) for row in split}

    assert len(rows) == len(posts.train) + len(posts.test)


def test_classes_are_shuffled(posts: EmbeddedSet):
    """A prefix of the rows, and each random half of them, holds every class in about its share."""
    for labels in (posts.train_labels, posts.test_labels):
        quarter = np.bincount(labels[: len(labels) // 4], minlength=20) / (len(labels) // 4)
        whole = np.bincount(labels, minlength=20) / len(labels)

        assert np.abs(quarter - whole).max() < 0.03


def test_exact_neighbours_share_the_class(posts: EmbeddedSet):
    x, queries = posts.train.astype(np.float32), posts.test.astype(np.float32)

    nearest = np.argsort(-(queries @ x.T), axis=1, kind="stable")[:, :3]
    first, second, third = posts.train_labels[nearest].T
    majority = np.where(second == third, second, first)  # three different labels: the nearest decides

    assert np.mean(majority == posts.test_labels) > 0.75  # one in twenty by chance


def test_files_are_those_of_the_readme(checksums: dict[str, str]):
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.iterdir()
        if path.name != "README.md"
    }

    assert found == checksums


def test_the_list_of_recipes_states_the_same_checksums(checksums: dict[str, str]):
    stated = re.findall(r"`(\w+\.npy)` ([0-9a-f]{64})", RECIPES.read_text("utf-8"))

    assert {name for name, _ in stated} == {"train.npy", "test.npy"}
    assert all(checksums[name] == digest for name, digest in stated)


def test_the_set_stays_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= MOST_BYTES
