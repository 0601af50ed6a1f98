"""The stages of a score: each beside a twin from the definition, of every method and metric."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import naive
from conftest import low_rank_vectors
from indexes import D_SMALL, EVERY_KIND, filled, in_lists, queries, rows, trained
from lplr_index import IndexLPLR
from lplr_index.arrays import as_rows
from lplr_index.errors import InputError, NotTrainedError
from lplr_index.evaluation import Breakdown, breakdown, measure
from lplr_index.evaluation.breakdown import SEARCH, break_down
from lplr_index.evaluation.task import Task
from lplr_index.projection import round_to_bytes

N, NQ = 300, 20
NAMES = ["rank", "L bits", SEARCH, "R int8", "query int8"]


def relative_error(scores, exact):
    """Return the mean square of errors (nq, n) about each query's mean, relative to that of exact scores."""
    errors, spread = (each - each.mean(axis=1, keepdims=True) for each in (scores - exact, exact))
    return (errors**2).mean() / (spread**2).mean()


def exact_scores(x, xq, metric):
    x = as_rows(x, D_SMALL, cosine=metric == "cosine")[0].astype(float)
    return naive.scores(x, (x**2).sum(axis=1) if metric == "l2" else None, xq, metric)


def returned(index, xq):
    """Return the scores (nq, n) of all rows, in their order, as ``search`` gives them."""
    D, I = index.search(xq, index.ntotal)
    return np.take_along_axis(D, np.argsort(I, axis=1), axis=1).astype(float)


@pytest.fixture(params=EVERY_KIND, ids="-".join)
def index(request):
    metric, kind = request.param
    return filled(metric, kind, N)


def test_errors_are_those_of_the_definition(index):
    x, xq = rows(N), queries(NQ)
    exact = exact_scores(x, xq, index.metric)

    found = break_down(index, x, xq)

    assert [stage.name for stage in found.stages] == NAMES
    assert (found.n, found.nq, found.k) == (N, NQ, 10)
    errors = {stage.name: stage.error for stage in found.stages}
    x_hat, norms = naive.reconstruct(index)
    assert errors["L bits"] == pytest.approx(relative_error(naive.scores(x_hat, norms, xq, index.metric), exact))
    assert found.error == errors[SEARCH] == pytest.approx(relative_error(returned(index, xq), exact))
    assert found.stages[2].change < 1e-9


def test_stages_add_up(index):
    found = break_down(index, rows(N), queries(NQ))

    before = 0.0
    for stage in found.stages:
        assert stage.error == pytest.approx(before + stage.change + stage.cross, rel=1e-9, abs=1e-15)
        assert stage.change >= 0
        assert 0 <= stage.recall <= 1
        before = stage.error
    assert found.stages[0].cross == 0


def test_integers_cost_what_an_index_with_rounded_factors_loses(index):
    """The index that has R and queries rounded to int8 in place of its own, with its rows as they are."""
    x, xq = rows(N), queries(NQ)
    exact = exact_scores(x, xq, index.metric)
    model = index.model
    asked = as_rows(xq, D_SMALL, cosine=index.metric == "cosine")[0]
    codes, steps = round_to_bytes(asked)
    other = index
    if model.R is not None:
        codes_R, steps_R = round_to_bytes(model.R)
        rounded = dataclasses.replace(model, R=codes_R * steps_R)
        other = IndexLPLR.restored(index.settings, rounded, index.rows)

    found = {stage.name: stage for stage in break_down(index, x, xq).stages}

    assert found["R int8"].error == pytest.approx(relative_error(returned(other, xq), exact), rel=1e-4)
    if model.R is None:
        assert found["R int8"].change < 1e-9
    x_hat, norms = naive.reconstruct(other)
    gains = np.ones(N)
    if model.gain.bits:
        gains = model.gain.decode(model.gain_codes(index.rows.codes(0, N)))
    # What R makes of a row meets the rounded query, and what mu makes of it meets the query itself.
    inner = (x_hat - gains[:, None] * model.mu) @ (codes * steps.astype(float)).T
    inner = inner.T + (asked @ model.mu.astype(float))[:, None] * gains
    scores = inner
    if index.metric == "l2":
        scores = np.maximum(0, np.square(asked.astype(float)).sum(axis=1, keepdims=True) + norms - 2 * inner)
    assert found["query int8"].error == pytest.approx(relative_error(scores, exact), rel=1e-4)


def test_recall_is_that_of_the_searches(index):
    task = Task.prepare(None, rows(N), queries(NQ), metric=index.metric)

    found = break_down(index, task.xb, task.xq)

    report = measure(index, task, name="", repeat=1)
    assert found.stages[2].recall == pytest.approx(report.recall_at_k, abs=1e-9)


def test_a_full_rank_loses_nothing_and_a_lower_one_what_lies_outside():
    x, xq = rows(N), queries(NQ)
    full = break_down(filled("ip", "nq-4", N), x, xq).stages[0]
    low = filled("ip", "dsvd-5", N)
    R = low.model.R.astype(float)
    coordinates = np.linalg.lstsq(R.T, x.T.astype(float), rcond=None)[0]
    exact = exact_scores(x, xq, "ip")

    found = break_down(low, x, xq).stages[0]

    assert (full.change, full.recall) == (0, 1)
    assert found.change == pytest.approx(relative_error(xq.astype(float) @ (R.T @ coordinates), exact))
    assert found.change > 0.01


def test_more_bits_leave_less():
    errors = [
        break_down(filled("cosine", kind, N), rows(N), queries(NQ)).error for kind in ("auto-1", "auto-2", "auto-5")
    ]

    assert errors[0] > 2 * errors[1] > 8 * errors[2]


def test_what_moves_all_rows_alike_is_no_error():
    """A far origin adds the same to every score of a query, under inner product."""
    index = filled("ip", "lplr-4", N)
    far = dataclasses.replace(index.model, mu=np.full(D_SMALL, 3, np.float32))
    shifted = IndexLPLR.restored(index.settings, far, index.rows)

    errors = [break_down(each, rows(N), queries(NQ)).error for each in (index, shifted)]

    assert errors[1] == pytest.approx(errors[0], rel=1e-4)
    assert not np.allclose(returned(index, queries(NQ)), returned(shifted, queries(NQ)), atol=1)


def test_more_rows_and_queries_than_are_looked_at_are_spread(monkeypatch):
    monkeypatch.setattr(breakdown, "MOST_ROWS", 100)
    monkeypatch.setattr(breakdown, "MOST_QUERIES", 7)
    index, chosen = filled("l2", "auto-2", N), np.arange(100) * (N - 1) // 99

    found = break_down(index, rows(N), queries(NQ))

    assert (found.n, found.nq) == (100, 7)
    assert found == break_down(index, rows(N)[chosen], queries(NQ), rows=chosen)
    asked = queries(NQ)[np.arange(7) * (NQ - 1) // 6]
    exact = exact_scores(rows(N)[chosen], asked, "l2")
    assert found.error == pytest.approx(relative_error(returned(index, asked)[:, chosen], exact))


def test_rows_are_counted_as_they_lie_whatever_their_ids_are():
    own = filled("cosine", "auto-2", N, ids=1000 - np.arange(N))

    assert break_down(own, rows(N), queries(NQ)) == break_down(filled("cosine", "auto-2", N), rows(N), queries(NQ))


def test_threads_and_names_change_nothing():
    index = filled("cosine", "auto-2", N)

    found = break_down(index, rows(N), queries(NQ), name="mine", requested_bits=2.0, threads=1)

    assert found == dataclasses.replace(
        break_down(index, rows(N), queries(NQ), threads=2), name="mine", requested_bits=2.0
    )
    assert Breakdown.of(dataclasses.asdict(found)) == found


def test_of_few_rows_all_are_neighbours():
    found = break_down(filled("l2", "auto-2", 4), rows(4), queries(3))

    assert (found.n, found.k) == (4, 4)
    assert all(stage.recall == 1 for stage in found.stages)


@pytest.mark.parametrize("kind", ["auto-1", "lplr-3", "nq-1"])
def test_other_vectors_are_refused(kind):
    index = filled("cosine", kind, N)

    for x in (rows(N)[::-1], np.roll(rows(N), 1, axis=0), low_rank_vectors(N, D_SMALL, seed=9)):
        with pytest.raises(InputError, match="expected the vectors that the index was made of, in the order"):
            break_down(index, x, queries(NQ))
    break_down(index, rows(N).astype(np.float16), queries(NQ))


@pytest.mark.parametrize(
    ("x", "more", "words"),
    [
        (rows(N - 1), {}, "expected the 300 vectors that the index was made of, got 299"),
        (np.float32(1), {}, r"expected x of shape \(n, 48\)"),
        (rows(N), {"k": 0}, "expected k"),
        (rows(2), {"rows": [3, 2]}, "expected ascending numbers of the 300 rows"),
        (rows(2), {"rows": [3, N]}, "expected ascending numbers of the 300 rows"),
        (rows(2), {"rows": [-1, 4]}, "expected ascending numbers of the 300 rows"),
        (rows(3), {"rows": [1, 2]}, "expected 3 rows, got 2"),
        (rows(1), {"rows": [1]}, "expected at least two rows to compare, got 1"),
        (np.tile(rows(1), (3, 1)), {"rows": [1, 2, 3]}, "rows that are all the same to them"),
    ],
)
def test_bad_arguments(x, more, words):
    with pytest.raises(InputError, match=words):
        break_down(filled("cosine", "auto-2", N), x, queries(NQ), **more)


def test_bad_indexes():
    with pytest.raises(InputError, match="expected at least two rows to compare, got 0"):
        break_down(trained(), rows(0), queries(NQ))
    with pytest.raises(InputError, match="expected an index without lists"):
        break_down(in_lists(n=N), rows(N), queries(NQ))
    with pytest.raises(NotTrainedError):
        break_down(IndexLPLR(D_SMALL), rows(0), queries(NQ))
