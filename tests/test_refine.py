"""refine.py: the k best of the first stage's candidates by the second stage's vectors, whatever changes on the way."""

from __future__ import annotations

import copy
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from indexes import D_SMALL, filled, queries, rows, trained
from lplr_index import IndexLPLR, IndexRefineLPLR, open_vectors, read_index, write_vectors
from lplr_index.arrays import as_rows
from lplr_index.building import build_index
from lplr_index.data import newsgroups
from lplr_index.errors import InputError, NotTrainedError, UnknownIdError, VectorFileError, ZeroVectorWarning
from lplr_index.metric import METRICS, worst_distance

STAGES = ("residuals", "originals")
EVERY_KIND = [(metric, stage) for metric in METRICS for stage in STAGES]
N = 300  # rows where a test does not say


@cache
def _trained(metric, stage):
    base = IndexLPLR(D_SMALL, 1.0, metric)
    second = {"refine_bits": 2.0} if stage == "residuals" else {"originals": rows(3000)}
    index = IndexRefineLPLR(base, **second)
    index.train(rows(3000)[1500:])
    return index


def refined(metric="cosine", stage="residuals", n=N, ids=None):
    """Return an index of two stages with the first ``n`` rows, or those of ``ids`` under their numbers."""
    index = copy.copy(_trained(metric, stage))
    index.base_index, index.refine = copy.copy(index.base_index), copy.copy(index.refine)
    index.reset()
    if ids is None:
        index.add(rows(n))
    elif len(ids):
        index.add_with_ids(rows(3000)[ids], ids)
    return index


def door(x, metric):
    return as_rows(x, D_SMALL, cosine=metric == "cosine")[0]


def vectors_of(index):
    """Return what the second stage holds of each row, by id, from the parts and by the twin."""
    base, ids = index.base_index, index.rows.ids.all()
    if index.refine.code_size == 0:
        return dict(zip(ids.tolist(), door(rows(3000)[ids], index.metric), strict=True))
    x_hat = base.reconstruct_batch(ids)
    rest = index.refine.model.decode(index.refine.store.rows(np.arange(len(ids))))
    return dict(zip(ids.tolist(), naive.refine_rows(x_hat, rest, index.refine.lengths), strict=True))


def expected(index, xq, k, k_factor, **options):
    """Return D and I of a search as the twin finds them."""
    depth = max(1, min(int(k * k_factor), index.ntotal))
    _, candidates = index.base_index.search(xq, depth, **options)
    lists = naive.rerank(candidates, vectors_of(index), door(xq, index.metric), k, index.metric == "l2")
    D = np.full((len(xq), k), worst_distance(index.metric_type), np.float32)
    I = np.full((len(xq), k), -1)
    for q, (keys, ids) in enumerate(lists):
        D[q, : len(keys)], I[q, : len(ids)] = -keys if index.metric == "l2" else keys, ids
    return D, I


def assert_same(results, wanted):
    D, I = results
    assert (D.dtype, I.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(I, wanted[1])
    np.testing.assert_array_equal(D, wanted[0])


# Searching


@pytest.mark.parametrize(("metric", "stage"), EVERY_KIND)
@pytest.mark.parametrize(("k", "k_factor"), [(1, 1), (10, 1), (10, 3.5), (7, 16), (N, 1), (20, 1000), (N + 5, 2)])
def test_search_is_the_twins(metric, stage, k, k_factor):
    index = refined(metric, stage)

    assert_same(index.search(queries(), k, k_factor=k_factor), expected(index, queries(), k, k_factor))


@pytest.mark.parametrize(("metric", "stage"), EVERY_KIND)
def test_results_do_not_depend_on_threads_or_batches(metric, stage):
    """3000 candidates of each of 21 queries are many tasks, of which several share a query."""
    index = refined(metric, stage, 3000)
    wanted = index.search(queries(), 100, k_factor=30, threads=1)

    for threads in (2, 3, 7):
        assert_same(index.search(queries(), 100, k_factor=30, threads=threads), wanted)
    single = [index.search(queries()[q : q + 1], 100, k_factor=30) for q in range(21)]
    assert_same((np.concatenate([D for D, _ in single]), np.concatenate([I for _, I in single])), wanted)
    assert_same(wanted, expected(index, queries(), 100, 30))


@pytest.mark.parametrize("metric", METRICS)
def test_originals_are_compared_exactly(metric):
    """With all rows as candidates the result is that of comparing all vectors."""
    index = refined(metric, "originals", 500)

    D, I = index.search(queries(), 500, k_factor=1)

    x, xq = door(rows(500), metric).astype(float), door(queries(), metric).astype(float)
    exact = np.square(xq[:, None] - x).sum(axis=2) if metric == "l2" else -(xq @ x.T)
    np.testing.assert_array_equal(I, np.argsort(exact.astype(np.float32), axis=1, kind="stable"))
    np.testing.assert_allclose(D if metric == "l2" else -D, np.sort(exact, axis=1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("stage", STAGES)
def test_ties_go_to_the_lowest_id(stage):
    numbers = np.array([900, 4, 77, 500, 12])
    same = np.repeat(rows(1), 1000, axis=0)
    second = {"refine_bits": 2} if stage == "residuals" else {"originals": same}
    index = IndexRefineLPLR(trained("l2", "auto-2"), **second)
    index.train(rows(1500))
    index.add_with_ids(same[:5], numbers)

    D, I = index.search(queries(), 5, k_factor=1)

    assert (np.sort(numbers) == I).all()
    assert (D[:, :1] == D).all()
    np.testing.assert_array_equal(index.search(queries(), 3, k_factor=5)[1], I[:, :3])


@pytest.mark.parametrize(("metric", "stage"), EVERY_KIND)
def test_a_filter_is_the_first_stages(rng, metric, stage):
    index = refined(metric, stage)
    mask = rng.random(N) < 0.1

    wanted = expected(index, queries(), 20, 4, filter=mask)

    assert mask[wanted[1][wanted[1] >= 0]].all()
    assert_same(index.search(queries(), 20, k_factor=4, filter=mask), wanted)
    assert_same(index.search(queries(), 20, k_factor=4, filter=np.flatnonzero(mask)), wanted)
    assert (index.search(queries(), 3, filter=np.zeros(N, bool))[1] == -1).all()


def test_parameters_are_those_of_faiss():
    faiss = pytest.importorskip("faiss")
    index = refined()
    some = faiss.SearchParameters(sel=faiss.IDSelectorRange(10, 60))
    wanted = index.search(queries(), 5, k_factor=2, filter=np.arange(10, 60))

    inside = faiss.IndexRefineSearchParameters(k_factor=2, base_index_params=some)
    outside = faiss.IndexRefineSearchParameters(k_factor=2, sel=some.sel)
    for params in (inside, outside):
        assert_same(index.search(queries(), 5, params=params), wanted)
        assert_same(
            index.range_search(queries(), 0.5, params=params)[1:],
            index.range_search(queries(), 0.5, filter=np.arange(10, 60))[1:],
        )
    index.k_factor = 2
    assert_same(index.search(queries(), 5, params=some), wanted)
    with pytest.raises(InputError, match="expected k_factor or params that have one, got both"):
        index.search(queries(), 5, k_factor=2, params=inside)
    with pytest.raises(InputError, match="expected a filter or params with a selector, got both"):
        index.search(queries(), 5, params=inside, filter=np.arange(3))
    with pytest.raises(InputError, match=r"expected params to be a faiss\.SearchParameters, got int"):
        index.search(queries(), 5, params=3)


def test_k_factor_is_the_indexs_unless_a_search_says():
    index = refined()
    assert index.k_factor == 4.0
    index.k_factor = 2

    assert_same(index.search(queries(), 10), expected(index, queries(), 10, 2))
    assert_same(index.search(queries(), 10, k_factor=5), expected(index, queries(), 10, 5))
    assert index.k_factor == 2.0
    for wrong in (0.99, 0, -1, np.nan, np.inf, "x", None):
        with pytest.raises(InputError, match="expected k_factor to be"):
            index.k_factor = wrong
    with pytest.raises(InputError, match=r"expected k_factor to be at least 1, got 0\.5"):
        index.search(queries(), 10, k_factor=0.5)


def test_candidates_beyond_the_rows_take_no_memory():
    index = refined(n=50)

    assert_same(index.search(queries(), 10, k_factor=1e300), index.search(queries(), 10, k_factor=5))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("metric", METRICS)
def test_the_second_look_pays(metric, stage):
    """Recall of the 10 best grows with candidates, from the first stage's to what the second's vectors allow."""
    index = refined(metric, stage, 1500)
    x, xq = door(rows(1500), metric).astype(float), door(queries(200), metric).astype(float)
    exact = np.square(xq[:, None] - x).sum(axis=2) if metric == "l2" else -(xq @ x.T)
    true = np.argsort(exact, axis=1)[:, :10]

    def recall(I):
        return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(I.tolist(), true.tolist(), strict=True)])

    base = recall(index.base_index.search(queries(200), 10)[1])
    steps = [recall(index.search(queries(200), 10, k_factor=k_factor)[1]) for k_factor in (1, 2, 4, 150)]

    assert steps[0] == base
    assert (np.diff(steps) > -0.005).all()
    assert steps[2] > base + 0.1
    assert steps[3] == 1.0 if stage == "originals" else steps[3] < 1.0


def test_originals_find_all_true_neighbours_of_posts():
    """The claim of docs/search.md: at 1 bit a coordinate and k_factor = 20, 2,000 queries miss none of their 10."""
    posts = newsgroups()
    order = np.random.default_rng(0).permutation(len(posts.train))
    train, base = (np.asarray(posts.train[np.sort(half)], np.float32) for half in (order[:5000], order[5000:]))
    index = IndexRefineLPLR(IndexLPLR(384, 1.0), originals=base, k_factor=20)
    index.train(train)
    index.add(base)

    D, I = index.search(posts.test, 10)

    exact = door_384(np.asarray(posts.test, np.float32)).astype(float) @ door_384(base).astype(float).T
    true = np.argsort(-exact, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(np.sort(I, axis=1), np.sort(true, axis=1))
    np.testing.assert_allclose(D, np.take_along_axis(exact, true, axis=1), rtol=1e-6)


def door_384(x):
    return as_rows(x, 384, cosine=True)[0]


@pytest.mark.parametrize(("metric", "stage"), EVERY_KIND)
def test_range_search(metric, stage):
    index = refined(metric, stage)
    D, _ = index.search(queries(), 20)
    radius = float(np.median(D[:, -1]))

    lims, found, I = index.range_search(queries(), radius)

    assert (found.dtype, I.dtype, lims.dtype) == (np.float32, np.int64, np.int64)
    base_lims, _, base_I = index.base_index.range_search(queries(), radius)
    vectors, xq, count = vectors_of(index), door(queries(), metric), 0
    for q in range(21):
        ids = base_I[base_lims[q] : base_lims[q + 1]]
        x = np.array([vectors[i] for i in ids.tolist()]).reshape(-1, D_SMALL)
        keys = naive.pair_keys(np.broadcast_to(xq[q], x.shape), x, metric == "l2")
        inside = keys > (-radius if metric == "l2" else radius)
        mine = slice(lims[q], lims[q + 1])
        np.testing.assert_array_equal(I[mine], ids[inside])
        np.testing.assert_array_equal(found[mine], -keys[inside] if metric == "l2" else keys[inside])
        count += inside.sum()
    assert 0 < count == lims[-1] < base_lims[-1]


@pytest.mark.parametrize("stage", STAGES)
def test_no_rows_and_no_queries(stage):
    index = refined("l2", stage, 0)

    D, I = index.search(queries(), 3)
    assert (I == -1).all()
    assert (worst_distance(index.metric_type) == D).all()
    assert index.range_search(queries(), 5.0)[0].tolist() == [0] * 22
    index.add(rows(10))
    assert [a.shape for a in index.search(queries()[:0], 3)] == [(0, 3), (0, 3)]


def test_vectors_of_length_zero():
    x = rows(20).copy()
    x[7] = 0
    for second in ({"refine_bits": 2}, {"originals": x}):
        index = IndexRefineLPLR(IndexLPLR(D_SMALL), **second)
        index.train(rows(1500))
        with pytest.warns(ZeroVectorWarning, match="1 of 20 vectors have length zero, row 7 first"):
            index.add(x)

        D, I = index.search(queries(), 20)

        np.testing.assert_array_equal(D[I == 7], np.zeros(21))
        with pytest.warns(ZeroVectorWarning, match="2 of 2 vectors"):
            D, I = index.search(np.zeros((2, D_SMALL)), 3)
        assert (D == 0).all()
        assert not index.reconstruct(7).any()


# Rows in and out


@pytest.mark.parametrize(("metric", "stage"), EVERY_KIND)
def test_what_is_held_is_what_is_searched(metric, stage):
    """A score is that of the vector that reconstruct gives."""
    index = refined(metric, stage)

    D, I, x_hat = index.search_and_reconstruct(queries(), 5)

    xq = door(queries(), metric).astype(float)[:, None]
    scores = np.square(xq - x_hat).sum(axis=2) if metric == "l2" else (xq * x_hat).sum(axis=2)
    np.testing.assert_allclose(D, scores, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(index.reconstruct_batch(I[:, 0]), x_hat[:, 0])
    np.testing.assert_array_equal(index.reconstruct_n(3, 4), index.reconstruct_batch([3, 4, 5, 6]))
    vectors = vectors_of(index)
    np.testing.assert_array_equal(index.reconstruct_n(), np.array([vectors[i] for i in range(N)]))
    if stage == "originals":
        np.testing.assert_array_equal(index.reconstruct_n(), door(rows(N), metric))
    with pytest.raises(UnknownIdError, match=str(N)):
        index.reconstruct(N)


@pytest.mark.parametrize("metric", METRICS)
def test_refined_rows_are_closer(metric):
    index = refined(metric, "residuals")
    x = door(rows(N), metric)

    first, both = (np.square(x - each.reconstruct_n()).sum() for each in (index.base_index, index))

    assert both < 0.2 * first


def test_every_byte_is_counted():
    residuals, originals = refined("l2", "residuals"), refined("l2", "originals")

    assert residuals.code_size == residuals.sa_code_size() == 6 + 12
    assert residuals.bits == 3.0
    assert residuals.refine.store.code_size == 12
    assert sum(part.nbytes for blocks in residuals.refine.store.whole() for part in blocks) == 12 * 32 * -(-N // 32)
    assert originals.code_size == originals.base_index.code_size == 6


@pytest.mark.parametrize("stage", STAGES)
def test_codes_stand_alone(stage):
    index = refined("cosine", stage)
    codes = index.sa_encode(rows(N))

    assert codes.shape == (N, index.code_size)
    again = refined("cosine", stage, 0)
    again.add_sa_codes(codes)
    assert_same(again.search(queries(), 9), index.search(queries(), 9))
    decoded = index.reconstruct_n() if stage == "residuals" else index.base_index.reconstruct_n()
    np.testing.assert_array_equal(index.sa_decode(codes), decoded)
    np.testing.assert_array_equal(index.sa_encode(rows(N), threads=1), codes)
    with pytest.raises(InputError, match="expected codes of shape"):
        again.add_sa_codes(codes[:, 1:])


@pytest.mark.parametrize(("metric", "stage"), EVERY_KIND)
def test_ids_of_ones_own(rng, metric, stage):
    ids = rng.permutation(3000)[:N]
    index = refined(metric, stage, ids=ids)

    assert_same(index.search(queries(), 10), expected(index, queries(), 10, 4))
    np.testing.assert_array_equal(index.reconstruct_batch(ids), index.reconstruct_n())


@pytest.mark.parametrize("stage", STAGES)
def test_removed_rows_are_gone_from_both_stages(stage):
    index = refined("ip", stage)

    assert index.remove_ids(np.arange(0, N, 3)) == 100
    assert index.remove_ids([0, 3]) == 0
    assert index.ntotal == len(index) == 200
    assert_same(index.search(queries(), 10), expected(index, queries(), 10, 4))
    kept = np.flatnonzero(np.arange(N) % 3)
    np.testing.assert_array_equal(index.reconstruct_batch(kept), refined("ip", stage).reconstruct_batch(kept))
    index.add(rows(N + 40)[N:])
    assert_same(index.search(queries(), 10), expected(index, queries(), 10, 4))
    assert index.remove_ids(np.ones(240, bool)) == 240
    assert index.ntotal == 0


@settings(max_examples=25)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=4), st.sampled_from(STAGES), st.integers(0, 2**32 - 1))
def test_any_history(sizes, stage, seed):
    """Rows come and go; what is left is the same as if it had been added at once."""
    rng = np.random.default_rng(seed)
    index, held = refined("l2", stage, 0), []
    fresh = rng.permutation(3000)
    for size in sizes:
        new, fresh = fresh[:size], fresh[size:]
        index.add_with_ids(rows(3000)[new], new)
        gone = rng.permutation([*held, *new.tolist()])[: rng.integers(size + 1)]
        assert index.remove_ids(gone.astype(np.int64)) == len(gone)
        held = [each for each in [*held, *new.tolist()] if each not in set(gone.tolist())]
    at_once = refined("l2", stage, ids=np.array(held, int))

    np.testing.assert_array_equal(index.rows.ids.all(), held)
    assert_same(index.search(queries(), 5), at_once.search(queries(), 5))
    if held:
        np.testing.assert_array_equal(index.reconstruct_n(), at_once.reconstruct_n())


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_added_where_an_id_is_wrong(stage):
    index = refined("cosine", stage)
    before = index.search(queries(), 5)

    for ids in ([400, 400], [400, 5], [-1, 400]):
        with pytest.raises(InputError, match="expected"):
            index.add_with_ids(rows(3000)[np.abs(ids)], ids)
    assert index.ntotal == N
    assert_same(index.search(queries(), 5), before)


def test_same_seed_same_bytes():
    one, other = (IndexRefineLPLR(IndexLPLR(D_SMALL, seed=3), refine_bits=1.5) for _ in range(2))
    for index in (one, other):
        index.train(rows(1000))

    assert one.refine.model.digest == other.refine.model.digest
    np.testing.assert_array_equal(one.sa_encode(rows(50)), other.sa_encode(rows(50)))


@pytest.mark.parametrize("kind", ["auto-1", "lplr-4", "nq-1", "lsvd-8"])
def test_any_method_can_come_first(kind):
    base = trained("l2", kind)
    index = IndexRefineLPLR(base, refine_bits=2)
    index.train(rows(1500))
    index.add(rows(N))

    assert_same(index.search(queries(), 5), expected(index, queries(), 5, 4))
    x = rows(N)
    assert np.square(x - index.reconstruct_n()).sum() < 0.3 * np.square(x - base.reconstruct_n()).sum()


# Originals and the rows they belong to


def test_originals_of_a_base_that_holds_rows(tmp_path):
    base = filled("ip", n=N)
    write_vectors(tmp_path / "x.fvecs", rows(N))

    for originals in (rows(N), tmp_path / "x.fvecs"):
        index = IndexRefineLPLR(base, originals=originals)
        assert_same(index.search(queries(), 5), expected(index, queries(), 5, 4))


def test_originals_in_half_precision_belong_to_rows_in_single():
    for bits in (0.5, 2, 8):
        base = IndexLPLR(D_SMALL, bits, "ip")
        base.train(rows(1500))
        base.add(rows(N))
        IndexRefineLPLR(base, originals=rows(N).astype(np.float16))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bits", [0.5, 1, 4])
@pytest.mark.parametrize("wrong", ["shifted", "reversed", "others", "scaled", "half missing"])
def test_originals_that_are_others(metric, bits, wrong):
    if metric == "l2" and bits == 0.5:
        pytest.skip("no room for the norm")
    if wrong == "scaled" and (metric == "cosine" or bits < 4):
        pytest.skip("the same under cosine, and coarse codes cannot tell")
    base = IndexLPLR(D_SMALL, bits, metric)
    base.train(rows(1500))
    base.add(rows(N))
    x = rows(N + 1)
    originals = {
        "shifted": x[1:],
        "reversed": x[:N][::-1],
        "others": rows(2 * N)[N:],
        "scaled": x[:N] * np.float32(1.5),
        "half missing": np.concatenate([x[: N // 2], x[N // 2 + 1 :]]),
    }[wrong]

    with pytest.raises(InputError, match=r"expected the row with id \d+ to be row \d+ of originals in an array"):
        IndexRefineLPLR(base, originals=originals)
    index = IndexRefineLPLR(trained_like(base), originals=originals)
    with pytest.raises(InputError, match="got another vector"):
        index.add(x[:N])
    assert index.ntotal == 0


def trained_like(base):
    """Return an empty index with the same training."""
    index = copy.copy(base)
    index.reset()
    return index


def test_ids_beyond_the_originals():
    with pytest.raises(InputError, match=f"expected ids from 0 to {N - 2}, row numbers of originals .*, got {N - 1}"):
        IndexRefineLPLR(filled(n=N), originals=rows(N - 1))
    index = IndexRefineLPLR(trained(), originals=rows(N))
    index.add(rows(N)[:200])
    for ids in ([N], [-3]):
        with pytest.raises(InputError, match=f"got {ids[0]}"):
            index.add_with_ids(rows(1), ids)
    with pytest.raises(InputError, match=f"got {N}"):
        index.add(rows(N + 1)[200:])
    assert index.ntotal == 200


def test_a_file_is_indexed_chunk_by_chunk(tmp_path):
    write_vectors(tmp_path / "x.npy", rows(1500))
    for second in ({"originals": tmp_path / "x.npy"}, {"refine_bits": 2}):
        index = IndexRefineLPLR(IndexLPLR(D_SMALL), **second)
        with open_vectors(tmp_path / "x.npy") as source:
            build_index(source, index)
        assert index.ntotal == 1500
        assert_same(index.search(queries(), 5), expected_of(index, rows(1500)))


def expected_of(index, x):
    """Return what an index gives after it was trained on and given x at once."""
    again = copy.copy(index)
    again.base_index, again.refine = copy.copy(index.base_index), copy.copy(index.refine)
    again.reset()
    again.add(x)
    return again.search(queries(), 5)


def test_a_file_that_vanishes_is_named(tmp_path):
    write_vectors(tmp_path / "x.fvecs", rows(N))
    index = IndexRefineLPLR(filled(n=N), originals=tmp_path / "x.fvecs")
    with (tmp_path / "x.fvecs").open("r+b") as stream:
        stream.truncate(1000)

    with pytest.raises(VectorFileError, match=r"x\.fvecs ends .* bytes too early"):
        index.search(queries(), 5)


# What is refused


def test_arguments():
    base = trained()

    for wrong in ({}, {"refine_bits": 2, "originals": rows(3)}):
        with pytest.raises(InputError, match="expected refine_bits or originals, got"):
            IndexRefineLPLR(base, **wrong)
    with pytest.raises(InputError, match="expected an IndexLPLR as base_index, got str"):
        IndexRefineLPLR("LPLR1.0", refine_bits=2)
    with pytest.raises(InputError, match="expected an IndexLPLR as base_index, got IndexRefineLPLR"):
        IndexRefineLPLR(refined(), refine_bits=2)
    with pytest.raises(InputError, match="expected residuals of all 200 rows of base_index, got 0"):
        IndexRefineLPLR(filled(n=200), refine_bits=2)
    with pytest.raises(InputError, match="expected 48 columns, as the base has, got 47 in originals"):
        IndexRefineLPLR(base, originals=rows(5)[:, 1:])
    with pytest.raises(VectorFileError, match="no such file"):
        IndexRefineLPLR(base, originals="missing.npy")


def test_rows_that_went_into_the_base_alone():
    index = refined()
    index.base_index.add(rows(1))

    for call in (
        lambda: index.search(queries(), 3),
        lambda: index.add(rows(1)),
        lambda: index.remove_ids([0]),
        lambda: index.reconstruct(0),
        lambda: index.range_search(queries(), 0.1),
    ):
        with pytest.raises(InputError, match=f"expected residuals of all {N + 1} rows of base_index, got {N}"):
            call()


@pytest.mark.parametrize("stage", STAGES)
def test_before_training(stage):
    second = {"refine_bits": 2} if stage == "residuals" else {"originals": rows(N)}
    index = IndexRefineLPLR(IndexLPLR(D_SMALL), **second)

    assert not index.is_trained
    for call in (
        lambda: index.search(queries(), 3),
        lambda: index.add(rows(1)),
        lambda: index.add_sa_codes(np.zeros((1, index.code_size), np.uint8)),
        lambda: index.reconstruct(0),
        lambda: index.sa_encode(rows(1)),
    ):
        with pytest.raises(NotTrainedError, match="expected a trained index"):
            call()


def test_a_trained_base_is_half_of_the_training():
    index = IndexRefineLPLR(trained(), refine_bits=2)

    assert not index.is_trained
    for call in (
        lambda: index.add(rows(1)),
        lambda: index.add_sa_codes(np.zeros((1, index.code_size), np.uint8)),
        lambda: index.sa_decode(np.zeros((1, index.code_size), np.uint8)),
    ):
        with pytest.raises(NotTrainedError, match="expected a trained index, got"):
            call()
    assert IndexRefineLPLR(trained(), originals=rows(N)).is_trained


def test_an_index_with_rows_is_not_trained_again():
    with pytest.raises(InputError, match=f"expected an empty index to train, got one that holds {N} rows"):
        refined().train(rows(1000))


def test_what_it_says_of_itself():
    assert repr(refined("ip", "residuals")) == (
        f"IndexRefineLPLR(IndexLPLR(d=48, bits=1, metric='ip', method='auto', ntotal={N}), "
        "residuals in 12 bytes, k_factor=4)"
    )
    assert repr(refined("ip", "originals")).endswith("originals in an array of 3000 rows, k_factor=4)")


def test_the_example_of_the_docs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs" / "search.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 1
    names = {}
    exec(compile(blocks[0], "docs/search.md", "exec"), names)

    assert names["I"].shape == (2000, 10)
    assert names["index"].code_size == 144
    assert isinstance(read_index("posts.lplr"), IndexRefineLPLR)
