"""cluster/publishing.py: a store is whole or not there, and segments of two trainings never meet in one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lplr_index import IndexLPLR, open_store
from lplr_index.cluster.publishing import publish_store, write_rows
from lplr_index.errors import ChecksumError, InputError, MissingFileError
from lplr_index.store.folder import is_store


@pytest.fixture(scope="module")
def indexes(vectors):
    """Give two indexes whose codes mean different things."""
    trained = [IndexLPLR(48, 2), IndexLPLR(48, 2)]
    for index, sample in zip(trained, (vectors.xt, vectors.xb), strict=True):
        index.train(sample)
    return trained


def written(folder, index, x, number, ids):
    return write_rows(folder, number, index, index.sa_encode(x), np.asarray(ids))


def test_segments_become_a_store(tmp_path, indexes, vectors):
    index, _ = indexes
    parts = [
        written(tmp_path, index, vectors.xb[:40], 0, range(40)),
        written(tmp_path, index, vectors.xb[40:43], 1, [70, 50, 60]),
    ]

    manifest = publish_store(tmp_path, index, parts)

    assert manifest.next_id == 71
    assert {file.name for file in tmp_path.iterdir()} == {"manifest", *manifest.names}
    with open_store(tmp_path) as store:
        assert store.verify() == []
        assert store.ntotal == 43
        assert np.array_equal(
            store.reconstruct_batch([70, 50, 60]), index.sa_decode(index.sa_encode(vectors.xb[40:43]))
        )
        assert store.add(vectors.xq[:1]).tolist() == [71]


def test_segments_of_two_trainings_are_not_merged(tmp_path, indexes, vectors):
    parts = [written(tmp_path, each, vectors.xb[:9], number, range(9)) for number, each in enumerate(indexes)]

    with pytest.raises(InputError, match=r"of the training \w+ to merge, got segment-00000003 of \w+"):
        publish_store(tmp_path, indexes[0], parts)
    assert not is_store(tmp_path)


def test_a_segment_that_says_it_is_of_another_training_than_it_is_is_found(tmp_path, indexes, vectors):
    lie = replace(written(tmp_path, indexes[1], vectors.xb[:9], 0, range(9)), training=indexes[0].model.digest)

    publish_store(tmp_path, indexes[0], [lie])

    with open_store(tmp_path, read_only=True, skip_damaged=True) as store:
        assert "expected codes of the training" in store.info()["skipped"][0]


def test_a_segment_that_is_gone_or_another_is_named(tmp_path, indexes, vectors):
    index, _ = indexes
    part = written(tmp_path, index, vectors.xb[:9], 0, range(9))
    path = tmp_path / part.entry.file.name
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(ChecksumError, match=path.name):
        publish_store(tmp_path, index, [part])
    path.unlink()
    with pytest.raises(MissingFileError, match=path.name):
        publish_store(tmp_path, index, [part])
    assert not is_store(tmp_path)
