"""faiss's quantizers: at the bytes asked for where that is possible, and named where it is not."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lplr_index.evaluation.contenders import EXACT, contenders
from lplr_index.evaluation.measure import measure
from lplr_index.evaluation.peers import faiss as module
from lplr_index.evaluation.task import Task

PRODUCT_QUANTIZERS = {"faiss PQ", "faiss OPQ+PQ", "faiss PQ fast scan"}
ADDITIVE_QUANTIZERS = {"faiss RQ", "faiss LSQ"}


def of_faiss(d, bits, **options):
    return contenders(d, bits, **{"nt": 1500, "methods": [], "peers": [module.PEER.name], **options})


def by_name(d, bits, **options):
    found, skipped = of_faiss(d, bits, **options)
    return {each.name: each for each in found}, skipped


@pytest.fixture(scope="module")
def faiss():
    return pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def newest_faiss(faiss):
    return faiss if hasattr(faiss, "IndexEDEN") else pytest.skip("this faiss has neither EDEN nor TurboQuant")


@pytest.mark.parametrize("d", [48, 50])  # of 50, few numbers of codes are divisors
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_what_has_a_byte_a_code_costs_what_was_asked_for(faiss, make_vectors, d, metric):
    x = make_vectors(700, d)
    task = Task.prepare(x[:300], x[300:600], x[600:], metric=metric)
    found, _ = of_faiss(d, [0.5, 1, 2, 4], metric=metric, nt=300, additive_codes=3)
    sized = [each for each in found if each.requested_bits]

    assert {each.family for each in sized} == PRODUCT_QUANTIZERS | ADDITIVE_QUANTIZERS
    assert len(sized) == 12 + 2  # additive ones of 3 codes
    for each in sized:
        report = measure(each.build(), task, name=each.name, repeat=1)
        assert report.bytes_per_vector == int(each.requested_bits * d / 8), each.name
        assert report.recall_at_k > 0.1


def test_the_others_come_once_at_their_own_size(newest_faiss, vectors):
    task = Task.prepare(*vectors, metric="cosine")
    found, _ = of_faiss(48, [0.5, 1, 2, 4])
    sizes = {
        each.name: measure(each.build(), task, name=each.name, repeat=1).bytes_per_vector
        for each in found
        if each.requested_bits is None
    }

    # The bits, and with RaBitQ 8 bytes of scalars a row, or 20 for more bits than one, with EDEN 8.
    assert sizes == {
        "faiss SQ4": 24,
        "faiss SQ8": 48,
        "faiss RaBitQ-1": 6 + 8,
        "faiss RaBitQ-2": 12 + 20,
        "faiss RaBitQ-3": 18 + 20,
        "faiss RaBitQ-4": 24 + 20,
        "faiss SQtqmse1": 6,
        "faiss SQtqmse2": 12,
        "faiss SQtqmse3": 18,
        "faiss SQtqmse4": 24,
        "faiss EDEN1": 6 + 8,
        "faiss EDEN2": 12 + 8,
        "faiss EDEN3": 18 + 8,
        "faiss EDEN4": 24 + 8,
        "faiss Flat": 192,
    }
    assert [each.family for each in found].count(EXACT) == 1


def test_rabitq_gives_the_same_rows_back_whatever_its_bits_as_its_notes_say(faiss, vectors):
    found, _ = by_name(48, [])

    def given_back(nbits):
        index = found[f"faiss RaBitQ-{nbits}"].build()
        index.train(vectors.xt)
        index.add(vectors.xb)
        return index.reconstruct_n(0, 100)

    np.testing.assert_allclose(given_back(4), given_back(1), rtol=1e-5, atol=1e-6)
    assert "rows back" in found["faiss RaBitQ-4"].notes
    assert "rows back" not in found["faiss RaBitQ-1"].notes


def test_turboquant_is_for_rows_of_unit_length(newest_faiss):
    found, skipped = by_name(48, [], metric="l2")

    assert not [name for name in found if "tqmse" in name]
    assert [each.reason for each in skipped if "tqmse" in each.name] == [
        "expected metric cosine, for it keeps no lengths, got l2"
    ]


def test_the_scale_that_eden_keeps_finds_more_than_turboquant(newest_faiss, vectors):
    found, _ = by_name(48, [])
    task = Task.prepare(*vectors, metric="cosine")
    recall = {
        name: measure(found[name].build(), task, name=name, repeat=1).recall_at_k
        for name in ("faiss SQtqmse2", "faiss EDEN2")
    }

    assert recall["faiss EDEN2"] > recall["faiss SQtqmse2"] > 0.3


def test_an_older_faiss_is_named_and_the_rest_competes(faiss, monkeypatch):
    monkeypatch.delattr(faiss, "IndexEDEN", raising=False)
    found, skipped = by_name(48, [])

    assert {"faiss SQtqmse", "faiss EDEN"} <= {each.name for each in skipped}
    assert "faiss RaBitQ-1" in found
    assert not [name for name in found if "EDEN" in name]


def test_additive_quantizers_are_left_out_unless_asked_for(faiss):
    without, skipped = by_name(48, [1])
    found, others = by_name(48, [1, 2], additive_codes=6)

    assert [each.name for each in skipped] == ["faiss RQ and LSQ"]
    assert not ADDITIVE_QUANTIZERS & {each.family for each in without.values()}
    assert {"faiss RQ6x8", "faiss LSQ6x8"} <= set(found)
    assert [(each.name, each.reason) for each in others] == [
        (name, "expected 1 to 6 codes a row, got 12") for name in ("faiss RQ12x8", "faiss LSQ12x8")
    ]
    assert "5 training iterations (faiss: 25)" in found["faiss LSQ6x8"].notes


def test_an_additive_quantizer_finds_more_than_a_product_quantizer_of_its_size(faiss, vectors):
    found, _ = by_name(48, [0.5], additive_codes=3)
    task = Task.prepare(*vectors, metric="cosine")
    recall = {
        name: measure(found[name].build(), task, name=name, repeat=1).recall_at_k
        for name in ("faiss RQ3x8", "faiss PQ3")
    }

    assert recall["faiss RQ3x8"] > recall["faiss PQ3"]


def test_training_is_quiet_and_says_what_it_left_out(faiss, vectors, capfd):
    quick, _ = by_name(48, [1])
    for name in ("faiss PQ6", "faiss OPQ6+PQ6", "faiss PQ12x4fs"):
        quick[name].build().train(vectors.xt)
        assert "k-means iterations (faiss: 25)" in quick[name].notes
    out, err = capfd.readouterr()

    assert "rotation rounds (faiss: 50)" in quick["faiss OPQ6+PQ6"].notes
    assert (out, err) == ("", "")


def test_thorough_training_is_faiss_own(faiss):
    thorough, _ = by_name(48, [1], thorough=True, additive_codes=6)
    quick, _ = by_name(48, [1])
    plain = faiss.IndexPQ(48, 6, 8)
    opq = thorough["faiss OPQ6+PQ6"].build()
    rotation = faiss.downcast_VectorTransform(opq.chain.at(0))
    own = faiss.OPQMatrix(48, 6)

    assert thorough["faiss PQ6"].build().pq.cp.niter == plain.pq.cp.niter > quick["faiss PQ6"].build().pq.cp.niter
    assert [(rotation.niter, rotation.niter_pq, rotation.niter_pq_0)] == [(own.niter, own.niter_pq, own.niter_pq_0)]
    lsq, own_lsq = thorough["faiss LSQ6x8"].build().lsq, faiss.LocalSearchQuantizer()
    assert (lsq.train_iters, lsq.train_ils_iters) == (own_lsq.train_iters, own_lsq.train_ils_iters)
    assert {thorough[name].notes for name in ("faiss PQ6", "faiss OPQ6+PQ6", "faiss LSQ6x8")} == {""}


def test_what_training_points_to_lives_as_long_as_the_index(faiss):
    index = by_name(48, [1])[0]["faiss OPQ6+PQ6"].build()
    rotation = next(each for each in index.referenced_objects if isinstance(each, faiss.OPQMatrix))

    assert any(isinstance(each, faiss.ProductQuantizer) for each in rotation.referenced_objects)


def test_what_is_random_follows_the_seed(faiss, vectors):
    def built(name, seed):
        index = by_name(48, [0.5, 1], seed=seed, additive_codes=3)[0][name].build()
        index.train(vectors.xt[:300])
        index.add(vectors.xb[:300])
        return faiss.serialize_index(index).tobytes()

    for name in (
        "faiss PQ6",
        "faiss OPQ6+PQ6",
        "faiss PQ12x4fs",
        "faiss RaBitQ-1",
        "faiss RQ3x8",
        "faiss LSQ3x8",
    ):
        once = built(name, 0)
        assert built(name, 0) == once, name
        assert built(name, 1) != once, name


@pytest.mark.parametrize(
    ("bits", "nt", "missing", "reason"),
    [
        (
            1.0,
            255,
            {"faiss PQ6", "faiss OPQ6+PQ6", "faiss RQ6x8", "faiss LSQ6x8"},
            "at least 256 training rows, one for each centroid, got 255",
        ),
        (1.0, 15, {"faiss PQ6", "faiss OPQ6+PQ6", "faiss PQ12x4fs", "faiss RQ6x8", "faiss LSQ6x8"}, "training rows"),
        (5.0, 1500, {"faiss PQ60x4fs"}, "expected 1 to 48 codes a row"),
        (
            0.1,
            1500,
            {"faiss PQ0", "faiss OPQ0+PQ0", "faiss PQ0x4fs", "faiss RQ0x8", "faiss LSQ0x8"},
            "expected 1 to 48 codes a row.* got 0",
        ),
    ],
)
def test_a_quantizer_that_cannot_be_is_named(faiss, bits, nt, missing, reason):
    found, skipped = by_name(48, [bits], nt=nt, additive_codes=48)

    assert {each.name for each in skipped} == missing
    assert not missing & set(found)
    assert any(re.search(reason, each.reason) for each in skipped)


@pytest.mark.parametrize(("d", "name", "columns"), [(384, "faiss OPQ24+PQ24", 384), (380, "faiss OPQ23+PQ23", 391)])
def test_a_rotation_is_learned_from_a_row_for_each_column(faiss, d, name, columns):
    """With fewer, faiss writes past its memory and takes the process with it."""
    found, skipped = by_name(d, [0.5], nt=columns - 1)
    reason = f"expected at least {columns} training rows, one for each column, got {columns - 1}"
    assert [each.reason for each in skipped if each.name == name] == [reason]
    assert name not in found

    index = by_name(d, [0.5], nt=columns)[0][name].build()
    index.train(np.random.default_rng(0).standard_normal((columns, d)).astype(np.float32))

    assert index.is_trained
