"""Exact search against sorting every score in float64."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.errors import InputError
from lplr_index.evaluation import groundtruth
from lplr_index.evaluation.groundtruth import exact_knn, score_ids
from lplr_index.metric import METRICS, metric_type, worst_distance


def naive_scores(xq, xb, metric):
    """Return similarities or distances (nq, n), rounded to float32."""
    xq, xb = np.asarray(xq, np.float64), np.asarray(xb, np.float64)
    if metric == "l2":
        return np.array([np.square(xb - q).sum(axis=1) for q in xq]).astype(np.float32)
    scores = np.array([(xb * q).sum(axis=1) for q in xq])
    if metric == "cosine":
        scores /= np.linalg.norm(xq, axis=1)[:, None] * np.linalg.norm(xb, axis=1)
    return scores.astype(np.float32)


def naive_knn(xq, xb, k, metric):
    scores = naive_scores(xq, xb, metric)
    order = np.argsort(scores if metric == "l2" else -scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(groundtruth, "_BLOCK_ROWS", 32)
    monkeypatch.setattr(groundtruth, "_BLOCK_QUERIES", 7)
    monkeypatch.setattr(groundtruth, "_RESCORED_ENTRIES", 100)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 31, 32, 33, 500])
def test_it_finds_what_sorting_all_scores_finds(vectors, small_blocks, metric, n):
    xb = vectors.xb[:n]
    D, I = exact_knn(vectors.xq, xb, min(10, n), metric=metric)
    expected_D, expected_I = naive_knn(vectors.xq, xb, min(10, n), metric)

    assert D.dtype == np.float32
    assert I.dtype == np.int64
    np.testing.assert_array_equal(I, expected_I)
    np.testing.assert_allclose(D, expected_D, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_it_finds_what_faiss_finds(vectors, metric):
    faiss = pytest.importorskip("faiss")
    xq, xb = vectors.xq.copy(), vectors.xb.copy()
    index = (faiss.IndexFlatL2 if metric == "l2" else faiss.IndexFlatIP)(48)
    if metric == "cosine":
        faiss.normalize_L2(xq)
        faiss.normalize_L2(xb)
    index.add(xb)

    np.testing.assert_array_equal(exact_knn(xq, xb, 5, metric=metric).I, index.search(xq, 5)[1])


@pytest.mark.parametrize("metric", METRICS)
def test_among_equal_rows_the_lowest_ids_come(vectors, small_blocks, metric):
    xb = np.tile(vectors.xb[:20], (10, 1))  # row i, i + 20, i + 40, ... are equal and lie in different blocks
    _, I = exact_knn(vectors.xq, xb, 15, metric=metric)

    np.testing.assert_array_equal(I[:, :10], I[:, :1] + 20 * np.arange(10))
    np.testing.assert_array_equal(I[:, 10:], I[:, 10:11] + 20 * np.arange(5))
    assert (I[:, 0] < 20).all()


def test_where_everything_is_tied_the_first_rows_come(vectors, small_blocks):
    D, I = exact_knn(np.zeros((9, 48)), vectors.xb, 4)

    assert I.tolist() == [[0, 1, 2, 3]] * 9
    assert not D.any()


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_make_no_difference(vectors, metric, monkeypatch):
    whole = exact_knn(vectors.xq, vectors.xb, 10, metric=metric)
    monkeypatch.setattr(groundtruth, "_BLOCK_ROWS", 17)
    monkeypatch.setattr(groundtruth, "_BLOCK_QUERIES", 3)
    parts = exact_knn(vectors.xq, vectors.xb, 10, metric=metric)

    np.testing.assert_array_equal(whole.I, parts.I)
    np.testing.assert_array_equal(whole.D, parts.D)


@pytest.mark.parametrize("metric", METRICS)
def test_missing_neighbours_are_padded_as_in_faiss(vectors, metric):
    D, I = exact_knn(vectors.xq, vectors.xb[:3], 5, metric=metric)

    assert (np.sort(I[:, :3]) == [0, 1, 2]).all()
    assert (I[:, 3:] == -1).all()
    assert (D[:, 3:] == worst_distance(metric_type(metric))).all()


def test_rows_may_be_a_memory_map_of_half_precision(vectors, tmp_path):
    np.save(tmp_path / "x.npy", vectors.xb.astype(np.float16))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")

    np.testing.assert_array_equal(exact_knn(vectors.xq, mapped, 5).I, exact_knn(vectors.xq, np.array(mapped), 5).I)


def test_products_that_overflow_are_ties(rng):
    xb = np.full((50, 4), 3e37, np.float32)
    xb[7] = -3e37

    assert exact_knn(xb[:2], xb, 8, metric="ip").I.tolist() == [[0, 1, 2, 3, 4, 5, 6, 8]] * 2
    assert exact_knn(xb[:2], xb, 51, metric="ip").I[:, 48:].tolist() == [[49, 7, -1]] * 2


@pytest.mark.parametrize("metric", METRICS)
def test_ids_are_scored_as_they_were_found(vectors, small_blocks, metric):
    D, I = exact_knn(vectors.xq, vectors.xb, 10, metric=metric)
    ids = I[:, ::-1].copy()
    ids[:, 0] = -1
    scores = score_ids(vectors.xq, vectors.xb, ids, metric=metric)

    np.testing.assert_array_equal(scores[:, 1:], D[:, :-1][:, ::-1])
    assert (scores[:, 0] == worst_distance(metric_type(metric))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "expected k to be"),
        ({"xq": np.zeros((2, 3))}, "expected xb with 3 columns"),
        ({"xb": [[1.0] * 48]}, "expected xb to be a matrix"),
        ({"xb": np.full((99, 48), np.nan)}, "in row 0, column 0 of xb"),
        ({"metric": "jaccard"}, "expected metric"),
    ],
)
def test_bad_input_is_named(vectors, changes, message):
    arguments = {"xq": vectors.xq, "xb": vectors.xb, "k": 3, "metric": "ip", **changes}

    with pytest.raises(InputError, match=message):
        exact_knn(arguments["xq"], arguments["xb"], arguments["k"], metric=arguments["metric"])


def test_a_bad_row_is_named_by_its_number(vectors, small_blocks):
    xb = vectors.xb.copy()
    xb[777, 5] = np.inf

    with pytest.raises(InputError, match="row 777, column 5 of xb"):
        exact_knn(vectors.xq, xb, 3)


@pytest.mark.parametrize("ids", [[[1000]] * 50, [[-2]] * 50, [[0]] * 49, [0] * 50])
def test_ids_that_are_no_rows_are_refused(vectors, ids):
    with pytest.raises(InputError, match="expected ids"):
        score_ids(vectors.xq, vectors.xb, ids)
