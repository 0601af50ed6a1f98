"""auto in an index: exact by its own reconstructions, for sizes and rows that leave little to learn from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import low_rank_vectors
from indexes import check_results, filled, queries, rows, trained
from lplr_index import IndexLPLR, deserialize_index, kernels, serialize_index
from lplr_index.metric import METRICS

pytestmark = pytest.mark.filterwarnings("ignore::lplr_index.errors.ZeroVectorWarning")


def built(x, bits, metric):
    index = IndexLPLR(x.shape[1], bits, metric)
    index.train(x)
    index.add(x)
    return index


def check(index, xq):
    """Compare with a brute-force search of the reconstructions, before and after a file."""
    for each in (index, deserialize_index(serialize_index(index))):
        for k in (1, 7, index.ntotal + 3):
            check_results(each, xq, k, each.search(xq, k))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 2, 50])
@pytest.mark.parametrize("d", [1, 2, 7, 33])
def test_few_rows(metric, n, d):
    if metric == "l2" and d < 3:
        pytest.skip("a norm of two bytes leaves no room for a code")
    x = low_rank_vectors(n, d)

    check(built(x, 8.0, metric), x)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_rows_that_are_all_alike(metric, value):
    x = np.full((70, 9), value, np.float32)
    index = built(x, 4.0, metric)

    D, I = index.search(x[:2], 70)

    assert I.tolist() == [list(range(70))] * 2  # ties go to the lowest id
    assert (D[0, 0] == D).all()


@pytest.mark.parametrize("metric", METRICS)
def test_rows_of_zeros_among_others(metric):
    x = low_rank_vectors(80, 12)
    x[::3] = 0

    index = built(x, 3.0, metric)

    assert not index.reconstruct_n()[::3].any()
    check(index, low_rank_vectors(9, 12, seed=0))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("nbytes", [1, 2])
def test_the_smallest_codes(metric, nbytes):
    x = low_rank_vectors(300, 48)
    nbytes += 2 * (metric == "l2")  # the norm
    index = built(x, nbytes * 8 / 48, metric)

    assert index.code_size == nbytes
    check(index, x[:20])


@pytest.mark.parametrize("metric", METRICS)
def test_eight_bits_are_nearly_the_rows(metric):
    x = low_rank_vectors(400, 24)

    index = built(x, 8.0, metric)

    check(index, x[:20])
    unit = x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x
    assert np.linalg.norm(index.reconstruct_n() - unit) < 0.05 * np.linalg.norm(unit)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["auto-2", "auto-stages"])
def test_results_do_not_depend_on_threads_batches_or_filters_of_all(metric, kind):
    index, xq = filled(metric, kind, n=700), queries(21)
    expected = index.search(xq, 9)

    for threads in (1, 2, 3):
        for actual, each in zip(index.search(xq, 9, threads=threads), expected, strict=True):
            np.testing.assert_array_equal(actual, each)
    parts = [index.search(part, 9, filter=np.ones(700, bool)) for part in np.split(xq, [1, 5])]
    for actual, each in zip(zip(*parts, strict=True), expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(actual), each)
    allowed = np.arange(700) % 3 == 1
    check_results(index, xq, 9, index.search(xq, 9, filter=allowed), allowed)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_that_are_twice_there_come_by_id(metric):
    index = trained(metric, "auto-stages")
    index.add(np.repeat(rows(40), 3, axis=0))

    D, I = index.search(queries(4), 30)

    assert (np.diff(D.reshape(4, 10, 3), axis=2) == 0).all()
    assert (np.diff(I.reshape(4, 10, 3), axis=2) == 1).all()


SEARCH = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from indexes import filled, queries
from lplr_index import serialize_index
said = hashlib.sha256()
for metric in ("cosine", "ip", "l2"):
    for kind in ("auto-2", "auto-stages"):
        index = filled(metric, kind, n=300)
        said.update(bytes(serialize_index(index)))
        for found in index.search(queries(21), 9):
            said.update(found.tobytes())
print(said.hexdigest())
"""


def test_instruction_sets_give_the_same_bytes_and_results():
    said = set()
    for level in kernels.host_levels():
        environment = {**os.environ, "LPLR_INDEX_SIMD": level}
        command = [sys.executable, "-c", SEARCH, str(Path(__file__).parent)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        said.add(done.stdout)

    assert len(said) == 1
