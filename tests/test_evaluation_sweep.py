"""The whole comparison on a small collection, ours beside faiss's or alone."""

from __future__ import annotations

import dataclasses
import sys
import types

import numpy as np
import pytest

from lplr_index import evaluation, training
from lplr_index.arrays import unit_rows
from lplr_index.errors import InputError
from lplr_index.evaluation.machine import describe_machine
from lplr_index.evaluation.offers import Contender, Skip
from lplr_index.evaluation.peers import PEERS, Peer
from lplr_index.evaluation.spectrum import spectrum
from lplr_index.evaluation.sweep import split_rows, sweep
from lplr_index.settings import METHODS

D_SWEEP = 32


@pytest.fixture(scope="module")
def collection(make_vectors):
    """Rows and queries with labels."""
    x = make_vectors(660, D_SWEEP)
    labels = x[:, :4].argmax(axis=1)
    return {"x": x[:600], "xq": x[600:], "labels": labels[:600], "query_labels": labels[600:]}


def quality(result):
    """Return all that was measured but times."""
    times = {"train_s": None, "add_s": None, "search_s": 0.0}
    return [dataclasses.replace(report, **times) for report in result.reports]


# The split


@pytest.mark.parametrize("n", [2, 3, 100, 101])
def test_halves_are_disjoint_and_cover_all_rows(n):
    split = split_rows(n, seed=3)

    assert sorted([*split.train, *split.base]) == list(range(n))
    assert len(split.base) - len(split.train) in (0, 1)
    assert len(split.queries) == 0


@pytest.mark.parametrize(("n", "held"), [(3, 1), (99, 9), (20000, 1000)])
def test_queries_may_be_held_out(n, held):
    split = split_rows(n, hold_out=True)

    assert sorted([*split.train, *split.base, *split.queries]) == list(range(n))
    assert len(split.queries) == held


def test_all_rows_may_be_trained_on():
    split = split_rows(50, disjoint=False, hold_out=True)

    assert split.train.tolist() == split.base.tolist()
    assert sorted([*split.base, *split.queries]) == list(range(50))


def test_the_split_follows_the_seed():
    assert split_rows(100, seed=1).train.tolist() == split_rows(100, seed=1).train.tolist()
    assert split_rows(100, seed=1).train.tolist() != split_rows(100, seed=2).train.tolist()


@pytest.mark.parametrize(("n", "options"), [(1, {}), (2, {"hold_out": True}), (0, {"disjoint": False})])
def test_too_few_rows_are_refused(n, options):
    with pytest.raises(InputError, match="rows to split"):
        split_rows(n, **options)


# The sweep


def test_everyone_competes_on_the_same_rows(collection):
    pytest.importorskip("faiss")
    calls = []
    told = {"data": "sines", "progress": lambda *call: calls.append(call)}
    result = sweep(**collection, bits=[1, 2], peers=["faiss"], repeat=1, **told)
    families = {report.family for report in result.reports} - {"faiss TurboQuant", "faiss EDEN"}  # not in every faiss
    exact = next(report for report in result.reports if report.name == "faiss Flat")

    assert families == {
        *(f"LPLR {method}" for method in METHODS),
        *("faiss PQ", "faiss OPQ+PQ", "faiss PQ fast scan", "faiss SQ", "faiss RaBitQ", "exact float32"),
    }
    assert {skip.name for skip in result.skipped} - {"faiss SQtqmse", "faiss EDEN"} == {"faiss RQ and LSQ"}
    assert exact.recall_at_k == 1.0
    for report in result.reports:
        assert (report.n, report.nt, report.nq, report.d) == (300, 300, 60, D_SWEEP)
        assert report.exact_accuracy == exact.accuracy
        assert 0 < report.recall_at_k <= 1
        assert report.requested_bits in (1, 2, None)
    assert [call[:2] for call in calls] == [(i, len(result.reports)) for i in range(len(result.reports) + 1)]
    assert [call[2] for call in calls] == [*(report.name for report in result.reports), ""]
    c = result.conditions
    assert (c.data, c.n, c.nt, c.nq, c.d, c.k, c.metric) == ("sines", 300, 300, 60, D_SWEEP, 10, "cosine")
    assert (c.seed, c.disjoint, c.threads, c.repeat) == (0, True, 1, 1)
    assert c.machine == describe_machine()
    assert result.spectrum == spectrum(unit_rows(collection["x"][split_rows(600).train])[0])


def test_errors_of_ours_are_taken_apart_where_asked(collection):
    options = {"bits": [0.5, 2], "methods": ["auto", "nq"], "peers": False, "repeat": 1}
    plain, result = sweep(**collection, **options), sweep(**collection, breakdown=True, **options)

    assert plain.breakdowns == ()
    assert quality(plain) == quality(result)
    assert plain.skipped == result.skipped != ()
    assert [each.name for each in result.breakdowns] == ["LPLR auto", "LPLR auto", "LPLR nq"]
    for each, report in zip(result.breakdowns, result.reports, strict=True):
        assert (each.requested_bits, each.n, each.nq, each.k) == (report.requested_bits, 300, 60, 10)
        assert next(stage.recall for stage in each.stages if stage.name == "search") == pytest.approx(
            report.recall_at_k
        )


def test_without_faiss_ours_are_shown_and_faiss_is_named(collection, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    result = sweep(**collection, bits=[2], methods=["auto"], peers=["faiss"], repeat=1)

    assert [report.name for report in result.reports] == ["LPLR auto"]
    assert ["faiss" in skip.name for skip in result.skipped] == [True]


def add_a_peer_that_raises(monkeypatch, error, name="stubborn"):
    """Put a peer among the known ones whose index raises this error when it is trained."""

    def train(_x):
        raise error

    index = types.SimpleNamespace(d=D_SWEEP, metric_type=0, ntotal=0, is_trained=False, train=train)

    def offers(_wanted):
        yield Contender(name, name, "", None, lambda: index)

    monkeypatch.setitem(PEERS, "stubborn", Peer("stubborn", "pytest", "json", "pytest", name, offers))


@pytest.mark.parametrize("error", [ValueError("not this"), RuntimeError("not this"), InputError("not this")])
def test_a_peer_that_will_not_have_the_rows_is_named(collection, monkeypatch, error):
    add_a_peer_that_raises(monkeypatch, error)
    result = sweep(**collection, bits=[2], methods=["auto"], peers=["stubborn"], repeat=1)

    assert [report.name for report in result.reports] == ["LPLR auto"]
    assert result.skipped == (Skip("stubborn", None, "not this"),)
    assert "pytest" in result.conditions.machine


def test_an_error_of_ours_is_not_taken_for_a_refusal(collection, monkeypatch):
    add_a_peer_that_raises(monkeypatch, ValueError("a mistake"), name="LPLR stubborn")

    with pytest.raises(ValueError, match="a mistake"):
        sweep(**collection, bits=[2], methods=[], peers=["stubborn"], repeat=1)


def test_same_seed_same_result(collection):
    def run(seed):
        return quality(sweep(**collection, bits=[1], methods=["auto", "lplr"], repeat=1, seed=seed))

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_queries_are_held_out_of_the_rows_where_none_are_given(collection):
    result = sweep(collection["x"], labels=collection["labels"], bits=[2], methods=["auto"], repeat=1, k=5)

    assert (result.conditions.n, result.conditions.nt, result.conditions.nq) == (270, 270, 60)
    assert result.conditions.k == 5
    assert result.reports[0].accuracy is not None


def test_training_on_what_is_indexed_is_an_option_that_is_said(collection):
    result = sweep(**collection, bits=[2], methods=["auto"], repeat=1, disjoint=False)

    assert not result.conditions.disjoint
    assert (result.conditions.n, result.conditions.nt) == (600, 600)


def test_who_fails_on_the_data_is_named_and_the_others_go_on(collection, monkeypatch):
    def refuse(*args, **kwargs):
        raise InputError("expected other data")

    monkeypatch.setattr(training, "train_published", refuse)
    result = sweep(**collection, bits=[2], methods=["lplr", "auto"], repeat=1)

    assert ("LPLR lplr", 2, "expected other data") in [dataclasses.astuple(skip) for skip in result.skipped]
    assert "LPLR auto" in [report.name for report in result.reports]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros(600)}, "expected x of shape"),
        ({"labels": np.zeros(5)}, "expected 600 labels"),
        ({"query_labels": None}, "expected labels of both"),
        ({"methods": ["best"]}, "expected methods among"),
        ({"threads": -1}, "expected threads"),
        ({"metric": "angle"}, "expected metric"),
    ],
)
def test_bad_input_is_named(collection, changes, message):
    with pytest.raises(InputError, match=message):
        sweep(**{**collection, **changes})


def test_what_a_sweep_gives_can_be_kept_and_shown(collection, tmp_path):
    result = evaluation.sweep(**collection, bits=[2], methods=["auto"], peers=False, repeat=1)
    evaluation.write_json(result, tmp_path / "sweep.json")

    assert evaluation.read_json(tmp_path / "sweep.json") == result
    assert "LPLR auto" in evaluation.render(result)
    assert "faiss" not in [skip.name for skip in result.skipped]


def test_every_public_name_is_there():
    assert all(hasattr(evaluation, name) for name in evaluation.__all__)


# The machine


def test_the_machine_is_described():
    machine = describe_machine()

    assert machine["numpy"] == np.__version__
    assert machine["python"] == ".".join(map(str, sys.version_info[:3]))
    assert int(machine["cpus"]) >= 1
    assert {"processor", "system", "lplr_index", "numba"} <= set(machine)
    assert all(machine.values())
