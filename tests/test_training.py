"""training.py: what auto learns, and that the published methods are taken as they are (see also test_index.py)."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import low_rank_vectors
from indexes import KINDS, rows, trained, training_rows
from lplr_index import IndexLPLR, factorize
from lplr_index.errors import InputError
from lplr_index.metric import METRICS
from lplr_index.training import TRAIN_ROWS, sample_rows, train_auto, with_head


def error(x, index):
    """Return the part of the spread of rows that their reconstructions miss."""
    x_hat = index.sa_decode(index.sa_encode(x))
    return np.linalg.norm(x - x_hat) / np.linalg.norm(x - x.mean(axis=0))


@pytest.mark.parametrize("metric", METRICS)
def test_more_bits_less_error(metric):
    x = rows(1000)
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x

    errors = []
    for bits in (1, 2, 3, 4, 6, 8):
        index = IndexLPLR(48, bits, metric)
        index.train(x)
        errors.append(error(x, index))

    assert (np.diff(errors) < 0).all()
    assert errors[0] < 0.75
    assert errors[-1] < 0.02


def test_nibbles_go_to_the_directions_of_energy():
    model = trained("ip", "auto-2").model

    energies = np.square((rows(3000) - model.mu) @ np.linalg.pinv(model.R)).mean(axis=0)

    chain = model.codec.chain
    groups = np.split(energies[-len(chain.book) :], chain.starts[1:-1])
    spent = np.add.reduceat(chain.sizes, np.arange(0, chain.steps, 5))  # a pattern is not even by itself
    assert (np.diff(spent.astype(int)) >= 0).all()
    assert groups[0].mean() > 4 * groups[-1].mean()


@pytest.mark.parametrize("offset", [0, 1e3])
def test_the_centre_is_the_mean(offset):
    x = (rows(1000) + offset).astype(np.float32)
    index = IndexLPLR(48, 2.0, "ip")

    index.train(x)

    np.testing.assert_allclose(index.model.mu, x.mean(axis=0, dtype=float), rtol=1e-5, atol=1e-5)
    assert error(x, index) < 0.5


@pytest.mark.parametrize("scale", [1e-15, 1e-9, 1e-3, 1e3, 1e15])
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_training_does_not_depend_on_units(scale, metric):
    plain, scaled = (IndexLPLR(48, 3.0, metric) for _ in range(2))
    plain.train(rows(1000))
    scaled.train(rows(1000) * np.float32(scale))

    np.testing.assert_array_equal(scaled.model.codec.sizes, plain.model.codec.sizes)
    assert error(rows(500) * np.float32(scale), scaled) == pytest.approx(error(rows(500), plain), rel=1e-2)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("auto")])
@pytest.mark.parametrize("metric", METRICS)
def test_gains_use_the_sixteen_values_of_their_nibble(metric, kind):
    index = trained(metric, kind)

    gains = index.model.gain_codes(index.sa_encode(rows(3000)))

    assert (gains > 0).all()
    assert len(np.unique(gains)) >= 12
    assert np.isin(gains, [1, 15]).mean() < (0.25 if index.model.codec.stages else 0.03)  # few rows for centroids


@pytest.mark.parametrize(("kind", "bits"), [("auto-2", 16), ("lplr-4", 16), ("nq-4", 16), ("auto-norm", 8)])
def test_norms_are_those_of_reconstructions_with_their_gains(kind, bits):
    index = trained("l2", kind)

    codes = index.sa_encode(rows(3000))

    norm, stored = index.model.norm, codes[:, -bits // 8 :].copy().view(f"<u{bits // 8}")[:, 0]
    lengths = np.linalg.norm(index.sa_decode(codes).astype(float), axis=1)
    assert norm.bits == bits
    assert norm.unit == pytest.approx(np.mean(lengths**2), rel=0.05)
    off = np.abs(np.sqrt(norm.unit + norm.values[stored]) / lengths - 1)
    assert np.quantile(off, 0.99) < (0.01 if bits == 8 else 1e-3)
    assert off.max() < 0.2
    assert len(np.unique(stored)) > 100


def test_the_published_methods_are_not_centred_and_have_no_gain():
    for kind in ("lplr-4", "lsvd-8", "dsvd-5", "nq-1"):
        model = trained("ip", kind).model
        assert not model.mu.any()
        assert (model.gain.bits, model.norm.bits) == (0, 0)


@pytest.mark.parametrize("kind", ["lplr-4", "lsvd-8", "dsvd-5"])
def test_the_published_methods_take_what_factorize_gives(kind):
    model, options = trained("ip", kind).model, dict(KINDS[kind])
    options.setdefault("rank", 24)
    options.setdefault("nbits", 4)
    options.pop("bits", None)

    factors = factorize(training_rows(), seed=0, **options)

    np.testing.assert_array_equal(model.R, factors.R)
    np.testing.assert_array_equal(model.encoder, factors.encoder)
    np.testing.assert_array_equal(
        np.unique(model.codec.levels), np.unique(factors.quantizer_L.decode(all_codes(factors)))
    )


def all_codes(factors):
    return np.tile(np.arange(1 << factors.quantizer_L.nbits, dtype=np.uint8)[:, None], (1, factors.rank))


@pytest.mark.parametrize("has_tails", [True, False])
def test_heads_hold_what_scores_vary_by(rng, has_tails):
    """Entries of the tails vary by less than 3 % of what scores vary by, and by more if heads had an eight less."""
    x = low_rank_vectors(3000, 64) if has_tails else rng.standard_normal((3000, 64)).astype(np.float32)
    settings = IndexLPLR(64, bits=2.0, metric="ip").settings
    whole = train_auto(x, settings.code_size, l2=False, seed=0)
    assert whole.gain.bits == 4

    model = with_head(whole, x)

    assert (model.head is not None) == has_tails
    assert (model.code_size, whole.head) == (whole.code_size, None)
    np.testing.assert_array_equal(model.decode(model.encode(x)), whole.decode(whole.encode(x)))
    if has_tails:
        assert model.head % 8 == 0
        asked = np.ascontiguousarray(whole.project(x[-64:]))
        scores = asked @ whole.codec.decode(whole.plain_codes(x[:2048])).T
        varying = whole.codec.query_tables(asked).exact.var(axis=2).mean(axis=0)
        tails = [varying[head - 1 :].sum() for head in (model.head, model.head - 8)]  # the gain's nibble is in the head
        assert tails[0] < 0.03 * scores.var(axis=1).mean() < tails[1]


def test_at_most_so_many_rows_are_used():
    x = np.zeros((TRAIN_ROWS + 1, 2), np.float32)
    x[:, 0] = np.arange(len(x))

    assert sample_rows(x[:-1], 0) is not None
    assert len(sample_rows(x[:-1], 0)) == len(sample_rows(x, 0)) == TRAIN_ROWS
    assert len(np.unique(sample_rows(x, 0)[:, 0])) == TRAIN_ROWS


@pytest.mark.parametrize("nothing", [np.empty((0, 48)), np.empty(0), np.array(3.0)])
def test_nothing_to_train_on(nothing):
    with pytest.raises(InputError, match="expected at least one row to train on, got none"):
        IndexLPLR(48).train(nothing)


def test_the_randomized_basis_serves_as_well():
    """Few bits of many dimensions: the basis is randomized, and the code no worse than with the exact one."""
    from lplr_index import basis

    x = low_rank_vectors(500, 300)

    def missed(model):
        return np.linalg.norm(x - model.decode(model.encode(x)))

    randomized = missed(train_auto(x, 2, l2=False, seed=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(basis, "_OVERSAMPLE", 300)
        exact = missed(train_auto(x, 2, l2=False, seed=0))

    assert randomized < 1.01 * exact
