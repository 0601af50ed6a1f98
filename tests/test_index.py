"""index.py: faiss's contract, beside faiss itself, and what this index promises beyond it."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from conftest import low_rank_vectors
from indexes import EVERY_KIND, KINDS, ONE_OF_EACH_METHOD, check_results, filled, queries, rows, trained
from lplr_index import IndexLPLR, factorize, serialize_index
from lplr_index.arrays import unit_rows
from lplr_index.errors import InputError, LPLRError, NotTrainedError, UnknownIdError, ZeroVectorWarning
from lplr_index.metric import METRICS
from lplr_index.settings import METHODS

FLOAT_MAX = np.finfo(np.float32).max


@pytest.fixture(params=METRICS)
def pair(request):
    """Give one of ours and one of faiss's, of the same metric, with the same rows under the same ids."""
    faiss = pytest.importorskip("faiss")
    metric, ids = request.param, np.arange(1000, 1200)
    ours, theirs = filled(metric, n=200, ids=ids), faiss.IndexIDMap2(faiss.IndexFlat(48, int(metric == "l2")))
    theirs.add_with_ids(unit(rows(200)) if metric == "cosine" else rows(200), ids)
    return ours, theirs


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def kinds_of(results):
    return [(each.shape, each.dtype) for each in results]


# Beside faiss


def test_attributes_are_those_of_faiss(pair):
    for index in pair:
        assert (index.d, index.ntotal, index.is_trained) == (48, 200, True)
    assert pair[0].metric_type == pair[1].metric_type


@pytest.mark.parametrize("nq", [0, 1, 5])
@pytest.mark.parametrize("k", [1, 3, 200, 250])
def test_search_returns_what_faiss_returns(pair, nq, k):
    (D, I), (their_D, their_I) = (index.search(queries()[:nq], k) for index in pair)

    assert kinds_of((D, I)) == kinds_of((their_D, their_I))
    np.testing.assert_array_equal(I[:, 200:], their_I[:, 200:])
    np.testing.assert_array_equal(D[:, 200:], their_D[:, 200:])
    worst = FLOAT_MAX if pair[0].metric == "l2" else -FLOAT_MAX
    assert (I[:, 200:] == -1).all()
    assert (D[:, 200:] == worst).all()
    assert ((D[:, 1:] >= D[:, :-1]) if pair[0].metric == "l2" else (D[:, 1:] <= D[:, :-1])).all()


def test_an_empty_index_gives_padding_as_faiss_does(pair):
    for index in pair:
        index.reset()

    ours, theirs = (index.search(queries(), 4) for index in pair)

    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_range_search_returns_what_faiss_returns(pair):
    """lims is int64 here and uint64 there, where a difference of two wraps."""
    at = [float(np.sort(index.search(queries(1), 200)[0][0])[50]) for index in pair]
    below, above = ([np.nextafter(np.float32(radius), np.float32(side)) for radius in at] for side in (-np.inf, np.inf))

    for radii in (at, below, above):
        ours, theirs = (
            index.range_search(queries(1), float(radius)) for index, radius in zip(pair, radii, strict=True)
        )
        assert kinds_of(ours)[1:] == kinds_of(theirs)[1:]
        assert ours[0].tolist() == theirs[0].tolist()
    none = [index.range_search(queries(3), -1.0 if pair[0].metric == "l2" else 1e9) for index in pair]
    assert [each.tolist() for each in none[0]] == [each.tolist() for each in none[1]] == [[0] * 4, [], []]


def test_remove_ids_as_faiss_does(pair):
    faiss = pytest.importorskip("faiss")
    for sel in (np.array([1003, 1199, 5, 1003]), faiss.IDSelectorRange(1050, 1060), np.empty(0, np.int64)):
        counts = [index.remove_ids(sel) for index in pair]
        assert counts[0] == counts[1]
        assert pair[0].ntotal == pair[1].ntotal
    found = [np.sort(index.search(queries(2), 188)[1]) for index in pair]
    np.testing.assert_array_equal(*found)
    for index in pair:
        index.add_with_ids(unit(rows(3)), np.array([1003, 7, 2**40]))
        assert index.ntotal == 191
        assert set(index.search(queries(1), 191)[1][0]) >= {1003, 7, 2**40}


def test_rows_back_as_faiss_gives_them(pair):
    ours, theirs = pair
    ids = np.array([1199, 1000, 1000])

    assert kinds_of([ours.reconstruct(1003)]) == kinds_of([theirs.reconstruct(1003)])
    assert kinds_of([ours.reconstruct_batch(ids)]) == kinds_of([theirs.reconstruct_batch(ids)])
    flat = theirs.index
    assert kinds_of([ours.reconstruct_n(5, 7)]) == kinds_of([flat.reconstruct_n(5, 7)])
    assert kinds_of([ours.reconstruct_n()]) == kinds_of([flat.reconstruct_n()])
    assert kinds_of(ours.search_and_reconstruct(queries(), 250)) == kinds_of(
        theirs.search_and_reconstruct(queries(), 250)
    )
    short = [index.search_and_reconstruct(queries(1), 202)[2][0, 200:] for index in (ours, flat)]
    np.testing.assert_array_equal(*short)
    assert np.isnan(short[0]).all()


def test_standalone_codes_as_faiss_gives_them(pair):
    faiss = pytest.importorskip("faiss")
    ours, theirs = pair[0], faiss.IndexScalarQuantizer(48, faiss.ScalarQuantizer.QT_8bit)
    theirs.train(rows(100))

    for index in (ours, theirs):
        codes = index.sa_encode(rows(10))
        assert (codes.shape, codes.dtype) == ((10, index.code_size), np.uint8)
        assert kinds_of([index.sa_decode(codes)]) == [((10, 48), np.float32)]
        before = index.ntotal
        index.add_sa_codes(codes)
        assert index.ntotal == before + 10


def test_sa_code_size_is_called_as_in_faiss(pair):
    assert pair[0].sa_code_size() == pair[0].code_size
    assert pair[1].index.sa_code_size() == 4 * 48


def test_assign_is_search_without_distances(pair):
    ours, theirs = pair

    for k in (1, 4):
        assert kinds_of([ours.assign(queries(), k)]) == kinds_of([theirs.assign(queries(), k)])
        np.testing.assert_array_equal(ours.assign(queries(), k), ours.search(queries(), k)[1])
    np.testing.assert_array_equal(ours.assign(queries()), ours.assign(queries(), 1))


@pytest.mark.parametrize("first", [10, 0])
def test_merge_from_as_faiss_does(pair, first):
    faiss = pytest.importorskip("faiss")
    ours, theirs = pair
    other = copy.copy(ours)
    other.reset()
    other.add_with_ids(rows(5), np.arange(5) + first)
    their_other = faiss.IndexIDMap2(faiss.IndexFlat(48, theirs.metric_type))
    their_other.add_with_ids(rows(5), np.arange(5) + first)

    for index, more in ((theirs, their_other), (ours, other)):
        index.merge_from(more, 100)
        assert (index.ntotal, more.ntotal) == (205, 0)
        assert set(index.search(queries(1), 205)[1][0]) == {*range(1000, 1200), *range(100 + first, 105 + first)}


def test_the_methods_take_the_arguments_of_faiss():
    faiss = pytest.importorskip("faiss")
    ours_and_theirs = {
        "add": ["x"],
        "add_with_ids": ["x", "ids"],
        "search": ["x", "k"],
        "range_search": ["x"],
        "assign": ["x", "k"],
        "reconstruct": ["key"],
        "reconstruct_n": ["n0", "ni"],
        "reconstruct_batch": ["key"],
        "sa_encode": ["x"],
        "sa_decode": ["codes"],
        "add_sa_codes": ["codes", "ids"],
        "train": ["x"],
        "search_and_reconstruct": ["x", "k"],
    }
    for name, expected in ours_and_theirs.items():
        for kind in (IndexLPLR, faiss.IndexFlat):
            arguments = list(inspect.signature(getattr(kind, name)).parameters)
            assert arguments[1 : 1 + len(expected)] == expected, name
    for name in ("search", "range_search"):
        for kind in (IndexLPLR, faiss.IndexFlat):
            assert inspect.signature(getattr(kind, name)).parameters["params"].kind is inspect.Parameter.KEYWORD_ONLY


# Ids and rows


@pytest.mark.parametrize("kind", ONE_OF_EACH_METHOD)
@pytest.mark.parametrize("metric", METRICS)
def test_ids_stay_with_their_rows(metric, kind):
    index = filled(metric, kind, n=150)
    before = index.reconstruct_n()

    assert index.remove_ids(np.arange(0, 150, 3)) == 50
    kept = np.flatnonzero(np.arange(150) % 3)
    np.testing.assert_array_equal(index.reconstruct_batch(kept), before[kept])
    np.testing.assert_array_equal(index.reconstruct_n(), before[kept])
    check_results(index, queries(), 120, index.search(queries(), 120))
    index.add(rows(160)[150:])
    np.testing.assert_array_equal(index.reconstruct_batch(kept), before[kept])
    assert set(index.search(queries(1), 200)[1][0]) == {-1, *kept, *range(150, 160)}
    with pytest.raises(UnknownIdError, match="expected ids that the index holds, got 3"):
        index.reconstruct(3)


def test_an_id_is_not_handed_out_twice():
    index = filled(n=10)
    index.remove_ids([8, 9])
    index.add(rows(2))

    assert index.rows.ids.all().tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 10, 11]
    index.remove_ids(np.ones(10, bool))
    index.add(rows(1))
    assert index.rows.ids.all().tolist() == [12]
    index.reset()
    index.add(rows(2))
    assert index.rows.ids.all().tolist() == [0, 1]


def test_ids_count_on_from_the_largest():
    index = trained()
    index.add_with_ids(rows(3), [5, 100, 7])
    index.add(rows(2))

    assert index.rows.ids.all().tolist() == [5, 100, 7, 101, 102]


@pytest.mark.parametrize("largest", [2**62, 2**63 - 2, 2**63 - 1])
def test_large_ids(largest):
    """An id is taken and found again, or refused."""
    index = trained()
    try:
        index.add_with_ids(rows(2), np.array([3, largest]))
    except InputError:
        return
    assert set(index.search(queries(1), 2)[1][0]) == {3, largest}
    assert index.reconstruct(largest).shape == (48,)


@pytest.mark.parametrize("left", [1, 2])
def test_ids_run_out(left):
    """After the largest id there is none to hand out; nothing is added then."""
    index = trained()
    index.add_with_ids(rows(1), [2**63 - 2 - left])
    index.add(rows(left - 1))

    with pytest.raises(InputError, match="expected"):
        index.add(rows(left + 1))
    assert index.ntotal == left
    index.add_with_ids(rows(50)[49:], [5])
    np.testing.assert_array_equal(index.reconstruct_batch([5]), index.sa_decode(index.sa_encode(rows(50)[49:])))


def test_a_mask_removes_rows():
    index = filled(n=40, ids=np.arange(40)[::-1])

    assert index.remove_ids(np.arange(40) < 5) == 5
    assert index.rows.ids.all().tolist() == list(range(34, -1, -1))


def test_reset_keeps_the_training():
    index = filled(n=50)
    codes = index.sa_encode(rows(5))

    index.reset()

    assert (index.ntotal, index.is_trained, len(index)) == (0, True, 0)
    np.testing.assert_array_equal(index.sa_encode(rows(5)), codes)


def test_merging_counts_on():
    index, other = filled(n=70), trained()
    other.add(rows(100)[70:])

    index.merge_from(other)

    assert (index.ntotal, other.ntotal) == (100, 0)
    np.testing.assert_array_equal(index.reconstruct_n(), filled(n=100).reconstruct_n())
    assert len(index.rows.ids.stored) == 0
    other.add(rows(1))
    assert other.rows.ids.all().tolist() == [0]


def test_merging_an_empty_index():
    index = filled(n=10, ids=np.arange(10) + 5)
    index.merge_from(trained())

    assert index.rows.ids.all().tolist() == list(range(5, 15))


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "add_with_ids", "remove", "merge", "codes"]), st.integers(0, 70)), max_size=8
    ),
    st.integers(0, 2**32 - 1),
)
def test_any_sequence_of_changes_keeps_ids_and_codes_together(steps, seed):
    """A dict from id to code is the whole state."""
    rng = np.random.default_rng(seed)
    index, held, next_id = trained("l2"), {}, 0
    for step, n in steps:
        x = rows(500)[rng.integers(0, 500, n)]
        codes = index.sa_encode(x)
        if step == "remove":
            gone = rng.permutation([*held, 10**6])[:n]
            assert index.remove_ids(gone) == len(set(gone) & set(held))
            held = {key: code for key, code in held.items() if key not in set(gone.tolist())}
            continue
        free = next_id + rng.permutation(3 * n)[:n]
        ids = np.arange(next_id, next_id + n)
        if step == "add":
            index.add(x)
        elif step == "codes":
            index.add_sa_codes(codes, free)
            ids = free
        elif step == "add_with_ids":
            index.add_with_ids(x, free)
            ids = free
        else:
            other = trained("l2")
            other.add_with_ids(x, free)
            index.merge_from(other, 1)
            ids = free + 1
        held |= dict(zip(ids.tolist(), codes, strict=True))
        next_id = max(next_id, int(ids.max(initial=-1)) + 1)

    assert index.ntotal == len(held)
    np.testing.assert_array_equal(index.rows.ids.all(), np.array(list(held), np.int64))
    np.testing.assert_array_equal(
        naive.rows_of(index), np.array(list(held.values()), np.uint8).reshape(len(held), index.code_size)
    )
    if held:
        np.testing.assert_array_equal(
            index.reconstruct_batch(list(held)), index.sa_decode(np.array(list(held.values())))
        )


def test_rows_come_in_any_numeric_dtype_and_layout():
    index, x = trained(), np.rint(100 * rows(40))
    expected = index.sa_encode(x.astype(np.float32))

    for same in (x.astype(np.float64), x.astype(np.int16), np.asfortranarray(x), x.tolist(), x[::-1][::-1]):
        np.testing.assert_array_equal(index.sa_encode(same), expected)
    half = rows(40).astype(np.float16)
    np.testing.assert_array_equal(index.sa_encode(half), index.sa_encode(half.astype(np.float32)))


@pytest.mark.parametrize("kind", ONE_OF_EACH_METHOD)
def test_codes_do_not_depend_on_batches_or_threads(kind):
    index, x = trained("l2", kind), low_rank_vectors(20_000, 48, seed=7)
    expected = index.sa_encode(x, threads=1)

    for threads in (2, 3, None):
        np.testing.assert_array_equal(index.sa_encode(x, threads=threads), expected)
    for part in (slice(0, 1), slice(8190, 8195), slice(19_999, 20_000), slice(17, 200)):
        np.testing.assert_array_equal(index.sa_encode(x[part]), expected[part])


# Codes


@pytest.mark.parametrize(("metric", "kind"), EVERY_KIND)
def test_decoding_gives_the_reconstruction(metric, kind):
    index = filled(metric, kind, n=120)

    codes = index.sa_encode(rows(120))

    np.testing.assert_array_equal(codes, naive.rows_of(index))
    x_hat, norms = naive.reconstruct(index)
    scale = np.abs(x_hat).max()
    for decoded in (index.sa_decode(codes), index.reconstruct_n(), index.reconstruct_batch(np.arange(120))):
        np.testing.assert_allclose(decoded, x_hat, atol=1e-5 * scale)
    np.testing.assert_array_equal(index.reconstruct(17), index.reconstruct_n(17, 1)[0])
    if norms is not None:
        exact = np.square(x_hat).sum(axis=1)
        if index.model.norm.bits == 16:
            np.testing.assert_allclose(norms, exact, rtol=1e-3, atol=1e-3 * norms.std())
        else:  # lengths, to half a step
            step = (index.model.norm.most - index.model.norm.least) / 207
            np.testing.assert_allclose(np.sqrt(norms), np.sqrt(exact), atol=0.51 * step)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(
    ("kind", "turned"), [("nq-1", 0), ("nq-4", 0), ("lsvd-8", 0.01), ("dsvd-5", 0.01), ("lplr-4", 0.03)]
)
def test_encoding_a_reconstruction_again_gives_the_same_bytes(metric, kind, turned):
    """Exactly where R is the identity; a quantized R is not quite the inverse of the encoder, and turns a few rows."""
    index = trained(metric, kind)
    codes = index.sa_encode(rows(300))

    again = index.sa_encode(index.sa_decode(codes))

    assert (again != codes).any(axis=1).mean() <= turned


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["auto-1", "auto-2", "auto-5"])
def test_encoding_a_reconstruction_with_a_gain_again(metric, kind):
    """The gain moves a row off its levels, so some nibbles change; the row stays near where it is."""
    index = trained(metric, kind)
    x = unit(rows(300)) if metric == "cosine" else rows(300)
    codes = index.sa_encode(x)
    x_hat = index.sa_decode(codes)

    again = index.sa_encode(x_hat)

    assert np.linalg.norm(index.sa_decode(again) - x_hat) < 0.6 * np.linalg.norm(x_hat - x)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["auto-1", "auto-2", "auto-5"])
def test_the_gain_keeps_lengths(metric, kind):
    index = trained(metric, kind)
    x = unit(rows(1000)) if metric == "cosine" else rows(1000)

    index.add(x)

    lengths = np.linalg.norm(index.reconstruct_n(), axis=1)
    gain = index.model.gain
    held = gain.decode(index.model.gain_codes(naive.rows_of(index)))
    wanted = gain.wanted(np.linalg.norm(x, axis=1) / (lengths / held))
    inside = (wanted >= gain.least + gain.step) & (wanted <= gain.most)
    assert (held > 0).all()
    assert inside.mean() > 0.95
    assert (np.abs(held - wanted)[inside] <= 0.51 * gain.step).all()


@pytest.mark.parametrize("bits", [2.0, 4.0])
def test_distances_to_rows_of_another_length_than_those_trained_on(bits):
    """Embeddings are often of length one, and then comes one that is not."""
    index = IndexLPLR(48, bits, "l2")
    index.train(unit(rows(1500)))
    x = unit(rows(200)) * np.linspace(0, 1.4, 200)[:, None]
    index.add(x)

    D, I = index.search(unit(queries()), 200)

    x_hat = index.reconstruct_n().astype(float)
    exact = np.square(unit(queries()).astype(float)[:, None] - x_hat[I]).sum(axis=2)
    np.testing.assert_allclose(D, exact, atol=0.01)


@pytest.mark.parametrize("method", ["lplr", "lsvd", "dsvd", "nq"])
@pytest.mark.parametrize("nbits", [1, 3, 4, 8])
@pytest.mark.parametrize("nbits_R", [8, 16])
@pytest.mark.parametrize("metric", METRICS)
def test_the_published_methods_are_factorize(method, nbits, nbits_R, metric):
    A = rows(400)
    options = {"nbits": nbits, "nbits_R": nbits_R, **({} if method == "nq" else {"rank": 10})}
    index = IndexLPLR(48, metric=metric, method=method, seed=3, **options)
    index.train(A)
    index.add(A)

    factors = factorize(unit_rows(A)[0] if metric == "cosine" else A, method, seed=3, **options)

    expected = factors.reconstruct()
    wrong = np.abs(index.reconstruct_n() - expected).max(axis=1) > 1e-5 * np.abs(expected).max()
    # The product of codes and BLAS round differently: an entry half-way between two levels may take the other one.
    assert wrong.mean() <= 0.01
    assert index.code_size == factors.codes_L.shape[1] + 2 * (metric == "l2")


# Sizes


@pytest.mark.parametrize("d", [8, 33, 100, 384, 768])
@pytest.mark.parametrize("bits", [0.25, 0.5, 1.0, 1.5, 2, 4, 8])
@pytest.mark.parametrize("metric", METRICS)
def test_bits_count_everything_that_grows(d, bits, metric):
    size = int(bits * d // 8)
    if size < (3 if metric == "l2" else 1):
        with pytest.raises(InputError, match=r"expected at least .* bits for d = \d+ .*, got"):
            IndexLPLR(d, bits, metric)
        return
    index = IndexLPLR(d, bits, metric)
    assert index.code_size == size
    assert index.bits <= bits
    assert index.bits == 8 * size / d


@pytest.mark.parametrize("method", ["lplr", "lsvd", "dsvd", "nq"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("bits", [1.5, 3, 6])
def test_the_published_methods_fit_the_budget(method, metric, bits):
    index = IndexLPLR(100, bits, metric, method)

    assert index.code_size <= int(bits * 100 / 8)
    settings = index.settings
    assert settings.code_size == -(-settings.rank * settings.nbits // 8) + 2 * (metric == "l2")
    one_more = (settings.rank + 1) * settings.nbits if method != "nq" else 100 * (settings.nbits + 1)
    assert one_more > 8 * (int(bits * 100 / 8) - 2 * (metric == "l2")) or settings.rank == 100


@pytest.mark.parametrize(("metric", "kind"), EVERY_KIND)
def test_trained_codes_have_the_size_that_was_promised(metric, kind):
    index = trained(metric, kind)

    assert index.model.code_size == index.code_size
    assert index.sa_encode(rows(3)).shape == (3, index.code_size)


# Training


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bytes(metric, method):
    def build(seed):
        index = IndexLPLR(48, 2.0, "ip" if method == "nq" else metric, method, seed=seed)
        index.train(rows(500))
        index.add(rows(600))
        return bytes(serialize_index(index))

    assert build(1) == build(1)
    if method in ("lplr", "lsvd"):
        assert build(1) != build(2)


SCRIPT = """
    import hashlib, json, sys
    import numpy as np
    import lplr_index

    sys.path.insert(0, sys.argv[1])
    from conftest import low_rank_vectors

    digests = []
    for method, d, bits, n in [("auto", 48, 2.0, 9000), ("auto", 700, 0.1, 600)] + [
        (method, 48, 2.0, 500) for method in ("lplr", "lsvd", "dsvd")
    ]:
        x = low_rank_vectors(n, d) if d < 100 else np.random.default_rng(0).standard_normal((n, d)).astype("f4")
        index = lplr_index.IndexLPLR(d, bits, "l2", method)
        index.train(x)
        index.add(x, threads=int(sys.argv[2]))
        D, I = index.search(x[:50], 10, threads=int(sys.argv[2]))
        digests += [hashlib.sha256(part.tobytes()).hexdigest() for part in (lplr_index.serialize_index(index), D, I)]
    print(json.dumps(digests))
"""


def test_threads_of_blas_and_ours_change_no_byte():
    def digests(blas, threads):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), str(Path(__file__).parent), str(threads)],
            env={
                **os.environ,
                "OPENBLAS_NUM_THREADS": str(blas),
                "OMP_NUM_THREADS": str(blas),
                "MKL_NUM_THREADS": str(blas),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    first = digests(1, 1)
    assert len(set(first)) == len(first)
    assert digests(2, 3) == first


def test_the_order_of_training_rows_beyond_the_sample_matters_not_to_its_size(monkeypatch):
    """Of a larger matrix a seeded choice is taken, from all over it."""
    from lplr_index import training

    monkeypatch.setattr(training, "TRAIN_ROWS", 100)
    x = np.arange(1000.0)[:, None] * np.ones(48)

    chosen = training.sample_rows(x, 0)[:, 0]

    assert len(chosen) == 100
    assert (np.diff(chosen) > 0).all()
    assert chosen.min() < 100
    assert chosen.max() > 900
    assert not np.array_equal(chosen, training.sample_rows(x, 1)[:, 0])


def test_training_again():
    index = IndexLPLR(48, 2.0)
    index.train(rows(200))
    first = index.sa_encode(rows(5))
    index.train(5 * rows(2000)[500:] + 1)
    assert not np.array_equal(index.sa_encode(rows(5)), first)
    index.add(rows(3))
    with pytest.raises(InputError, match=r"expected an empty index to train, got one that holds 3 rows"):
        index.train(rows(200))
    index.reset()
    index.train(rows(200))
    np.testing.assert_array_equal(index.sa_encode(rows(5)), first)


def test_the_bits_of_an_index_make_another_like_it():
    pairs = [(d, size) for d in (22, 26, 44, 48, 49, 384, 800) for size in (3, 8, 15, d // 2, d)]

    for d, size in pairs:
        assert IndexLPLR(d, IndexLPLR(d, min(8.0, 8 * (size + 0.5) / d)).bits).code_size == size


@pytest.mark.parametrize("bits", [1.6, 3.0, 4.0, 8.0])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("offset", [0, 1, 100])
def test_rows_in_a_subspace(rng, bits, metric, offset):
    """Ten directions can take no more than 80 bits; what a budget has beyond must do no harm."""
    x = rng.standard_normal((1000, 10)) @ rng.standard_normal((10, 48)) + offset
    index = IndexLPLR(48, bits, metric)
    index.train(x)
    index.add(x)

    x_hat = index.reconstruct_n()

    expected = unit(x) if metric == "cosine" else x
    assert np.linalg.norm(x_hat - expected) < 0.1 * np.linalg.norm(expected - expected.mean(axis=0))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", ["auto", "nq"])
@pytest.mark.parametrize("n", [1, 2, 20])
def test_few_training_rows(metric, method, n):
    index = IndexLPLR(48, 4.0, metric, method)
    index.train(rows(n))
    index.add(rows(60))

    check_results(index, queries(), 10, index.search(queries(), 10))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_training_rows_without_any_spread(metric, method, value):
    index = IndexLPLR(16, 4.0, metric, method)
    x = np.full((50, 16), value)
    if metric == "cosine" and value == 0:
        with pytest.warns(ZeroVectorWarning):
            index.train(x)
    else:
        index.train(x)
    index.add(low_rank_vectors(20, 16))

    check_results(index, low_rank_vectors(5, 16), 10, index.search(low_rank_vectors(5, 16), 10))


@pytest.mark.parametrize("method", ["lplr", "lsvd", "dsvd"])
def test_fewer_training_rows_than_the_rank(method):
    index = IndexLPLR(48, 2.0, "ip", method)

    with pytest.raises(InputError, match="expected at least 24 training rows for rank 24, got 23"):
        index.train(rows(23))
    assert not index.is_trained
    index.train(rows(24))


def test_auto_ranks_better_than_the_published_methods_at_equal_bytes():
    x = low_rank_vectors(6000, 96, intrinsic=20)
    xt, xb, xq = x[:3000], x[3000:5900], x[5900:]
    exact = np.argsort(-(unit(xq) @ unit(xb).T), axis=1)[:, :10]

    def recall(method, **options):
        index = IndexLPLR(96, 2.0, "cosine", method, **options)
        index.train(xt)
        index.add(xb)
        assert index.code_size <= 24
        _, I = index.search(xq, 10)
        return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(I, exact, strict=True)])

    ours = recall("auto")

    assert ours > 0.5
    for method in ("lplr", "lsvd", "dsvd", "nq"):
        assert ours > recall(method) + 0.05


@pytest.mark.parametrize("size", [1e20, 1e25, 1e38])
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_rows_whose_scores_float32_cannot_hold(metric, size):
    """They are refused, or ranked as rows of any other size are."""

    def nearest(x):
        index = IndexLPLR(48, 4.0, metric)
        index.train(x)
        index.add(x)
        return index.search(x[:5], 2)[1]

    try:
        I = nearest((rows(300) * (size / 10)).astype(np.float32))
    except InputError:
        return
    np.testing.assert_array_equal(I, nearest(rows(300)))


# Bad input

BAD_ROWS = {
    "columns": (np.zeros((2, 47)), "expected x with 48 columns, got 47"),
    "vector": (np.zeros(48), r"expected x of shape \(n, .*\), got shape \(48,\)"),
    "cube": (np.zeros((2, 2, 48)), r"expected x of shape \(n, .*\), got shape \(2, 2, 48\)"),
    "number": (3.0, r"expected .*, got"),
    "text": (np.array([["a"] * 48]), "expected x to hold float or integer numbers, got dtype <U1"),
    "objects": (np.full((1, 48), None), "expected x to be an array of numbers, got dtype object"),
    "complex": (np.zeros((1, 48), complex), "expected x to hold float or integer numbers, got dtype complex128"),
    "ragged": ([[1.0] * 48, [1.0]], "expected x to be an array of numbers, got rows of different lengths"),
    "none": (None, r"expected .*, got"),
    "nan": (
        np.where(np.arange(96).reshape(2, 48) == 50, np.nan, 1),
        "expected finite .*, got nan in row 1, column 2 of x",
    ),
    "infinity": (np.full((1, 48), np.inf), "expected finite float32 numbers, got inf in row 0, column 0 of x"),
    "too large": (np.full((1, 48), 1e39), r"expected finite float32 numbers, got 1e\+39 in row 0, column 0 of x"),
}


@pytest.mark.parametrize(
    "method",
    ["train", "add", "add_with_ids", "sa_encode", "search", "range_search", "assign", "search_and_reconstruct"],
)
@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows(method, name):
    bad, message = BAD_ROWS[name]
    index = filled(n=0 if method == "train" else 40)
    before = bytes(serialize_index(index))
    arguments = {"add_with_ids": ([70, 80],), "search": (3,), "range_search": (0.5,), "search_and_reconstruct": (3,)}

    with pytest.raises(InputError, match=message):
        getattr(index, method)(bad, *arguments.get(method, ()))

    assert bytes(serialize_index(index)) == before


def test_a_bad_row_far_down_is_named_and_nothing_is_added():
    index, x = trained(), low_rank_vectors(20_000, 48, seed=7)
    x[17_003, 5] = np.nan

    for threads in (1, 2):
        with pytest.raises(InputError, match="got nan in row 17003, column 5 of x"):
            index.add(x, threads=threads)
        assert index.ntotal == 0
    with pytest.raises(InputError, match="got nan in row 1503, column 5 of x"):
        index.search(x[15_500:], 3)


BAD_CALLS = {
    "k zero": (lambda i: i.search(queries(), 0), "expected k to be an integer >= 1, got 0"),
    "k negative": (lambda i: i.search(queries(), -1), "expected k to be an integer >= 1, got -1"),
    "k float": (lambda i: i.search(queries(), 2.0), "expected k to be an integer >= 1, got 2.0"),
    "k bool": (lambda i: i.search(queries(), True), "expected k to be an integer >= 1, got True"),
    "k none": (lambda i: i.assign(queries(), None), "expected k to be an integer >= 1, got None"),
    "threads zero": (lambda i: i.search(queries(), 1, threads=0), "expected threads to be an integer >= 1, got 0"),
    "threads float": (lambda i: i.add(rows(2), threads=1.5), "expected threads to be an integer >= 1, got 1.5"),
    "threads text": (
        lambda i: i.range_search(rows(2), 1.0, threads="2"),
        "expected threads to be an integer >= 1, got '2'",
    ),
    "radius nan": (lambda i: i.range_search(queries(), np.nan), "expected radius to be finite, got nan"),
    "radius infinite": (lambda i: i.range_search(queries(), np.inf), "expected radius to be finite, got inf"),
    "radius text": (lambda i: i.range_search(queries(), "near"), "expected radius to be a number, got 'near'"),
    "radius none": (lambda i: i.range_search(queries(), None), "expected radius to be a number, got None"),
    "mask length": (
        lambda i: i.search(queries(), 1, filter=np.ones(39, bool)),
        r"expected a mask over 40 rows, got shape \(39,\)",
    ),
    "mask shape": (
        lambda i: i.search(queries(), 1, filter=np.ones((40, 1), bool)),
        r"expected a mask over 40 rows, got shape \(40, 1\)",
    ),
    "filter floats": (
        lambda i: i.search(queries(), 1, filter=[0.5]),
        "expected filter ids to be a one-dimensional integer array, got float64",
    ),
    "filter text": (lambda i: i.search(queries(), 1, filter="all"), "expected filter ids to be .*, got <U3"),
    "filter object": (
        lambda i: i.range_search(queries(), 1.0, filter=object()),
        "expected filter to be an array of numbers, got dtype object from object",
    ),
    "filter ragged": (lambda i: i.search(queries(), 1, filter=[[1], [2, 3]]), "expected .*, got"),
    "params": (
        lambda i: i.search(queries(), 1, params={"sel": 1}),
        "expected params to be a faiss.SearchParameters, got dict",
    ),
    "ids short": (lambda i: i.add_with_ids(rows(3), [50, 51]), "expected 3 ids, got 2"),
    "ids negative": (lambda i: i.add_with_ids(rows(2), [50, -1]), "expected ids from 0 to .*, got -1"),
    "ids twice": (lambda i: i.add_with_ids(rows(2), [50, 50]), "expected distinct ids, got 50 twice"),
    "ids held": (
        lambda i: i.add_with_ids(rows(2), [50, 39]),
        "expected new ids, got 39, which the index already holds",
    ),
    "ids floats": (
        lambda i: i.add_with_ids(rows(2), [50.0, 51.0]),
        "expected ids to be a one-dimensional integer array, got float64",
    ),
    "ids matrix": (
        lambda i: i.add_with_ids(rows(2), [[50, 51]]),
        "expected ids to be a one-dimensional integer array, got int64",
    ),
    "ids huge": (
        lambda i: i.add_with_ids(rows(1), np.array([2**63], np.uint64)),
        "expected ids that fit in int64, got 9223372036854775808",
    ),
    "ids ragged": (lambda i: i.add_with_ids(rows(2), [[1], [2, 3]]), "expected .*, got"),
    "codes width": (
        lambda i: i.add_sa_codes(np.zeros((2, 5), np.uint8)),
        r"expected codes of shape \(n, 12\) and dtype uint8, got uint8 of shape \(2, 5\)",
    ),
    "codes dtype": (
        lambda i: i.add_sa_codes(np.zeros((2, 12))),
        r"expected codes of shape \(n, 12\) and dtype uint8, got float64",
    ),
    "codes ragged": (lambda i: i.sa_decode([[1], [2, 3]]), "expected .*, got"),
    "codes' ids": (lambda i: i.add_sa_codes(np.zeros((2, 12), np.uint8), [3, 77]), "expected new ids, got 3"),
    "codes' few ids": (lambda i: i.add_sa_codes(np.zeros((2, 12), np.uint8), [77]), "expected 2 ids, got 1"),
    "n0": (lambda i: i.reconstruct_n(41), "expected n0 to be an integer from 0 to 40, got 41"),
    "ni": (lambda i: i.reconstruct_n(30, 11), "expected ni to be an integer from 0 to 10, got 11"),
    "id": (lambda i: i.reconstruct(1.5), "expected id to be an integer >= 0, got 1.5"),
    "negative id": (lambda i: i.reconstruct(-1), "expected id to be an integer >= 0, got -1"),
    "merge itself": (lambda i: i.merge_from(i), "expected another IndexLPLR to merge, got IndexLPLR"),
    "merge something": (lambda i: i.merge_from("other"), "expected another IndexLPLR to merge, got 'other'"),
    "merge a stranger": (lambda i: i.merge_from(filled("ip", n=3)), "expected an index with the same training"),
    "merge held ids": (lambda i: i.merge_from(filled(n=2, ids=[90, 30])), "expected new ids, got 30"),
    "merge negative ids": (lambda i: i.merge_from(filled(n=1, ids=[90]), -100), "expected ids from 0 to .*, got -10"),
    "merge far": (lambda i: i.merge_from(filled(n=1, ids=[90]), 2**70), "expected .*, got"),
    "merge by half": (lambda i: i.merge_from(filled(n=1, ids=[90]), 0.5), "expected add_id to be an integer"),
    "remove floats": (
        lambda i: i.remove_ids([1.5]),
        "expected .* ids to be a one-dimensional integer array, got float64",
    ),
    "remove mask": (lambda i: i.remove_ids([True]), r"expected a mask over 40 rows, got shape \(1,\)"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_calls(name):
    call, message = BAD_CALLS[name]
    index = filled(n=40)
    before = bytes(serialize_index(index))

    with pytest.raises(InputError, match=message):
        call(index)

    assert bytes(serialize_index(index)) == before


def test_a_filter_and_a_selector():
    faiss = pytest.importorskip("faiss")
    params = faiss.SearchParameters(sel=faiss.IDSelectorRange(0, 5))

    with pytest.raises(InputError, match="expected a filter or params with a selector, got both"):
        filled(n=40).search(queries(), 1, filter=[1], params=params)


@pytest.mark.parametrize("ids", [[200], [-1], [3, 41], np.array([2**62])])
def test_unknown_ids(ids):
    index = filled(n=41)
    with pytest.raises(UnknownIdError, match=f"^expected ids that the index holds, got {ids[-1]}$") as caught:
        index.reconstruct_batch(ids)
    assert isinstance(caught.value, KeyError)


BAD_ARGUMENTS = {
    "d zero": ({"d": 0}, "expected d to be an integer from 1 to 65536, got 0"),
    "d float": ({"d": 48.0}, "expected d to be an integer from 1 to 65536, got 48.0"),
    "d huge": ({"d": 65537}, "expected d to be an integer from 1 to 65536, got 65537"),
    "bits zero": ({"bits": 0}, "expected bits to be a number above 0, at most 8, got 0"),
    "bits nan": ({"bits": np.nan}, "expected bits to be a number above 0, at most 8, got nan"),
    "bits many": ({"bits": 8.1}, "expected bits to be a number above 0, at most 8, got 8.1"),
    "bits text": ({"bits": "1"}, "expected bits to be a number above 0, at most 8, got '1'"),
    "bits bool": ({"bits": True}, "expected bits to be a number above 0, at most 8, got True"),
    "bits few": ({"bits": 0.1}, r"expected at least 0.1667 bits for d = 48 \(1 bytes a row\), got 0.1"),
    "metric": ({"metric": "hamming"}, "expected metric 'cosine', 'ip' or 'l2' .*, got 'hamming'"),
    "metric number": ({"metric": 23}, "expected metric 'cosine', 'ip' or 'l2' .*, got 23"),
    "metric none": ({"metric": None}, "expected metric 'cosine', 'ip' or 'l2' .*, got None"),
    "method": ({"method": "pq"}, "expected method to be one of auto, lplr, lsvd, dsvd, nq, got 'pq'"),
    "method list": ({"method": ["auto"]}, "expected method to be one of auto, lplr, lsvd, dsvd, nq, got"),
    "seed negative": ({"seed": -1}, "expected seed to be an integer from 0 to .*, got -1"),
    "seed float": ({"seed": 1.0}, "expected seed to be an integer from 0 to .*, got 1.0"),
    "rank for auto": ({"rank": 5}, "expected rank and nbits only for lplr, lsvd, dsvd and nq, got them for auto"),
    "nbits for auto": ({"nbits": 4}, "expected rank and nbits only for lplr, lsvd, dsvd and nq, got them for auto"),
    "rank zero": ({"method": "lplr", "rank": 0}, "expected rank to be an integer from 1 to 48, got 0"),
    "rank large": ({"method": "lsvd", "rank": 49}, "expected rank to be an integer from 1 to 48, got 49"),
    "rank for nq": ({"method": "nq", "rank": 5}, "expected no rank for nq, which keeps all 48 columns, got 5"),
    "nbits": ({"method": "dsvd", "nbits": 9}, "expected nbits to be an integer from 1 to 8, got 9"),
    "nbits float": ({"method": "nq", "nbits": 4.0}, "expected nbits to be an integer from 1 to 8, got 4.0"),
    "nbits_R": ({"method": "lplr", "nbits_R": 12}, "expected nbits_R to be 1 to 8, 16 or 32, got 12"),
    "no bit for nq": ({"method": "nq", "bits": 0.9}, "expected at least 1 bit a coordinate for nq, .*, got 0.9"),
    "no column": (
        {"method": "lplr", "bits": 0.2, "nbits": 8, "metric": "l2"},
        "expected at least .* bits for d = 48 .*, got 0.2",
    ),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments(name):
    arguments, message = BAD_ARGUMENTS[name]

    with pytest.raises(InputError, match=message):
        IndexLPLR(**{"d": 48, **arguments})


UNTRAINED = {
    "add": lambda i: i.add(rows(2)),
    "add_with_ids": lambda i: i.add_with_ids(rows(2), [1, 2]),
    "add_sa_codes": lambda i: i.add_sa_codes(np.zeros((1, 6), np.uint8)),
    "search": lambda i: i.search(rows(2), 1),
    "range_search": lambda i: i.range_search(rows(2), 1.0),
    "assign": lambda i: i.assign(rows(2)),
    "search_and_reconstruct": lambda i: i.search_and_reconstruct(rows(2), 1),
    "sa_encode": lambda i: i.sa_encode(rows(2)),
    "sa_decode": lambda i: i.sa_decode(np.zeros((1, 6), np.uint8)),
    "reconstruct_n": lambda i: i.reconstruct_n(),
    "merge_from": lambda i: i.merge_from(trained()),
    "merge": lambda i: trained().merge_from(i),
    "model": lambda i: i.model,
}


@pytest.mark.parametrize("name", UNTRAINED)
def test_an_index_without_training_says_so(name):
    index = IndexLPLR(48)

    with pytest.raises(NotTrainedError, match=r"expected a trained index, got one that needs train\(x\) first"):
        UNTRAINED[name](index)
    assert (index.ntotal, index.is_trained) == (0, False)


def test_errors_are_ours_and_of_the_kind_python_expects():
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, LPLRError)
    assert issubclass(NotTrainedError, RuntimeError)


def test_a_misspelt_attribute_is_an_error():
    index = IndexLPLR(48)
    with pytest.raises(AttributeError):
        index.ntotals = 3
    with pytest.raises(AttributeError):
        index.ntotal = 3


@pytest.mark.parametrize(
    "call",
    [
        lambda i, x: i.search(x, 2),
        lambda i, x: i.range_search(x, 0.5),
        lambda i, x: i.add(x),
        lambda i, x: i.train(x),
    ],
    ids=["search", "range_search", "add", "train"],
)
def test_the_warning_of_a_zero_vector_names_the_callers_line(call):
    index = trained()

    with pytest.warns(ZeroVectorWarning) as caught:
        call(index, rows(30) * (np.arange(30) > 3)[:, None])

    assert [each.filename for each in caught] == [__file__]


def test_repr_says_what_it_is():
    index = IndexLPLR(48, 2.0, "l2", "nq", nbits=1)

    assert repr(index) == "IndexLPLR(d=48, bits=1.33333, metric='l2', method='nq', not trained)"
    assert repr(filled(n=3)) == "IndexLPLR(d=48, bits=2, metric='cosine', method='auto', ntotal=3)"


def test_numbers_of_faiss_name_metrics():
    faiss = pytest.importorskip("faiss")

    assert IndexLPLR(48, metric=faiss.METRIC_INNER_PRODUCT).metric == "ip"
    assert IndexLPLR(48, metric=faiss.METRIC_L2).metric == "l2"


def test_a_copy_is_independent_of_what_is_added_later():
    digest = hashlib.sha256(serialize_index(filled(n=40))).hexdigest()
    index = filled(n=40)
    index.add(rows(10))
    index.remove_ids(np.arange(40, 50))

    assert hashlib.sha256(serialize_index(filled(n=40))).hexdigest() == digest
    assert KINDS
