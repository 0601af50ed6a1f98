"""How a model is learned from a sample of rows.

``train_auto`` is the product's own method, see ``auto``. ``train_published`` takes a factorization of the paper as it
stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lplr_index import kernels
from lplr_index.arrays import FloatMatrix, as_array, as_rows, some_rows
from lplr_index.auto import Metrics, Recipe, choose, fit, with_unseen_directions
from lplr_index.coarse import Coarse
from lplr_index.codecs import ScalarCodec
from lplr_index.errors import InputError
from lplr_index.factorization.low_rank import low_rank
from lplr_index.gains import NO_GAIN, Gain
from lplr_index.linalg import single_threaded
from lplr_index.listmodel import ListModel
from lplr_index.model import Model
from lplr_index.norms import Norm
from lplr_index.products import Product
from lplr_index.settings import Settings

TRAIN_ROWS = 65536  # rows a model is learned from; of more, a seeded choice

RESIDUAL = Recipe(power=1.3, stages=0, gain_power=0.5)
"""Of what centroids of lists leave, which centroid bytes find no more in: see docs/ivf.md."""

AnyModel = TypeVar("AnyModel", bound=Model)

_TAIL = 0.03  # of the variance of scores, that tails may leave open,
_MOST = 0.8  # unless heads would have more than that of the nibbles
_SCORED, _ASKED = 1 << 11, 1 << 6  # rows, and queries like rows, that this is measured with


def train(x: FloatMatrix, settings: Settings, queries: FloatMatrix | None = None) -> Model:
    """Learn what ``settings`` ask for from the sample x (n, d), and queries (nq, d), normalised already under cosine.

    Raises
    ------
    InputError
        If there are fewer rows than the rank asked for.
    """
    if settings.method == "auto":
        l2 = settings.metric == "l2"
        model = train_auto(x, settings.code_size, l2=l2, seed=settings.seed, queries=queries)
    else:
        model = train_published(x, settings)
    return with_head(model, x)


def train_auto(
    x: FloatMatrix,
    nbytes: int,
    *,
    l2: bool,
    seed: int,
    queries: FloatMatrix | None = None,
    recipe: Recipe | None = None,
) -> Model:
    """Learn a model with rows of ``nbytes`` bytes.

    Parameters
    ----------
    x : ndarray of shape (n, d), float32
        The sample.
    nbytes : int
        Bytes of a row, its gain and its norm included.
    l2 : bool
        Whether rows store their norm.
    seed : int
        Of everything random.
    queries : ndarray of shape (nq, d), float32, optional
        Queries like those to come.
    recipe : Recipe, optional
        Choices; made by recall on held-out rows where None.
    """
    recipe = recipe or choose(x, queries, nbytes, l2=l2, seed=seed)
    norm_bits = recipe.norm_bits if l2 else 0
    model = _fitted(x, queries, recipe, nbytes - norm_bits // 8, seed)
    return _with_scalars(model, x, recipe.gain_bits, recipe.gain_power, norm_bits)


def train_lists(x: FloatMatrix, settings: Settings, coarse: Coarse, recipe: Recipe = RESIDUAL) -> ListModel:
    """Learn a code for what the centroids of lists leave of rows like the sample x (n, d).

    Parameters
    ----------
    x : ndarray of shape (n, d), float32
        The sample, normalised already under cosine, that the centroids are the means of.
    settings : Settings
        Bytes of a row, metric and seed.
    coarse : Coarse
        The lists.
    recipe : Recipe
        Choices, made once and for all: there are no neighbours among residuals to choose by.
    """
    norm_bits = recipe.norm_bits if settings.metric == "l2" else 0
    rest = coarse.left(x)
    code = _fitted(rest, None, recipe, settings.code_size - norm_bits // 8, settings.seed)
    model = ListModel(code.mu, code.R, code.encoder, code.codec, coarse=coarse)
    return _with_scalars(model, x, recipe.gain_bits, recipe.gain_power, norm_bits)


def _fitted(x: FloatMatrix, queries: FloatMatrix | None, recipe: Recipe, nbytes: int, seed: int) -> Model:
    """A model by a recipe with rows of ``nbytes`` bytes, norms aside, whose scalars are still to be chosen."""
    mu = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    A = with_unseen_directions(x - mu, seed)
    metric = Metrics(A, queries, nbytes, seed)(recipe)
    found = fit(A, metric, recipe, nbytes - (recipe.gain_bits == 8), seed)
    return Model(mu, found.R, found.encoder, found.codec)


def train_published(x: FloatMatrix, settings: Settings) -> Model:
    """Take the paper's factorization of the sample: its encoder, its grid, its R rounded to its bits; no gain.

    Parameters
    ----------
    x : ndarray of shape (n, d), float32
        The sample.
    settings : Settings
        Method, rank, bits and seed.

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
    factors = low_rank(x, method, seed, rank=None if plain else settings.rank, nbits=nbits, nbits_R=bits_R)
    codes = np.tile(np.arange(1 << nbits, dtype=np.uint8)[:, None], (1, factors.rank))
    grid = factors.quantizer_L.decode(codes)
    levels = [np.ascontiguousarray(column, dtype=np.float32) for column in grid.T]
    R, encoder = (None, None) if plain else (factors.R, factors.encoder)
    spread = (x if encoder is None else Product(encoder)(x)).std(axis=0, dtype=np.float64)
    model = Model(np.zeros(x.shape[1], np.float32), R, encoder, ScalarCodec.build(levels, spread))
    return _with_scalars(model, x, 0, 1.0, 16 if settings.metric == "l2" else 0)


def _with_scalars(model: AnyModel, x: FloatMatrix, gain_bits: int, gain_power: float, norm_bits: int) -> AnyModel:
    """Choose what the codes of gains and norms mean, for rows like ``x``."""
    probe = x[: 1 << 14]
    hats = model.plain_lengths(model.plain_codes(probe))
    lengths: npt.NDArray[np.float64] = np.sqrt(np.square(probe, dtype=np.float64).sum(axis=1))
    gain = Gain.fit(lengths, hats, gain_bits, gain_power) if gain_bits else NO_GAIN
    if gain_bits:
        hats = hats * gain.decode(gain.encode(lengths, hats))
    return replace(model, gain=gain, norm=Norm.fit(hats, norm_bits))


def with_head(model: Model, x: FloatMatrix) -> Model:
    """Choose which nibbles lie in the heads of blocks: as few as tell most of what scores vary by.

    Parameters
    ----------
    model : Model
        Whose rows lie whole.
    x : ndarray of shape (n, d), float32
        Rows like those to come; queries are often like rows.

    Notes
    -----
    Tails leave open what the margin of a search is counted in: how their entries of a query's tables vary.
    """
    codec, asked = model.codec, model.project(x[-_ASKED:])
    tables = codec.query_tables(np.ascontiguousarray(asked))
    varying = tables.deficits.reshape(len(asked), -1, 16).var(axis=2) * tables.scale[:, None] ** 2
    varying = varying.mean(axis=0) * 4.0 ** np.repeat(codec.shifts, kernels.layout.GROUP)[: codec.nibbles]
    if model.gain.bits == 4:
        varying = np.roll(varying, 1)  # the last nibble, which is free, moves to the head: tails begin a nibble sooner
    with single_threaded():
        scores = codec.decode(model.plain_codes(x[:_SCORED])) @ asked.T
    left = varying[::-1].cumsum()[::-1][:: kernels.layout.GROUP]  # if heads ended there
    enough = _TAIL * float(scores.var(axis=0, dtype=np.float64).mean())
    head = kernels.layout.GROUP * max(int((left > enough).sum()), 1)
    if head > _MOST * codec.nibbles:
        return model
    return replace(model, codec=codec.freed(head - 1) if model.gain.bits == 4 else codec, head=head)


def sample_queries(queries: npt.ArrayLike, settings: Settings) -> FloatMatrix:
    """At most TRAIN_ROWS queries of (nq, d) to train with, normalised under cosine.

    Raises
    ------
    InputError
        If there are fewer than two, or the method does not know any.
    """
    if settings.method != "auto":
        raise InputError(f"expected queries for auto alone, got them for {settings.method}")
    given = as_array(queries, name="queries")
    if given.ndim != 2 or len(given) < 2:
        raise InputError(f"expected at least two queries, of shape (nq, {settings.d}), got shape {given.shape}")
    chosen = sample_rows(given, settings.seed)
    return as_rows(chosen, settings.d, cosine=settings.metric == "cosine", name="queries")[0]


def sample_rows(x: npt.NDArray[Any], seed: int) -> npt.NDArray[Any]:
    """At most TRAIN_ROWS rows of x (n, d), a seeded choice over all of it, in their order.

    Raises
    ------
    InputError
        If there are no rows.
    """
    if not (x.ndim and len(x)):
        raise InputError("expected at least one row to train on, got none")
    return some_rows(x, TRAIN_ROWS, seed)
