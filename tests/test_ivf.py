"""An index in lists is brute force over its own reconstruction of the rows in the lists that a query looks at."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from indexes import D_SMALL, check_results, filled, in_lists, queries, rows, training_rows
from lplr_index import IndexIVFLPLR, IndexRefineLPLR, index_factory
from lplr_index.auto import Recipe
from lplr_index.errors import InputError, NotTrainedError, UnknownIdError
from lplr_index.kernels import host_levels
from lplr_index.metric import METRICS

RECIPES = {  # every way scalars and centroid bytes lie in a row
    "plain": Recipe(stages=0, power=1.3),
    "stages": Recipe(stages=2),
    "wide-gain": Recipe(stages=1, gain_bits=8),
    "norm-byte": Recipe(stages=0, norm_bits=8),
    "no-gain": Recipe(stages=0, gain_bits=0),
}
METRIC_AND_RECIPE = [(metric, name) for metric in METRICS for name in RECIPES]


def check_lists(index, xq, k, results, nprobe, allowed=None):
    """Compare with brute force over the rows in the lists of each query."""
    lists = naive.lists_of(index)
    probed = naive.nearest_lists(index.model.coarse.centroids, xq, index.metric, nprobe)
    for q, mine in enumerate(probed):
        there = np.isin(lists, mine) & (True if allowed is None else allowed)
        check_results(index, xq[q : q + 1], k, tuple(each[q : q + 1] for each in results), there)


@pytest.mark.parametrize(("metric", "recipe"), METRIC_AND_RECIPE)
def test_brute_force(metric, recipe):
    index = in_lists(metric, 331, recipe=RECIPES[recipe], bits=3.0)

    for nprobe in (1, 3, 12):
        check_lists(index, queries(), 10, index.search(queries(), 10, nprobe=nprobe), nprobe)
    check_results(index, queries(), 40, index.search(queries(), 40, nprobe=99))


@pytest.mark.parametrize("level", host_levels())
@pytest.mark.parametrize("metric", METRICS)
def test_every_instruction_set_finds_the_same(metric, level, monkeypatch):
    index = in_lists(metric, 200)
    expected = index.search(queries(), 7)
    monkeypatch.setenv("LPLR_INDEX_SIMD", level)

    for one, other in zip(expected, index.search(queries(), 7), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("nprobe", [2, 12])
def test_neither_threads_nor_batches_nor_the_way_rows_came_change_anything(nprobe):
    index, other = in_lists(n=300), in_lists()
    for start in range(0, 300, 7):
        other.add(rows(300)[start : start + 7], threads=2)
        if start % 5 == 0:
            other.search(queries(1), 1)
    expected = index.search(queries(), 9, nprobe=nprobe)

    for each in (index, other):
        for threads in (1, 2, 3):
            np.testing.assert_array_equal(each.search(queries(), 9, nprobe=nprobe, threads=threads), expected)
        single = [each.search(queries()[q : q + 1], 9, nprobe=nprobe) for q in range(len(queries()))]
        np.testing.assert_array_equal(np.concatenate(single, axis=1), expected)
    np.testing.assert_array_equal(other.reconstruct_n(), index.reconstruct_n())


@pytest.mark.parametrize("metric", METRICS)
def test_equal_rows_come_lowest_id_first(metric):
    index = in_lists(metric)
    index.add_with_ids(np.repeat(rows(5), 20, axis=0), np.random.default_rng(3).permutation(100))

    check_results(index, queries(), 50, index.search(queries(), 50, nprobe=12))


@pytest.mark.parametrize("metric", METRICS)
def test_filters(metric):
    index = in_lists(metric, 200)
    mask = np.random.default_rng(1).random(200) < 0.2

    found = index.search(queries(), 8, filter=mask, nprobe=4)
    check_lists(index, queries(), 8, found, 4, mask)
    np.testing.assert_array_equal(index.search(queries(), 8, filter=np.flatnonzero(mask), nprobe=4), found)
    nothing = index.search(queries(), 3, filter=np.zeros(200, bool))
    assert (nothing[1] == -1).all()


@pytest.mark.parametrize("metric", METRICS)
def test_ranges(metric):
    index = in_lists(metric, 200)
    D, _ = index.search(queries(), 20, nprobe=12)
    radius = float(np.median(D))
    sign = -1 if metric == "l2" else 1
    every, ids = index.search(queries(), 200, nprobe=5)

    for mask in (None, np.arange(200) % 3 > 0):
        lims, D, I = index.range_search(queries(), radius, nprobe=5, filter=mask)
        assert lims[0] == 0
        for q in range(len(queries())):
            inside = (ids[q] >= 0) & (sign * every[q] > sign * radius)
            inside &= True if mask is None else mask[ids[q]]
            order = np.argsort(ids[q][inside])
            part = slice(lims[q], lims[q + 1])
            np.testing.assert_array_equal(I[part], ids[q][inside][order])
            np.testing.assert_array_equal(D[part], every[q][inside][order])


def test_ranges_tell_ids_in_the_order_of_rows():
    index = in_lists()
    index.add_with_ids(rows(60), np.arange(60)[::-1])

    lims, _, I = index.range_search(queries(2), -10.0, nprobe=12)

    assert I[: lims[1]].tolist() == list(range(60))[::-1]


def test_lists_that_cannot_improve_the_results_are_passed_over(monkeypatch):
    """Were they as near as their reach says, rows there would be found; they are not looked at, so they are not."""
    index = in_lists("l2", 300)
    expected = index.search(queries(), 1, nprobe=12)
    lists, probed = naive.lists_of(index), naive.nearest_lists(index.model.coarse.centroids, queries(), "l2", 12)

    np.testing.assert_array_equal(index.search(queries(), 1, nprobe=12), expected)
    index.rows.reach[:, 0] = 0  # a lie: rows lie on their centroids
    skipped = index.search(queries(), 1, nprobe=12)
    assert (skipped[1] != expected[1]).any()
    assert lists[skipped[1][:, 0]].tolist() != lists[expected[1][:, 0]].tolist()
    assert (probed[:, 0] == lists[skipped[1][:, 0]]).mean() > (probed[:, 0] == lists[expected[1][:, 0]]).mean()


@pytest.mark.parametrize("metric", METRICS)
def test_no_row_is_farther_than_its_list_reaches(metric):
    index = in_lists(metric, 150)
    index.add(rows(300)[150:])
    x_hat, norms = naive.reconstruct(index)
    lists = naive.lists_of(index)
    far = np.linalg.norm(x_hat - index.model.coarse.centroids[lists], axis=1)

    most = np.array([far[lists == number].max(initial=0) for number in range(index.nlist)])
    np.testing.assert_allclose(index.rows.reach[:, 0], most, rtol=1e-5)
    if norms is not None:
        least = np.array([norms[lists == number].min(initial=np.inf) for number in range(index.nlist)])
        np.testing.assert_allclose(index.rows.reach[:, 1] + index.model.norm.unit, least, rtol=1e-5)


def test_empty_lists_few_rows_and_no_rows():
    index = in_lists()

    D, I = index.search(queries(2), 3)
    assert (I == -1).all()
    assert np.isneginf(D).all() or (np.finfo(np.float32).min == D).all()
    assert index.range_search(queries(2), 0.0)[0].tolist() == [0, 0, 0]
    index.add(rows(2))
    _, I = index.search(queries(2), 5, nprobe=12)
    assert sorted(I[0].tolist()) == [-1, -1, -1, 0, 1]
    assert index.search(np.empty((0, D_SMALL)), 5)[0].shape == (0, 5)


def test_ids_stay_with_their_rows():
    index = in_lists(n=150)
    before = index.reconstruct_n()

    assert index.remove_ids(np.arange(0, 150, 3)) == 50
    kept = np.flatnonzero(np.arange(150) % 3)
    np.testing.assert_array_equal(index.reconstruct_batch(kept), before[kept])
    check_results(index, queries(), 120, index.search(queries(), 120, nprobe=12))
    index.add(rows(160)[150:])
    np.testing.assert_array_equal(index.reconstruct_batch(kept), before[kept])
    check_results(index, queries(), 30, index.search(queries(), 30, nprobe=12))
    assert set(index.search(queries(1), 200, nprobe=12)[1][0]) == {-1, *kept, *range(150, 160)}
    with pytest.raises(UnknownIdError, match="expected ids that the index holds, got 3"):
        index.reconstruct(3)
    assert index.remove_ids(index.rows.ids.all()) == 110
    index.add(rows(1))
    assert index.search(queries(1), 2)[1][0, 1] == -1


def test_codes_have_the_list_before_the_code():
    index, other = in_lists(n=40), in_lists()
    codes = index.sa_encode(rows(40))

    assert codes.shape == (40, index.sa_code_size()) == (40, 1 + index.code_size)
    assert codes[:, 0].tolist() == naive.lists_of(index).tolist()
    assert (
        codes[:, 0].tolist() == naive.nearest_lists(index.model.coarse.centroids, rows(40), "cosine", 1)[:, 0].tolist()
    )
    np.testing.assert_array_equal(index.sa_decode(codes), index.reconstruct_n())
    other.add_sa_codes(codes)
    np.testing.assert_array_equal(other.search(queries(), 5), index.search(queries(), 5))
    codes[3, 0] = 12
    for refuse in (index.sa_decode, index.add_sa_codes):
        with pytest.raises(InputError, match="expected codes of rows in 12 lists, got list 12"):
            refuse(codes)
    assert index.ntotal == 40


def test_merging():
    index, other = in_lists(n=30), in_lists()
    other.add(rows(50)[30:])
    whole = in_lists(n=50)

    index.merge_from(other)

    assert (index.ntotal, other.ntotal) == (50, 0)
    np.testing.assert_array_equal(index.search(queries(), 5), whole.search(queries(), 5))
    with pytest.raises(InputError, match="expected another IndexIVFLPLR to merge"):
        index.merge_from(filled(n=3))
    with pytest.raises(InputError, match="expected an index with the same training"):
        index.merge_from(in_lists(nlist=5))


def test_a_second_look_finds_more():
    x = rows(400)
    base = in_lists()
    index = IndexRefineLPLR(base, originals=x, k_factor=8)
    index.add(x)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    exact = np.argsort(-queries() @ unit.T, axis=1)[:, :10]

    def recall(found):
        return np.mean([np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)])

    base.nprobe = 12
    assert recall(index.search(queries(), 10)[1]) > max(0.99, recall(base.search(queries(), 10)[1]))
    np.testing.assert_allclose(index.reconstruct_n(0, 3), unit[:3], atol=1e-6)


def test_a_residual_code_after_lists():
    index = index_factory(D_SMALL, "IVF9,LPLR1.0,Refine(LPLR3.0)")
    pytest.importorskip("faiss")
    index.train(training_rows())
    index.add(rows(100))

    assert index.code_size == 6 + 18
    assert index.sa_code_size() == 1 + 6 + 18
    codes = index.sa_encode(rows(100))
    np.testing.assert_array_equal(index.sa_decode(codes), index.reconstruct_n())
    unit = rows(100) / np.linalg.norm(rows(100), axis=1, keepdims=True)
    first = np.square(index.base_index.reconstruct_n() - unit).sum()
    assert np.square(index.reconstruct_n() - unit).sum() < first / 2


def test_training_is_the_same_whatever_threads_there_are():
    pytest.importorskip("faiss")
    indexes = [IndexIVFLPLR(D_SMALL, 2.0, nlist=20, seed=3) for _ in range(2)]
    for index in indexes:
        index.train(training_rows())

    assert indexes[0].model.digest == indexes[1].model.digest
    other = IndexIVFLPLR(D_SMALL, 2.0, nlist=20, seed=4)
    other.train(training_rows())
    assert other.model.digest != indexes[0].model.digest


def test_faiss_parameters():
    faiss = pytest.importorskip("faiss")
    index = in_lists(n=100)
    selector = faiss.IDSelectorRange(10, 60)

    found = index.search(queries(), 4, params=faiss.SearchParametersIVF(nprobe=12, sel=selector))
    np.testing.assert_array_equal(found, index.search(queries(), 4, nprobe=12, filter=np.arange(10, 60)))
    with pytest.raises(InputError, match="expected nprobe or params that have one, got both"):
        index.search(queries(), 4, nprobe=2, params=faiss.SearchParametersIVF(nprobe=12))


def test_what_is_refused():
    index = IndexIVFLPLR(D_SMALL, nlist=30)
    with pytest.raises(NotTrainedError, match="expected a trained index"):
        index.search(queries(), 3)
    with pytest.raises(NotTrainedError, match="expected a trained index"):
        index.add(rows(3))
    with pytest.raises(InputError, match="expected at least 30 rows to train 30 lists on, got 29"):
        index.train(training_rows()[:29])
    with pytest.raises(InputError, match="expected no queries to train lists with"):
        index.train(training_rows(), queries())
    for wrong in (0, -1, 1.5, True, "4"):
        with pytest.raises(InputError, match="expected nprobe to be an integer >= 1"):
            index.nprobe = wrong
        with pytest.raises(InputError, match="expected nlist to be an integer from 1"):
            IndexIVFLPLR(D_SMALL, nlist=wrong)
    for search in (in_lists(n=3).search, in_lists(n=3).range_search):
        with pytest.raises(InputError, match="expected no margin for an index in lists, got 3"):
            search(queries(), 1, margin=3)
    assert repr(index) == "IndexIVFLPLR(d=48, bits=1, metric='cosine', nlist=30, nprobe=16, not trained)"
    assert repr(in_lists(n=3)).endswith("nlist=12, nprobe=3, ntotal=3)")
