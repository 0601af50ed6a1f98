"""Who competes: at the bytes asked for where that is possible, and named where it is not."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from lplr_index.errors import InputError
from lplr_index.evaluation.contenders import EXACT, OURS, contenders
from lplr_index.evaluation.measure import measure
from lplr_index.evaluation.task import Task
from lplr_index.index import IndexLPLR
from lplr_index.settings import METHODS

PRODUCT_QUANTIZERS = {"faiss PQ", "faiss OPQ+PQ", "faiss PQ fast scan"}


def by_name(d, bits, **options):
    found, skipped = contenders(d, bits, **{"nt": 1500, **options})
    return {each.name: each for each in found}, skipped


def test_ours_come_with_every_method_at_every_budget():
    found, skipped = contenders(48, [1, 2], nt=1500)
    ours = [each for each in found if each.name.startswith(OURS)]

    assert [(each.name, each.requested_bits) for each in ours] == [(f"LPLR {m}", b) for m in METHODS for b in (1, 2)]
    assert found[: len(ours)] == ours
    assert not [each for each in skipped if each.name.startswith(OURS)]
    for each in ours:
        index = each.build()
        assert isinstance(index, IndexLPLR)
        assert (index.d, index.ntotal, index.is_trained) == (48, 0, False)
        assert index.method == each.name.removeprefix(OURS)
        assert each.build() is not index


def test_a_budget_too_small_for_a_method_is_named():
    _, skipped = contenders(48, [0.5], nt=1500)

    assert [(each.name, each.requested_bits) for each in skipped] == [("LPLR nq", 0.5)]
    assert "at least 1 bit" in skipped[0].reason


def test_a_missing_faiss_is_named_and_ours_still_compete(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    found, skipped = contenders(48, [1.0], nt=1500)

    assert [each.name for each in found] == [f"{OURS}{method}" for method in METHODS]
    assert len(skipped) == 1
    assert all(word in skipped[0].name for word in ("PQ", "OPQ", "fast scan", "SQ", "RaBitQ"))
    assert 'pip install "lplr_index[eval]"' in skipped[0].reason


def test_ours_may_compete_alone():
    found, skipped = contenders(48, [1.0], nt=1500, peers=False)

    assert [each.name for each in found] == [f"{OURS}{method}" for method in METHODS]
    assert skipped == []


def test_a_method_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"expected methods among auto, .* got 'svd'"):
        contenders(48, [1.0], nt=100, methods=["svd"])


# faiss's


@pytest.fixture(scope="module")
def faiss():
    return pytest.importorskip("faiss")


@pytest.mark.parametrize("d", [48, 50])  # of 50, few numbers of codes are divisors
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_product_quantizers_cost_what_was_asked_for(faiss, make_vectors, d, metric):
    x = make_vectors(700, d)
    task = Task.prepare(x[:300], x[300:600], x[600:], metric=metric)
    found, _ = contenders(d, [0.5, 1, 2, 4], metric=metric, nt=300, methods=[])
    sized = [each for each in found if each.requested_bits]

    assert {each.family for each in sized} == PRODUCT_QUANTIZERS
    assert len(sized) == 12
    for each in sized:
        report = measure(each.build(), task, name=each.name, repeat=1)
        assert report.bytes_per_vector == int(each.requested_bits * d / 8), each.name
        assert report.recall_at_k > 0.1


def test_the_others_come_once_at_their_own_size(faiss, vectors):
    task = Task.prepare(*vectors, metric="cosine")
    found, _ = contenders(48, [0.5, 1, 2, 4], nt=1500, methods=[])
    sizes = {
        each.name: measure(each.build(), task, name=each.name, repeat=1).bytes_per_vector
        for each in found
        if each.requested_bits is None
    }

    # RaBitQ: the bits, and 8 bytes of scalars a row with one bit, 20 with more.
    assert sizes == {
        "faiss SQ4": 24,
        "faiss SQ8": 48,
        "faiss RaBitQ-1": 6 + 8,
        "faiss RaBitQ-2": 12 + 20,
        "faiss RaBitQ-3": 18 + 20,
        "faiss RaBitQ-4": 24 + 20,
        "faiss Flat": 192,
    }
    assert [each.family for each in found].count(EXACT) == 1


def test_rabitq_gives_the_same_rows_back_whatever_its_bits_as_its_notes_say(faiss, vectors):
    found, _ = by_name(48, [], methods=[])

    def given_back(nbits):
        index = found[f"faiss RaBitQ-{nbits}"].build()
        index.train(vectors.xt)
        index.add(vectors.xb)
        return index.reconstruct_n(0, 100)

    np.testing.assert_allclose(given_back(4), given_back(1), rtol=1e-5, atol=1e-6)
    assert "rows back" in found["faiss RaBitQ-4"].notes
    assert "rows back" not in found["faiss RaBitQ-1"].notes


def test_training_is_quiet_and_says_what_it_left_out(faiss, vectors, capfd):
    quick, _ = by_name(48, [1])
    for name in ("faiss PQ6", "faiss OPQ6+PQ6", "faiss PQ12x4fs"):
        quick[name].build().train(vectors.xt)
        assert "k-means iterations (faiss: 25)" in quick[name].notes
    out, err = capfd.readouterr()

    assert "rotation rounds (faiss: 50)" in quick["faiss OPQ6+PQ6"].notes
    assert (out, err) == ("", "")


def test_thorough_training_is_faiss_own(faiss):
    thorough, _ = by_name(48, [1], thorough=True)
    quick, _ = by_name(48, [1])
    plain = faiss.IndexPQ(48, 6, 8)
    opq = thorough["faiss OPQ6+PQ6"].build()
    rotation = faiss.downcast_VectorTransform(opq.chain.at(0))
    own = faiss.OPQMatrix(48, 6)

    assert thorough["faiss PQ6"].build().pq.cp.niter == plain.pq.cp.niter > quick["faiss PQ6"].build().pq.cp.niter
    assert [(rotation.niter, rotation.niter_pq, rotation.niter_pq_0)] == [(own.niter, own.niter_pq, own.niter_pq_0)]
    assert thorough["faiss PQ6"].notes == thorough["faiss OPQ6+PQ6"].notes == ""


def test_what_training_points_to_lives_as_long_as_the_index(faiss):
    index = by_name(48, [1])[0]["faiss OPQ6+PQ6"].build()
    rotation = next(each for each in index.referenced_objects if isinstance(each, faiss.OPQMatrix))

    assert any(isinstance(each, faiss.ProductQuantizer) for each in rotation.referenced_objects)


def test_what_is_random_follows_the_seed(faiss, vectors):
    def built(name, seed):
        index = by_name(48, [1], seed=seed)[0][name].build()
        index.train(vectors.xt)
        index.add(vectors.xb)
        return faiss.serialize_index(index).tobytes()

    for name in ("faiss PQ6", "faiss OPQ6+PQ6", "faiss PQ12x4fs", "faiss RaBitQ-1"):
        assert built(name, 0) == built(name, 0), name
        assert built(name, 0) != built(name, 1), name


@pytest.mark.parametrize(
    ("bits", "nt", "missing", "reason"),
    [
        (1.0, 255, {"faiss PQ6", "faiss OPQ6+PQ6"}, "at least 256 training rows, one for each centroid, got 255"),
        (1.0, 15, {"faiss PQ6", "faiss OPQ6+PQ6", "faiss PQ12x4fs"}, "training rows"),
        (5.0, 1500, {"faiss PQ60x4fs"}, "expected 1 to 48 codes a row"),
        (0.1, 1500, {"faiss PQ0", "faiss OPQ0+PQ0", "faiss PQ0x4fs"}, "expected 1 to 48 codes a row.* got 0"),
    ],
)
def test_a_quantizer_that_cannot_be_is_named(faiss, bits, nt, missing, reason):
    found, skipped = by_name(48, [bits], nt=nt, methods=[])

    assert {each.name for each in skipped} == missing
    assert not missing & set(found)
    assert any(re.search(reason, each.reason) for each in skipped)
