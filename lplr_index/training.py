"""How a model is learned from a sample of rows.

``train_auto`` is the product's own method: centre, energy-ordered orthogonal basis, bits per column by reverse
water-filling, Lloyd-Max levels per column, and R refitted by least squares against the quantized L, as LPLR does.
``train_published`` takes a factorization of the paper as it stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.allocation import water_fill
from lplr_index.arrays import FloatMatrix
from lplr_index.basis import energy_basis, right_inverse
from lplr_index.codecs import ScalarCodec
from lplr_index.errors import InputError
from lplr_index.factorization import factorize
from lplr_index.gains import NO_GAIN, Gain
from lplr_index.linalg import RESOLUTION, least_squares, single_threaded
from lplr_index.lloyd import lloyd_max
from lplr_index.model import Model
from lplr_index.products import Product
from lplr_index.settings import Settings

TRAIN_ROWS = 65536  # rows a model is learned from; of more, a seeded choice
_RANKING_WEIGHT = 1.2  # power of the energy in water-filling: above 1, because least error is not best ranking
_REFITS = 2  # of R against the quantized L, each followed by new levels
_LEAST = 1e-300  # of what is divided by


def train(x: FloatMatrix, settings: Settings) -> Model:
    """Learn what ``settings`` ask for from the sample x (n, d), normalised already under cosine.

    Raises
    ------
    InputError
        If there are fewer rows than the rank asked for.
    """
    norms = settings.metric == "l2"
    if settings.method == "auto":
        return train_auto(x, settings.code_bytes, norms=norms, seed=settings.seed)
    return train_published(x, settings, norms=norms)


def train_auto(x: FloatMatrix, nbytes: int, *, norms: bool, seed: int) -> Model:
    """Learn a model with codes of ``nbytes`` bytes and one byte of gain.

    Parameters
    ----------
    x : ndarray of shape (n, d), float32
        The sample.
    nbytes : int
        Bytes of a row's code, scalars not counted.
    norms : bool
        Whether rows store their norm (L2).
    seed : int
        Of the randomized basis.
    """
    mu = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    A = x - mu
    energies, basis = energy_basis(A, 8 * nbytes, seed)
    present = max(1, int((energies > RESOLUTION**2 * energies[0]).sum()))  # the rest is rounding of the input
    bits = water_fill((energies[:present] / max(energies[0], _LEAST)) ** _RANKING_WEIGHT, 8 * nbytes)
    order = np.argsort(-bits.astype(int), kind="stable")[: int((bits > 0).sum())]
    bits, encoder = bits[order], np.ascontiguousarray(basis[:, order])
    for _ in range(_REFITS):
        y = Product(encoder)(A)
        levels = [lloyd_max(y[:, j], int(b)) for j, b in enumerate(bits)]
        codec = ScalarCodec.build(levels, y.std(axis=0, dtype=np.float64), nbytes)
        R = refit(codec.decode(codec.encode(y)), A)
        encoder = right_inverse(R)
    return _with_scalars(Model(mu, R, None, codec), x, gains=True, norms=norms)


def train_published(x: FloatMatrix, settings: Settings, *, norms: bool) -> Model:
    """Take the paper's factorization of the sample: its encoder, its grid, its R rounded to its bits; no gain.

    Parameters
    ----------
    x : ndarray of shape (n, d), float32
        The sample.
    settings : Settings
        Method, rank, bits and seed.
    norms : bool
        Whether rows store their norm (L2).

    Raises
    ------
    InputError
        If there are fewer rows than the rank asked for.
    """
    method, nbits = settings.method, settings.nbits
    if method != "nq" and len(x) < settings.rank:
        raise InputError(f"expected at least {settings.rank} training rows for rank {settings.rank}, got {len(x)}")
    bits_R, seed = settings.nbits_R, settings.seed
    plain = method == "nq"
    factors = factorize(x, method, rank=None if plain else settings.rank, nbits=nbits, nbits_R=bits_R, seed=seed)
    codes = np.tile(np.arange(1 << nbits, dtype=np.uint8)[:, None], (1, factors.rank))
    grid = factors.quantizer_L.decode(codes)
    levels = [np.ascontiguousarray(column, dtype=np.float32) for column in grid.T]
    R, encoder = (None, None) if plain else (factors.R, factors.encoder)
    spread = (x if encoder is None else Product(encoder)(x)).std(axis=0, dtype=np.float64)
    model = Model(np.zeros(x.shape[1], np.float32), R, encoder, ScalarCodec.build(levels, spread))
    return _with_scalars(model, x, gains=False, norms=norms)


def refit(L: FloatMatrix, A: FloatMatrix) -> FloatMatrix:
    """R (m, d) of least |A - L R|, for L (n, m) and A (n, d), rounded to float16 as files store it.

    Notes
    -----
    Step 3 of LPLR (Saha, Srivastava & Pilanci 2023, algorithm 1).
    """
    with single_threaded():
        return least_squares(L, A).astype(np.float16).astype(np.float32)


def _with_scalars(model: Model, x: FloatMatrix, *, gains: bool, norms: bool) -> Model:
    """Choose the steps in which gains and norms of rows like ``x`` are stored."""
    probe = x[: 1 << 14]
    hats = model.norms(model.codec.decode(model.encode(probe)))
    lengths: npt.NDArray[np.float64] = np.sqrt(np.square(probe, dtype=np.float64).sum(axis=1))
    gain = Gain.fit(lengths, hats, bits=8, power=1.0) if gains else NO_GAIN
    norm_unit = max(float(np.mean((lengths if gains else hats) ** 2)), _LEAST) if norms else 0.0
    return replace(model, gain=gain, norm_unit=norm_unit)


def sample_rows(x: npt.NDArray[Any], seed: int) -> npt.NDArray[Any]:
    """At most TRAIN_ROWS rows of x (n, d), a seeded choice over all of it, in their order.

    Raises
    ------
    InputError
        If there are no rows.
    """
    if not (x.ndim and len(x)):
        raise InputError("expected at least one row to train on, got none")
    if len(x) <= TRAIN_ROWS:
        return x
    chosen = np.random.default_rng(seed).choice(len(x), TRAIN_ROWS, replace=False)
    return np.ascontiguousarray(x[np.sort(chosen)])
