"""model.py: what rows become and come back as; the codec under it is in test_codecs_scalar.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import naive
from indexes import EVERY_KIND, EVERY_SCAN, STAGED, queries, rows, trained
from lplr_index.arrays import as_rows
from lplr_index.codecs import ScalarCodec
from lplr_index.errors import InputError
from lplr_index.gains import Gain
from lplr_index.norms import Norm


@pytest.mark.parametrize(("metric", "kind"), EVERY_SCAN)
def test_bytes_of_a_row(metric, kind):
    """Nibbles, stages, a gain of a byte, the norm, each where the class says, and the norm that of the reconstruction.

    A gain of four bits is the last nibble of the head.
    """
    model, x = trained(metric, kind).model, as_rows(rows(100), 48, cosine=metric == "cosine")[0]
    x = np.concatenate([x, np.zeros_like(x[:1])])

    codes = model.encode(x)

    bits, norm, half, stages = model.gain.bits, metric == "l2", model.codec.nibbles // 2, model.codec.stages
    if kind in STAGED:
        assert (stages, bits, model.head) == STAGED[kind]
    assert ((bits > 0) == kind.startswith("auto")) or kind in STAGED
    bytes_of_norm = model.norm.bits // 8
    assert bytes_of_norm in ((1, 2) if norm else (0,))
    assert codes.shape == (101, model.code_size)
    assert model.code_size == half + stages + (bits == 8) + bytes_of_norm
    tail = 0 if model.head is None else 2 * half - model.head
    assert model.form == (2 * half, stages + (bits == 8) + (bytes_of_norm == 1), bytes_of_norm == 2, tail)
    y = x - model.mu if model.R is None else (x - model.mu) @ naive_encoder(model)
    L = model.codec.decode(np.ascontiguousarray(codes[:, : half + stages]))
    nearest = model.codec.decode(model.codec.encode(np.ascontiguousarray(y, np.float32)))
    assert (nearest != L).mean() < 1e-2  # but for sums that round differently at the edge between two levels
    x_hat = model.mu + (L if model.R is None else L.astype(float) @ model.R)
    if bits:
        gains = codes[:, half - tail // 2 - 1] >> 4 if bits == 4 else codes[:, half + stages]
        np.testing.assert_array_equal(model.gain_codes(codes), gains)
        lengths = np.linalg.norm(x.astype(float), axis=1)
        wanted = model.gain.wanted(lengths / np.linalg.norm(x_hat, axis=1))
        inside = (gains > 1) & (gains < (1 << bits) - 1)
        assert inside.mean() > 0.7
        numbers = (wanted - model.gain.least) / model.gain.step
        np.testing.assert_allclose(gains[inside], numbers[inside], atol=0.51)
        assert gains[100] == 0
        x_hat *= model.gain.decode(gains)[:, None]
    if norm:
        nearest = model.norm.encode(np.linalg.norm(x_hat, axis=1))
        assert (codes[:, -bytes_of_norm:] == nearest).all(axis=1).mean() > 0.9  # but for other roundings
    np.testing.assert_allclose(model.decode(codes), x_hat, atol=1e-5 * np.abs(x_hat).max())
    np.testing.assert_allclose(
        model.norms(L), naive.row_norms(L, np.eye(48) if model.R is None else model.R, model.mu), rtol=1e-4
    )


def naive_encoder(model):
    return model.encoder.astype(float) if model.encoder is not None else np.linalg.pinv(model.R.astype(float))


@pytest.mark.parametrize(("metric", "kind"), EVERY_KIND)
def test_queries_are_projected(metric, kind):
    model, xq = trained(metric, kind).model, queries(5)

    y = model.project(xq)

    np.testing.assert_allclose(y, xq if model.R is None else xq @ model.R.T.astype(float), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.offsets(xq), xq.astype(float) @ model.mu, rtol=1e-5, atol=1e-6)
    assert model.d == 48
    assert kind.startswith("auto") == bool(model.mu.any())


def test_the_digest_tells_models_apart():
    model = trained("l2").model
    scalar = model.codec.scalar
    changes = [
        {"mu": model.mu + np.float32(1)},
        {"R": model.R[:, ::-1]},
        {"encoder": np.ones((48, model.codec.m), np.float32)},
        {"gain": replace(model.gain, step=0.5)},
        {"gain": replace(model.gain, power=0.5)},
        {"gain": replace(model.gain, power=0.5, usual=2.0)},
        {"gain": Gain(4, 0.5, model.gain.step)},
        {"gain": Gain(4, 0.6, model.gain.step)},
        {"norm": Norm(16, 0.5)},
        {"norm": Norm(8, 0.5, 0.1, 1.0)},
        {"norm": Norm(8, 0.5, 0.2, 1.0)},
        {"norm": Norm(8, 0.5, 0.2, 1.1)},
        {"codec": replace(model.codec, nibbles=model.codec.nibbles + 2)},
        {"codec": replace(model.codec, unit=model.codec.unit * 2)},
        {"codec": replace(model.codec, book=model.codec.book * 2)},
        {"codec": replace(model.codec, places=model.codec.places[::-1])},
        {"codec": replace(model.codec, scalar=replace(scalar, levels=scalar.levels * 2))},
        {"codec": replace(model.codec, scalar=replace(scalar, fields=scalar.fields[::-1]))},
    ]

    digests = [replace(model, **change).digest for change in changes]

    assert len({model.digest, *digests}) == len(changes) + 1
    assert replace(model).digest == model.digest


def test_bytes_of_a_model():
    model = trained("l2", "lplr-4").model
    arrays = [model.mu, model.R, model.encoder, model.codec.bits, model.codec.levels, model.codec.fields]

    assert model.nbytes == sum(array.nbytes for array in arrays)
    assert trained("l2", "nq-1").model.nbytes == 48 * (4 + 1 + 8 + 20)


SPENT = ScalarCodec.build([np.arange(16, dtype=np.float32)] * 48, np.ones(48))  # to the last nibble


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mu": np.zeros(47, np.float32)}, "expected R finite and of shape"),
        ({"mu": np.full(48, np.nan, np.float32)}, "expected mu finite and of shape"),
        ({"R": np.zeros((3, 48), np.float32)}, "expected R finite and of shape"),
        ({"R": None}, "expected 48 columns where R is the identity, got"),
        ({"encoder": np.zeros((3, 48), np.float32)}, "expected encoder finite and of shape"),
        ({"gain": Gain(8, step=np.nan)}, "expected finite gains >= 0 in 0, 4, 8 bits, got"),
        ({"codec": SPENT}, "expected nibble 47 free for gains of 4 bits, got a code"),
        ({"head": 12}, "expected a head of eights below 8 nibbles, got 12"),
        ({"head": 0}, "expected a head of eights below 8 nibbles, got 0"),
        ({"norm": Norm(16, np.inf)}, "expected finite norms >= 0 in 0, 8, 16 bits, got"),
    ],
)
def test_parts_that_do_not_fit_together(change, message):
    model = trained("l2", "auto-1").model
    if "codec" in change:
        model = replace(model, R=None)
    else:
        model.check()

    with pytest.raises(InputError, match=message):
        replace(model, **change).check()
