"""The scan (kernels/scan.py, scanning.py): the exact ranking of all rows, however the work is cut and computed."""

from __future__ import annotations

import copy
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from conftest import low_rank_vectors
from indexes import EVERY_SCAN, KINDS, ONE_OF_EACH_METHOD, STAGED, check_results, filled, queries, rows, trained
from lplr_index import IndexLPLR, kernels, read_index, scanning, write_index
from lplr_index.arrays import as_rows
from lplr_index.asking import ask
from lplr_index.errors import InputError, ZeroVectorWarning
from lplr_index.kernels import host_levels
from lplr_index.metric import METRICS, worst_distance
from lplr_index.norms import Norm

LEVELS = host_levels()


def prepared(index, xq):
    return ask(index.model, door(index, xq)).queries


def door(index, xq):
    return as_rows(xq, index.d, cosine=index.metric == "cosine")[0]


def scores(index, xq):
    return naive.scores(*naive.reconstruct(index), xq, index.metric)


def shape(index):
    return scanning.layout(index.model), scanning.levels(index.model)


def twin_search(index, xq, k, allowed=None):
    """Search with the twins: every key, in the same float64 sums as the kernel's, and a sort."""
    allowed = np.ones(index.ntotal, bool) if allowed is None else allowed
    keys, I = naive.scan(naive.rows_of(index), *shape(index), prepared(index, xq), index.rows.ids.all(), allowed, k)
    D = keys if index.metric != "l2" else -keys
    return np.where(I < 0, worst_distance(index.metric_type), D), I


def assert_same(results, expected):
    for actual, each in zip(results, expected, strict=True):
        np.testing.assert_array_equal(actual, each)


# The bounds


@pytest.mark.parametrize(("metric", "kind"), EVERY_SCAN)
def test_no_row_beats_its_bound(metric, kind):
    index, xq = filled(metric, kind, n=640), queries()
    layout, prepared_queries, codes = shape(index), prepared(index, xq), naive.rows_of(index)

    passed = []
    for q in range(len(xq)):
        keys = naive.exact_key(codes, *layout, prepared_queries, q).astype(float) + prepared_queries.norm[q]
        blocks = naive.whole_blocks(index.rows.store)
        bounds = np.concatenate(
            [
                naive.block_bounds(block, layout[0], layout[1].norms, prepared_queries, q, index.model.codec.shifts)[1]
                for block in blocks
            ]
        )
        assert (bounds >= keys - prepared_queries.slack[q] - 1e-6 * np.abs(keys)).all()
        passed.append(np.mean(bounds >= np.sort(keys)[-10]))
    # Bounds that let every row pass would rank exactly as well, and slowly.
    assert np.mean(passed) < 0.12


@pytest.mark.parametrize(("metric", "kind"), EVERY_SCAN)
def test_keys_are_scores_of_reconstructions(metric, kind):
    index, xq = filled(metric, kind, n=100), queries()
    layout, prepared_queries, codes = shape(index), prepared(index, xq), naive.rows_of(index)

    keys = np.stack([naive.exact_key(codes, *layout, prepared_queries, q) for q in range(len(xq))])

    exact = scores(index, xq)
    np.testing.assert_allclose(-keys if metric == "l2" else keys, exact, atol=1e-5 * np.abs(exact).max())


# Search


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("metric", "kind"), EVERY_SCAN)
def test_search_ranks_exactly(monkeypatch, level, metric, kind):
    monkeypatch.setenv("LPLR_INDEX_SIMD", level)
    index, xq = filled(metric, kind, n=1000), queries()

    results = index.search(xq, 10)

    assert_same(results, twin_search(index, xq, 10))
    check_results(index, xq, 10, results)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["auto-5", "lplr-4"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 63, 64, 65, 1000])
def test_any_number_of_rows_and_neighbours(monkeypatch, level, kind, metric, n):
    monkeypatch.setenv("LPLR_INDEX_SIMD", level)
    index, xq = filled(metric, kind, n=n), queries(6)

    for k in sorted({1, 10, 600, max(n, 1), n + 5}):  # of 1000 rows, 600 are a reservoir that overflows
        results = index.search(xq, k)

        assert_same(results, twin_search(index, xq, k))
        check_results(index, xq, k, results)


@cache
def vectors_of(d):
    rng = np.random.default_rng(d)
    return (rng.standard_normal((450, 10)) @ rng.standard_normal((10, d)) + rng.standard_normal((450, d))).astype("f4")


@pytest.mark.parametrize(
    ("d", "options"),
    [
        (2, {"bits": 8.0}),
        (2, {"method": "lplr", "rank": 1, "nbits": 3}),
        (3, {"bits": 8.0}),
        (3, {"method": "nq", "nbits": 8}),
        (8, {"bits": 4.0}),
        (8, {"method": "lsvd", "rank": 8, "nbits": 7}),
        (100, {"bits": 1.0}),
        (384, {"bits": 0.5}),
        (1537, {"bits": 0.1}),
        (1537, {"method": "nq", "nbits": 2}),
        (2100, {"method": "nq", "nbits": 4}),
    ],
)
@pytest.mark.parametrize("metric", METRICS)
def test_any_dimension(monkeypatch, d, options, metric):
    if metric == "l2" and d < 8 and "bits" in options:
        pytest.skip("no room for a norm of two bytes, a gain and a code")
    x = vectors_of(d)
    index, xq = IndexLPLR(d, metric=metric, **options), x[440:]
    index.train(x[:300])
    index.add(x[:400])

    results = index.search(xq, 7)

    assert_same(results, twin_search(index, xq, 7))
    check_results(index, xq, 7, results)
    for level in LEVELS:
        monkeypatch.setenv("LPLR_INDEX_SIMD", level)
        assert_same(index.search(xq, 7), results)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("d", [1024, 2048])
def test_scores_of_many_columns_that_agree_do_not_overflow(monkeypatch, rng, d, metric):
    """Sums over signs, as large as sums get; 16-bit ones, which faiss's fast scan has, wrap here."""
    x = rng.choice(np.float32([-1, 1]), (200, d))
    index = IndexLPLR(d, metric=metric, method="nq", nbits=4)
    index.train(x)
    index.add(x)

    for level in LEVELS:
        monkeypatch.setenv("LPLR_INDEX_SIMD", level)
        D, I = index.search(x, 2)

        assert I[:, 0].tolist() == list(range(200))
        best = {"cosine": np.sqrt(d), "ip": d, "l2": 0}[metric]
        scale = 1 / np.sqrt(d) if metric == "cosine" else 1.0
        np.testing.assert_allclose(D[:, 0], best * scale, rtol=1e-3, atol=1e-3 * d)
        check_results(index, x, 2, (D, I))


@pytest.mark.parametrize("kind", ["auto-2", "lsvd-8", "nq-4"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "stretch",
    [
        lambda n: np.full(n, 1e4),
        lambda n: np.full(n, 1e-4),
        lambda n: np.full(n, 1e15),
        lambda n: np.random.default_rng(0).lognormal(sigma=2.0, size=n),
        lambda n: np.where(np.arange(n) % 100, 1e-3, 1e3),
    ],
    ids=["long", "short", "very long", "lognormal", "outliers"],
)
def test_rows_of_any_length(monkeypatch, kind, metric, stretch):
    n = 1000
    x = (rows(n) * stretch(n)[:, None]).astype(np.float32)
    index = IndexLPLR(x.shape[1], metric=metric, **KINDS[kind])
    index.train(x)
    index.add(x)
    xq = np.concatenate([x[::97], 1e-3 * x[:3], np.zeros_like(x[:1])]) if metric != "cosine" else x[::97]

    results = index.search(xq, 30)

    check_results(index, xq, 30, results)
    for level in LEVELS:
        monkeypatch.setenv("LPLR_INDEX_SIMD", level)
        assert_same(index.search(xq, 30), twin_search(index, xq, 30))


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_rows_much_longer_than_those_it_was_trained_on(metric):
    index = trained(metric)
    x = rows(300) * np.where(np.arange(300) % 7, 1, 1e3)[:, None]
    index.add(x)

    for xq in (queries(), queries() * 1e3, np.zeros((1, 48))):
        results = index.search(xq, 300)

        assert_same(results, twin_search(index, xq, 300))
        check_results(index, xq, 300, results)


@pytest.mark.parametrize(("metric", "kind"), EVERY_SCAN)
def test_rows_of_any_bytes(monkeypatch, rng, metric, kind):
    """Codes, gains and norms that no row of the data has."""
    index = trained(metric, kind)
    codes = rng.integers(0, 256, (300, index.code_size), dtype=np.uint8)
    if metric == "l2":
        codes[:, -2:] = rng.normal(0, 1000, (300, 1)).astype("<f2").view(np.uint8)
    index.add_sa_codes(codes)

    expected = twin_search(index, queries(), 40)

    check_results(index, queries(), 40, expected)
    for level in LEVELS:
        monkeypatch.setenv("LPLR_INDEX_SIMD", level)
        assert_same(index.search(queries(), 40), expected)


# One result, however it is computed


@cache
def large(metric):
    """Return an index of three pieces, with rows that come twice, the rows, and queries."""
    x = low_rank_vectors(70_009, 16)
    x[40_000:41_000] = x[:1000]
    index = IndexLPLR(16, bits=4.0, metric=metric)
    index.train(x[:5000])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lplr_index.blocks.PIECE", 1024)
        index.add(x[:70_000])
    assert len(list(index.rows)) == 3
    return index, x[:70_000], x[70_000:]


@pytest.mark.parametrize("k", [50, 100])  # for 100 neighbours, a sample tells thresholds in advance
@pytest.mark.parametrize("metric", METRICS)
def test_threads_batches_and_instruction_sets_change_nothing(monkeypatch, metric, k):
    index, _, xq = large(metric)

    expected = twin_search(index, xq, k)

    check_results(index, xq, k, expected)
    for level in LEVELS:
        monkeypatch.setenv("LPLR_INDEX_SIMD", level)
        for threads in (1, 2, 3, None):
            assert_same(index.search(xq, k, threads=threads), expected)
    for threads in (1, 3):
        one_by_one = [index.search(each[None], k, threads=threads) for each in xq]
        assert_same([np.concatenate(part) for part in zip(*one_by_one, strict=True)], expected)
        for size in (2, 4, 5):
            batches = [index.search(xq[i : i + size], k, threads=threads) for i in range(0, len(xq), size)]
            assert_same([np.concatenate(part) for part in zip(*batches, strict=True)], expected)


@pytest.mark.parametrize(
    ("nq", "threads", "tasks"),
    [
        (1, 1, [1, 1]),
        (1, 2, [1, 1, 2]),
        (1, 3, [1, 1, 3]),
        (1, 64, [1, 1, 5]),
        (31, 2, [1, 1, 2]),
        (32, 2, [2, 2]),
        (200, 2, [4, 4]),
        (200, 1, [4, 4]),
    ],
)
def test_work_is_cut_by_rows_for_few_queries_and_by_queries_for_many(monkeypatch, nq, threads, tasks):
    index, _, _ = large("cosine")
    counts = []

    def count(todo, threads):
        counts.append(len(todo))
        return [task() for task in todo]

    monkeypatch.setattr(scanning, "run", count)
    index.search(low_rank_vectors(nq, 16, seed=9), 3, threads=threads)

    assert counts == tasks  # of making ready, of queries, and of rows where these are shared


@given(st.lists(st.integers(1, 300_000), max_size=5), st.integers(1, 9))
def test_shares_hold_every_block_once(sizes, threads):
    sizes = [-(-size // 32) * 32 for size in sizes[:-1]] + sizes[-1:]
    pieces = [(number, 0, size) for number, size in enumerate(sizes)]

    shares = scanning._cut_rows(pieces, sum(sizes), threads)

    assert len(shares) <= threads
    parts = [part for share in shares for part in share]
    blocks = [(piece, block) for piece, first, stop in parts for block in range(first, -(-stop // 32))]
    assert blocks == [(piece, block) for piece, size in enumerate(sizes) for block in range(-(-size // 32))]
    assert all(stop == sizes[piece] or stop % 32 == 0 for piece, _, stop in parts)


def test_tasks_of_many_queries_are_whole_tiles():
    assert scanning._TILE == kernels.scan.TILE
    for nq, threads in ((33, 2), (100, 3), (1000, 2), (1024, 16)):
        sizes = [part.stop - part.start for part in scanning.cut_queries(nq, threads)]

        assert sum(sizes) == nq
        assert all(size % scanning._TILE == 0 for size in sizes[:-1])


def test_queries_of_few_rows_are_shared_among_threads(monkeypatch):
    index, counts = filled(n=300), []
    expected = index.search(queries(5), 3)

    def count(todo, threads):
        counts.append((len(todo), threads))
        return [task() for task in todo]

    monkeypatch.setattr(scanning, "run", count)
    found = index.search(queries(5), 3, threads=2)

    assert counts == [(1, 2), (2, 2)]
    assert_same(found, expected)


@pytest.mark.parametrize("metric", METRICS)
def test_how_rows_came_in_changes_nothing(tmp_path, metric):
    index, x, xq = large(metric)
    expected = index.search(xq, 50)
    chunked = copy.copy(index)
    chunked.reset()
    for start, stop in ((0, 1), (1, 40), (40, 32_800), (32_800, 66_000), (66_000, 69_990), (69_990, 70_000)):
        chunked.add(x[start:stop], threads=1 + start % 3)
    write_index(index, tmp_path / "a.lplr")

    assert_same(chunked.search(xq, 50), expected)
    for mapped in (True, False):
        assert_same(read_index(tmp_path / "a.lplr", mmap=mapped).search(xq, 50, threads=3), expected)
    half = copy.copy(index)
    half.reset()
    half.add(x[:40_001])
    write_index(half, tmp_path / "b.lplr")
    grown = read_index(tmp_path / "b.lplr")
    grown.add(x[40_001:])
    assert_same(grown.search(xq, 50, threads=2), expected)


def test_more_queries_than_are_prepared_at_a_time():
    index, xq = filled(n=300), queries(2100)

    D, I = index.search(xq, 5, threads=2)

    for part in (slice(0, 3), slice(1020, 1030), slice(2095, 2100)):
        assert_same(index.search(xq[part], 5, threads=1), (D[part], I[part]))
    assert_same((D, I), twin_search(index, xq, 5))


@pytest.mark.parametrize("metric", METRICS)
def test_python_threads_that_share_an_index(metric):
    index, _, xq = large(metric)
    fresh = read_back(index)  # nothing of it was prepared before the threads meet
    expected = [index.search(each[None], 20, threads=1) for each in xq]

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(fresh.search, xq[i % 9][None], 20, threads=1 + i % 3) for i in range(36)]

    for i, job in enumerate(jobs):
        assert_same(job.result(), expected[i % 9])


def read_back(index):
    from lplr_index import deserialize_index, serialize_index

    return deserialize_index(serialize_index(index))


# Thresholds that a sample tells in advance


@pytest.fixture
def sampling(monkeypatch):
    """Lets every search of some blocks sample two of them, and returns a list of the strides of all scans."""
    sample_always(monkeypatch)
    strides, scan = [], scanning._scan

    def count(*arguments, **others):
        strides.append(arguments[4] if len(arguments) > 4 else 1)
        return scan(*arguments, **others)

    monkeypatch.setattr(scanning, "_scan", count)
    return strides


def sample_always(patch):
    for name, value in (("_SAMPLE", 64), ("_MANY", 1), ("_SPARSE", 2)):
        patch.setattr(scanning, name, value)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("metric", "kind"), EVERY_SCAN)
def test_a_sample_changes_nothing(monkeypatch, sampling, level, metric, kind):
    monkeypatch.setenv("LPLR_INDEX_SIMD", level)
    index, xq = filled(metric, kind, n=1000), queries()

    for k in (1, 10, 100, 600, 1005):
        assert_same(index.search(xq, k), twin_search(index, xq, k))

    assert set(sampling) == {15, 1}


@pytest.mark.parametrize("metric", METRICS)
def test_a_sample_that_is_better_than_the_rest_is_made_up_for(sampling, metric):
    """Blocks 0 and 16 of 32 are looked at first: if the best 64 rows are there, 100 do not reach what these do."""
    index, xq = trained(metric), queries(5)
    x, near = rows(960), np.repeat(rows(2)[1:], 32, axis=0)
    index.add(np.concatenate([near, x[:480], near, x[480:]]))
    xq = np.concatenate([near[:1], xq])

    found = index.search(xq, 100, threads=1)

    assert sampling[:2] == [16, 1]
    assert 0 < len(sampling[2:]) <= len(xq)
    assert_same(found, twin_search(index, xq, 100))


def test_a_sample_is_of_every_so_many_blocks_of_all_pieces():
    index, _, xq = large("cosine")
    asked, where = ask(index.model, door(index, xq)), scanning.where_of(index.model)
    everyone, filtered = slice(0, len(xq)), scanning.no_filter()
    sought = scanning.Sought(index.rows, where, asked, everyone, filtered, index.rows.ids.stored)
    for stride, threads in ((1, 1), (7, 1), (7, 3), (100, 1), (10_000, 1)):
        unknown = np.full(len(xq), -np.inf, np.float32)
        found = scanning._scan(sought, 20, threads, unknown, stride)

        assert_same(found, twin_search(index, xq, 20, np.arange(index.ntotal) // 32 % stride == 0))


@pytest.mark.parametrize("metric", METRICS)
def test_a_sample_of_what_rows_promise_and_of_filtered_rows(sampling, rng, metric):
    index, xq = filled(metric, "tails-0-4", n=1000), queries()
    mask = rng.random(1000) < 0.3

    found = [index.search(xq, 50, margin=1), index.search(xq, 50, margin=1, filter=mask)]
    sampled, scanning._MANY = list(sampling), 1 << 40

    assert set(sampled) == {15, 1}
    assert_same(found[0], index.search(xq, 50, margin=1))
    assert_same(found[1], index.search(xq, 50, margin=1, filter=mask))


# Ties


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [*ONE_OF_EACH_METHOD, "staged-2-4"])
def test_the_lowest_id_wins_a_tie(monkeypatch, rng, level, metric, kind):
    """Five rows, fifty times each: all places of the list are decided by ids, which come in no order."""
    monkeypatch.setenv("LPLR_INDEX_SIMD", level)
    monkeypatch.setattr(kernels.topk, "HEAP_MOST", 32)  # so that there are heaps and reservoirs
    x, ids = np.tile(rows(5), (50, 1)), rng.permutation(10_000)[:250]
    index = trained(metric, kind)
    index.add_with_ids(x, ids)

    for k in (1, 7, 50, 120, 260):
        D, I = index.search(rows(8)[3:], k)

        expected = naive.brute_force(index, rows(8)[3:], k)
        np.testing.assert_array_equal(I[:, :250], expected[1])
        np.testing.assert_allclose(D[:, :250], expected[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_ids_that_fall_from_row_to_row(metric):
    """Every row ties with the best so far and ranks before it."""
    index, xq = trained(metric), queries(5)
    index.add_with_ids(np.repeat(rows(1), 40_000, axis=0), np.arange(40_000)[::-1])

    for threads in (1, 3):
        D, I = index.search(xq, 10, threads=threads)

        np.testing.assert_array_equal(I, np.tile(np.arange(10), (5, 1)))
        np.testing.assert_array_equal(D, np.repeat(D[:, :1], 10, axis=1))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("offset", "near"), [(0, False), (300, False), (300, True)])
def test_bounds_that_leave_no_room(rng, metric, offset, near):
    """Rows of the lowest score there is are bounded by that score, to float32: rounding must not lose them to a tie.

    Worst of all for rows near the query, where two large numbers leave a small distance.
    """
    index = IndexLPLR(40, metric=metric, method="nq", nbits=4)
    x = (rng.standard_normal((500, 40)) + offset).astype(np.float32)
    index.train(x)
    row = np.full((1, 40), x.min() if near else x.max())
    index.add_with_ids(np.repeat(row, 64, axis=0), np.arange(64)[::-1])
    noise = np.abs(rng.standard_normal((200, 40)))
    xq = row + 3 * noise if near else -noise

    D, I = index.search(xq, 3)

    np.testing.assert_array_equal(I, np.tile([0, 1, 2], (200, 1)))
    check_results(index, xq, 3, (D, I))
    outside = np.float32(np.inf if metric == "l2" else -np.inf)
    for query, radius in zip(xq, np.nextafter(D[:, 0], outside), strict=True):
        assert index.range_search(query[None], float(radius))[0][1] == 64


def test_a_radius_far_beyond_the_rows_an_index_was_trained_on(rng):
    """Norms thousands of times the usual one round by more than the query, its scores and that norm account for."""
    usual = trained("l2", "nq-4")
    # A unit that float32 rounds up as far as it can, and codes of the lowest score, whose bound is the score itself.
    model = replace(usual.model, norm=Norm(16, 1 + 2.0**-24 + 2.0**-30))
    index = IndexLPLR.restored(usual.settings, model, None)
    codes = np.zeros((1000, index.code_size), np.uint8)
    codes[:, -2:] = (10.0 ** np.linspace(3, 4.8, 1000)).astype("<f2")[:, None].view(np.uint8)
    index.add_sa_codes(codes)
    query = np.abs(rng.standard_normal((1, 48))) / 10

    D, I = (each[0] for each in index.search(query, 1000))

    for radius, row in zip(np.nextafter(D, np.float32(np.inf)), I, strict=True):
        assert index.range_search(query, float(radius), filter=[row])[2].tolist() == [row]


@pytest.mark.parametrize("kind", ONE_OF_EACH_METHOD)
def test_zero_queries_under_cosine(kind):
    index = filled("cosine", kind, n=100, ids=np.arange(100)[::-1] + 7)

    with pytest.warns(ZeroVectorWarning, match="1 of 2 vectors have length zero, row 1 first"):
        D, I = index.search(np.stack([rows(1)[0], np.zeros(48)]), 4)

    np.testing.assert_array_equal(D[1], np.zeros(4))
    np.testing.assert_array_equal(I[1], [7, 8, 9, 10])
    assert D[0, 0] > 0


@pytest.mark.parametrize("kind", ONE_OF_EACH_METHOD)
def test_zero_rows_under_cosine(kind):
    """They score zero where rows have a gain; the grids of the paper's methods have no level at zero."""
    index = trained("cosine", kind)

    with pytest.warns(ZeroVectorWarning, match="2 of 5 vectors have length zero, row 1 first"):
        index.add(rows(5) * np.array([1, 0, 1, 0, 1])[:, None])

    D, I = results = index.search(queries(6), 5)
    check_results(index, queries(6), 5, results)
    zeros = D[np.isin(I, [1, 3])].reshape(6, 2)
    np.testing.assert_array_equal(zeros[:, 0], zeros[:, 1])
    assert kind != "auto-2" or not zeros.any()


# Filters


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0.0, 0.002, 0.3, 1.0])
def test_filters(monkeypatch, rng, level, metric, share):
    monkeypatch.setenv("LPLR_INDEX_SIMD", level)
    ids = rng.permutation(5000)[:1000]
    index, xq, mask = filled(metric, n=1000, ids=ids), queries(), rng.random(1000) < share
    expected = twin_search(index, xq, 20, mask)

    check_results(index, xq, 20, expected, mask)
    assert_same(index.search(xq, 20, filter=mask), expected)
    assert_same(index.search(xq, 20, filter=rng.permutation(ids[mask])), expected)
    assert_same(index.search(xq, 20, filter=[*ids[mask].tolist(), 77_777, -1]), expected)
    radius = float(np.median(scores(index, xq)))
    lims, D, I = index.range_search(xq, radius, filter=mask)
    assert np.isin(I, ids[mask]).all()
    assert_same((lims, D, I), twin_range(index, xq, radius, mask))


@pytest.mark.parametrize("threads", [1, 3])
def test_filters_over_many_pieces(rng, threads):
    index, _, xq = large("cosine")
    mask = rng.random(70_000) < 0.01
    mask[30_000:60_000] = False

    assert_same(index.search(xq, 30, filter=mask, threads=threads), twin_search(index, xq, 30, mask))


def test_filters_of_faiss(rng):
    faiss = pytest.importorskip("faiss")
    ids = rng.permutation(5000)[:1000]
    index, xq = filled(n=1000, ids=ids), queries()
    some = np.sort(ids[:300])
    bitmap = np.packbits(np.isin(np.arange(5000), some), bitorder="little")
    selectors = {
        faiss.IDSelectorRange(1000, 2000): (ids >= 1000) & (ids < 2000),
        faiss.IDSelectorBatch(some): np.isin(ids, some),
        faiss.IDSelectorArray(some): np.isin(ids, some),
        faiss.IDSelectorBitmap(bitmap): np.isin(ids, some),
        faiss.IDSelectorNot(faiss.IDSelectorBatch(some)): ~np.isin(ids, some),
        faiss.IDSelectorAll(): np.ones(1000, bool),
        faiss.IDSelectorBatch(np.array([9999])): np.zeros(1000, bool),
    }

    for selector, mask in selectors.items():
        expected = twin_search(index, xq, 20, mask)
        assert_same(index.search(xq, 20, filter=selector), expected)
        assert_same(index.search(xq, 20, params=faiss.SearchParameters(sel=selector)), expected)
        assert_same(
            index.range_search(xq, 0.2, params=faiss.SearchParameters(sel=selector)), twin_range(index, xq, 0.2, mask)
        )
    assert_same(index.search(xq, 20, params=faiss.SearchParameters()), twin_search(index, xq, 20))


def test_filters_and_ties(rng):
    index = trained("l2")
    ids = rng.permutation(500)[:200]
    index.add_with_ids(np.tile(rows(2), (100, 1)), ids)

    mask = rng.random(200) < 0.5
    _, I = index.search(rows(2), 150, filter=mask)

    for row in range(2):
        mine = np.arange(200) % 2 == row
        expected = [*np.sort(ids[mask & mine]), *np.sort(ids[mask & ~mine])]
        assert I[row, : len(expected)].tolist() == expected
        assert (I[row, len(expected) :] == -1).all()


# A margin

TAILED = [(metric, kind) for metric, kind in EVERY_SCAN if kind.startswith("tails")]


def twin_promises(index, xq, margin):
    """Return what the heads of all rows promise each query, (nq, ntotal) float32."""
    model, asked, layout = index.model, prepared(index, xq), shape(index)
    shifts, head = np.repeat(model.codec.shifts.astype(int), 8)[: model.codec.nibbles, None], model.head
    tails = (asked.deficits.reshape(len(xq), -1, 16).astype(int) << shifts)[:, head:]
    usual, spread = tails.mean(axis=2).sum(axis=1), np.sqrt(tails.var(axis=2).sum(axis=1))
    asked = asked._replace(promises=np.clip(usual - margin * spread, 0, 65535).astype(int))
    told = [
        [
            naive.block_bounds(block, layout[0], layout[1].norms, asked, q, model.codec.shifts, head)[1]
            for block in naive.whole_blocks(index.rows.store)
        ]
        for q in range(len(xq))
    ]
    bounds = np.array([np.concatenate(each)[: index.ntotal] for each in told])
    return (bounds.astype(float) - asked.norm[:, None]).astype(np.float32)


def twin_margin(index, xq, k, margin, allowed=None):
    """Rank all allowed rows by their keys, or by what they promise if that is less, then the best of them exactly."""
    n, codes, layout, everything = index.ntotal, naive.rows_of(index), shape(index), prepared(index, xq)
    allowed, ids = np.ones(n, bool) if allowed is None else allowed, index.rows.ids.all()
    keys, found = np.full((len(xq), k), -np.inf, np.float32), np.full((len(xq), k), -1)
    for q, promises in enumerate(twin_promises(index, xq, margin)):
        exact = naive.exact_key(codes, *layout, everything, q)
        chosen = naive.best(np.minimum(exact, promises)[allowed], np.flatnonzero(allowed), k)[1]
        some, which = naive.best(exact[chosen], ids[chosen], k)
        keys[q, : len(some)], found[q, : len(some)] = some, which
    D = keys if index.metric != "l2" else -keys
    return np.where(found < 0, worst_distance(index.metric_type), D), found


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("metric", "kind"), TAILED)
def test_rows_count_for_what_their_heads_promise(monkeypatch, level, metric, kind):
    monkeypatch.setenv("LPLR_INDEX_SIMD", level)
    index, xq = filled(metric, kind, n=1000, ids=np.arange(1000)[::-1]), queries()
    mask = np.random.default_rng(0).random(1000) < 0.5

    for k, margin in ((10, 0), (10, 1), (10, 2.5), (40, 1), (999, 1), (1000, 0)):
        assert_same(index.search(xq, k, margin=margin), twin_margin(index, xq, k, margin))
        assert_same(index.search(xq, k, margin=margin, filter=mask), twin_margin(index, xq, k, margin, mask))
    assert not np.array_equal(index.search(xq, 10, margin=0)[1], index.search(xq, 10)[1])


@pytest.mark.parametrize("metric", METRICS)
def test_a_margin_does_not_depend_on_threads_and_batches(metric):
    index, xq = wide(metric)
    assert index.model.head < index.model.codec.nibbles

    for k, margin in ((10, 0), (100, 2)):
        expected = index.search(xq, k, margin=margin, threads=1)

        for threads in (1, 2, 3):
            assert_same(index.search(xq, k, margin=margin, threads=threads), expected)
            one_by_one = [index.search(each[None], k, margin=margin, threads=threads) for each in xq]
            assert_same([np.concatenate(part) for part in zip(*one_by_one, strict=True)], expected)


@cache
def wide(metric):
    """Return an index of more rows than a piece holds whose codes have a head and a tail, and queries."""
    x = low_rank_vectors(70_009, 64)
    index = IndexLPLR(64, bits=4.0, metric=metric)
    index.train(x[:3000])
    index.add(x[:70_000])
    return index, x[70_000:]


@pytest.mark.parametrize("metric", METRICS)
def test_a_wide_margin_finds_what_a_whole_search_finds(metric):
    index, xq = wide(metric)
    whole = index.search(xq, 10)

    found = [np.mean([np.isin(*pair).mean() for pair in zip(whole[1], index.search(xq, 10, margin=m)[1], strict=True)])
             for m in (0, 2, 5)]  # fmt: skip

    assert found[0] <= found[1] <= found[2]
    assert found[2] > 0.99
    assert_same(index.search(xq, 10, margin=1e6), whole)


def test_rows_that_lie_whole_are_ranked_whole():
    index, xq = filled("cosine", "staged-1-4", n=300), queries()

    assert_same(index.search(xq, 10, margin=0), index.search(xq, 10))


@pytest.mark.parametrize(
    ("margin", "complaint"),
    [(-1, "at least 0, got -1"), (np.nan, "finite, got nan"), ("wide", "a number, got 'wide'")],
)
def test_a_margin_is_a_number(margin, complaint):
    for search in (filled().search, filled().range_search):
        with pytest.raises(InputError, match=f"expected margin to be {complaint}"):
            search(queries(1), 3, margin=margin)


# Range search


def twin_range(index, xq, radius, allowed=None):
    allowed = np.ones(index.ntotal, bool) if allowed is None else allowed
    layout, codes, ids = shape(index), naive.rows_of(index)[allowed], index.rows.ids.all()[allowed]
    everything = [naive.exact_key(codes, *layout, prepared(index, xq), q) for q in range(len(xq))]
    sign = -1 if index.metric == "l2" else 1
    inside = [keys.astype(float) > sign * radius for keys in everything]
    lims = np.cumsum([0, *(each.sum() for each in inside)])
    D = np.concatenate([(sign * keys)[each] for keys, each in zip(everything, inside, strict=True)])
    return lims, D, np.concatenate([ids[each] for each in inside])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("metric", "kind"), EVERY_SCAN)
def test_range_search(monkeypatch, level, metric, kind):
    monkeypatch.setenv("LPLR_INDEX_SIMD", level)
    index, xq = filled(metric, kind, n=300, ids=np.arange(300)[::-1]), queries(5)
    exact = scores(index, xq)

    for share in (0.0, 0.02, 0.5, 1.0):
        radius = float(np.quantile(exact, share))
        lims, D, I = results = index.range_search(xq, radius, threads=2)

        assert_same(results, twin_range(index, xq, radius))
        assert (lims.dtype, D.dtype, I.dtype) == (np.int64, np.float32, np.int64)
        distances = np.concatenate([np.full(n, row) for n, row in zip(np.diff(lims), range(5), strict=True)])
        np.testing.assert_allclose(D, exact[distances.astype(int), 299 - I], atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("metric", "kind"), TAILED)
def test_range_search_by_what_heads_promise(monkeypatch, level, metric, kind):
    monkeypatch.setenv("LPLR_INDEX_SIMD", level)
    index, xq = filled(metric, kind, n=300), queries(5)
    sign = -1 if metric == "l2" else 1
    radius = float(np.quantile(scores(index, xq), 0.1 if metric == "l2" else 0.9))

    lims, D, I = index.range_search(xq, radius, threads=2, margin=0.5)

    whole = index.range_search(xq, radius)
    assert lims[-1] < whole[0][-1]
    promises = twin_promises(index, xq, 0.5) > sign * radius
    for q in range(5):
        mine, every = slice(lims[q], lims[q + 1]), slice(whole[0][q], whole[0][q + 1])
        kept = promises[q, whole[2][every]]
        assert_same((D[mine], I[mine]), (whole[1][every][kept], whole[2][every][kept]))


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_at_the_radius_is_outside(metric):
    index, xq = filled(metric, n=300), queries(5)
    D, I = index.search(xq, 40)
    better = np.float32(-np.inf if metric == "l2" else np.inf)

    for q in range(5):
        at = D[q, 30]
        _, _, inside = index.range_search(xq[q : q + 1], float(at))
        _, _, wider = index.range_search(xq[q : q + 1], float(np.nextafter(at, -better)))
        assert sorted(inside) == sorted(I[q, D[q] != at][: np.argmax(D[q] == at)])
        assert I[q, 30] in wider


@pytest.mark.parametrize("metric", METRICS)
def test_more_results_than_a_buffer_holds(metric):
    index, _, xq = large(metric)
    everything = 1e9 if metric == "l2" else -1e9

    lims, _, I = index.range_search(xq[:2], everything, threads=2)

    assert lims.tolist() == [0, 70_000, 140_000]
    np.testing.assert_array_equal(I, np.tile(np.arange(70_000), 2))
    radius = float(np.median(index.search(xq[:2], 70_000)[0]))
    assert_same(index.range_search(xq[:2], radius), twin_range(index, xq[:2], radius))


@pytest.mark.parametrize("metric", METRICS)
def test_no_queries_and_no_rows(metric):
    for n in (0, 40):
        index = filled(metric, n=n)
        D, I = index.search(np.empty((0, 48)), 3)
        assert (D.shape, I.shape, D.dtype, I.dtype) == ((0, 3), (0, 3), np.float32, np.int64)
        lims, D, I = index.range_search(np.empty((0, 48)), 1.0)
        assert (lims.tolist(), D.shape, I.shape) == ([0], (0,), (0,))
    lims, D, I = filled(metric, n=0).range_search(queries(2), 1.0)
    assert (lims.tolist(), D.shape, I.shape) == ([0, 0, 0], (0,), (0,))


# Properties


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    metric=st.sampled_from(METRICS),
    kind=st.sampled_from(sorted(KINDS | STAGED)),
    n=st.integers(0, 200),
    distinct=st.integers(1, 200),
    k=st.integers(1, 210),
    nq=st.integers(0, 10),
    threads=st.integers(1, 3),
    share=st.sampled_from([0.1, 0.9, 1.0]),
    sampled=st.booleans(),
)
def test_any_search(seed, metric, kind, n, distinct, k, nq, threads, share, sampled):
    rng = np.random.default_rng(seed)
    index = trained(metric, kind)
    index.add_with_ids(rows(distinct)[rng.integers(0, distinct, n)], rng.permutation(1000)[:n], threads=threads)
    mask = rng.random(n) < share

    with pytest.MonkeyPatch.context() as patch:
        if sampled:
            sample_always(patch)
        found = index.search(queries(21)[:nq], k, filter=mask, threads=threads)

    assert_same(found, twin_search(index, queries(21)[:nq], k, mask))


# The check that the tests above rely on


def changed(array, columns, values):
    out = array.copy()
    out[0, columns] = values
    return out


@pytest.mark.parametrize("metric", METRICS)
def test_the_check_finds_every_kind_of_wrong_result(metric):
    index, xq = filled(metric, n=50), queries(4)
    D, I = index.search(xq, 60)
    check_results(index, xq, 60, (D, I))

    swapped = np.r_[0:3, 8, 4:8, 3, 9:60]
    short = np.r_[0:10, 11:60, 59]
    wrong = {
        "order": (D[:, swapped], I[:, swapped]),
        "missing row": (D[:, short], I[:, short]),
        "same row twice": (D, changed(I, 4, I[0, 3])),
        "wrong ids": (D, changed(I, slice(0, 2), I[0, 40:42])),
        "unknown id": (D, changed(I, 0, 50)),
        "wrong distance": (changed(D, 0, D[0, 0] * 1.01), I),
        "padding id": (D, changed(I, 55, 0)),
        "padding distance": (changed(D, 55, 0), I),
        "dtype": (D.astype(float), I),
    }
    for results in wrong.values():
        with pytest.raises(AssertionError):
            check_results(index, xq, 60, results)
    with pytest.raises(AssertionError):
        check_results(index, xq, 60, (D, I), np.arange(50) > 0)


# Other company


def run_script(text, *arguments):
    """Run a script in a new interpreter with this folder on its path; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="no fork here")
def test_search_after_a_fork(tmp_path):
    """The threads of the parent do not exist in the child; a pool that was copied would wait for them for ever."""
    index, _, xq = large("cosine")
    write_index(index, tmp_path / "a.lplr")
    np.save(tmp_path / "q.npy", xq)
    script = """
        import os, sys, signal
        import numpy as np
        import lplr_index

        index, xq = lplr_index.read_index(sys.argv[1]), np.load(sys.argv[2])
        expected = index.search(xq, 10, threads=2)
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            same = all(np.array_equal(*pair) for pair in zip(index.search(xq, 10, threads=2), expected))
            index.add(xq, threads=2)
            os._exit(0 if same and index.ntotal == 70_009 else 1)
        status = os.waitpid(child, 0)[1]
        again = index.search(xq, 10, threads=2)
        print(os.waitstatus_to_exitcode(status), all(np.array_equal(*pair) for pair in zip(again, expected)))
    """

    assert run_script(script, str(tmp_path / "a.lplr"), str(tmp_path / "q.npy")).split() == ["0", "True"]


def test_search_beside_faiss():
    """Two libraries with threads of their own take turns, also from several threads at once."""
    faiss = pytest.importorskip("faiss")
    index, x, xq = large("ip")
    flat = faiss.IndexFlatIP(16)
    flat.add(x)
    ours, theirs = index.search(xq, 10), flat.search(xq, 10)

    with ThreadPoolExecutor(4) as pool:
        both = [(pool.submit(index.search, xq, 10, threads=2), pool.submit(flat.search, xq, 10)) for _ in range(8)]

    for mine, other in both:
        assert_same(mine.result(), ours)
        np.testing.assert_array_equal(other.result()[1], theirs[1])
