"""One way to train ``auto``, with every choice spelt out: ``Recipe`` says what, ``fit`` does it.

The steps, for centred rows A (n, d):

1. a metric: A E, in which squared error is what ranking asks for (CALDERA's H^(1/2));
2. centroids of the rows there, none to eight stages;
3. the energy basis V of what they leave: y = A E V, columns by falling energy;
4. nibbles shared out among the columns by measured distortions;
5. scalar levels and the chain's books, trained.

LPLR quantizes L on a given grid and then refits R by least squares, which repairs what quantization broke. Here it is
the levels that are refitted to the rows while R stays, in every turn of step 5; both together are one alternation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, as_half, some_rows
from lplr_index.auto.books import train_chain
from lplr_index.auto.centroids import grow_stages, refit_stages
from lplr_index.auto.shapes import LARGEST, Pattern, Shape, measure_shapes
from lplr_index.auto.shares import Option, Shares, share_nibbles
from lplr_index.basis import energy_basis, right_inverse
from lplr_index.codecs import Centroids, ScalarCodec
from lplr_index.codecs.trellis import TrellisCodec
from lplr_index.linalg import column_energies, least_squares, single_threaded
from lplr_index.lloyd import lloyd_max
from lplr_index.products import Product
from lplr_index.threads import by_rows

_MANY = 16  # rows a coordinate, from which a sample's energies are taken as they are
_MOST = 4.0  # energies are corrected by at most
_FEW = 1000  # rows: with fewer, shapes are measured on Gaussian numbers
_TRAIN_ROWS = 1 << 15  # that levels and books are trained on
_TURNS = 64  # of a group, all groups counted, that books are given at the least: short chains have large groups
_SCALAR_ROWS, _SCALAR_VALUES = 4096, 1 << 16  # on which distortions of scalar codes are measured
_SCALAR = ((3, 4, 3), (5, 4, 5), (6, 2, 3), (7, 4, 7), (8, 1, 2))  # bits, columns, and the nibbles that hold them
# Scalar codes of 3 and 5 bits are worse than patterns: for columns too few to measure those on, or if not ``mixed``.


@dataclass(frozen=True)
class Recipe:
    """What training may choose.

    Attributes
    ----------
    power : float
        Distortion in a direction of energy e costs e**(power - 1): at 1 squared error is minimised; above 1 errors
        in directions that neighbours and queries share count more.
    stages : int
        Centroid bytes of a row.
    gain_bits : int
        0, 4 or 8.
    gain_power : float
        See ``gains.Gain``.
    norm_bits : int
        8 or 16, under L2: see ``norms.Norm``.
    rounds : int
        Turns of encoding and fitting of the books; more for chains of a few groups.
    window : int
        8, or 4 for a chain whose levels do not look back.
    mixed : bool
        Also use patterns of groups of different sizes.
    even : bool
        Give all columns the same, instead of sharing by energy.
    refit : bool
        Fit R once more to the quantized L, as LPLR does. The books are fitted to R, so there is nothing left to gain.
    query_share : float
        How much of the metric's second moment is the queries', 0 to 1, where queries are known.
    """

    power: float = 1.65
    stages: int = 1
    gain_bits: int = 4
    gain_power: float = 0.75
    norm_bits: int = 16
    rounds: int = 4
    window: int = 8
    mixed: bool = True
    even: bool = False
    refit: bool = False
    query_share: float = 0.0


@dataclass(frozen=True)
class Fit:
    """What training finds.

    Attributes
    ----------
    R : ndarray of shape (m, d), float32
        Rounded to float16, as files store it.
    encoder : ndarray of shape (d, m), float32, or None
        y = (x - mu) encoder is what the codec encodes; the right inverse of R where None.
    codec : TrellisCodec
        The code of y.
    recipe : Recipe
        What it was trained by.
    shapes : dict of pattern to Shape
        What was measured on the way.
    grown : Centroids
        Centroids before they were refitted together.
    """

    R: FloatMatrix
    encoder: FloatMatrix | None
    codec: TrellisCodec
    recipe: Recipe
    shapes: dict[Pattern, Shape]
    grown: Centroids


def fit(
    A: FloatMatrix,
    metric: npt.NDArray[np.float64],
    recipe: Recipe,
    nbytes: int,
    seed: int,
    before: Fit | None = None,
) -> Fit:
    """Train by a recipe.

    Parameters
    ----------
    A : ndarray of shape (n, d), float32
        Centred rows.
    metric : ndarray of shape (d, r), float64
        E of step 1, as ``metrics`` makes it.
    recipe : Recipe
        The choices.
    nbytes : int
        Bytes of a row's code, a gain of four bits included.
    seed : int
        Of everything random.
    before : Fit, optional
        Of the same rows, by another recipe: what both have in common is not found again.
    """
    nibbles = 2 * (nbytes - recipe.stages) - (recipe.gain_bits == 4)
    weighed = by_rows(Product(as_half(metric)), A)
    rows = A if recipe.refit else None
    del A  # as large as the sample
    same = before is not None and recipe == replace(
        before.recipe, stages=recipe.stages, gain_power=recipe.gain_power, norm_bits=recipe.norm_bits
    )
    grown = grow_stages(weighed, recipe.stages, seed, before.grown if before and same else None)
    centroids = refit_stages(weighed, grown)
    rest = by_rows(centroids.left, weighed)
    del weighed  # as large as the sample
    energies, basis = energy_basis(rest, min(rest.shape[1], nibbles * LARGEST), seed)
    y = by_rows(Product(basis), rest)
    shapes = before.shapes if before else _shapes(y)
    options = _even(shapes, len(energies) / nibbles) if recipe.even else _options(y, shapes, mixed=recipe.mixed)
    shares = share_nibbles(honest_energies(rest, energies, seed), options, nibbles)
    del rest  # as large as the sample
    coded = np.concatenate([shares.scalar, shares.chained])
    tail = np.setdiff1d(np.arange(len(energies)), coded)  # reached by centroids alone
    order = np.concatenate([coded, tail if recipe.stages else tail[:0]])
    with single_threaded():
        R = as_half(np.linalg.pinv(metric @ basis[:, order].astype(np.float64)))
        turned = centroids.table @ basis[:, order]
    codec = _train_codec(y[:, order], turned, shares, shapes, recipe, nbytes, seed)
    if rows is None:
        return Fit(R, None, codec, recipe, shapes, grown)
    encoder = right_inverse(R)
    with single_threaded():
        R = as_half(least_squares(codec.decode(codec.encode(Product(encoder)(rows))), rows))
    return Fit(R, encoder, codec, recipe, shapes, grown)


def _train_codec(
    y: FloatMatrix,
    centroids: FloatMatrix,
    shares: Shares,
    shapes: dict[Pattern, Shape],
    recipe: Recipe,
    nbytes: int,
    seed: int,
) -> TrellisCodec:
    """Levels and books for residuals y (n, m), columns in the codec's order."""
    first, last = len(shares.scalar), len(shares.scalar) + len(shares.chained)
    rows = some_rows(y, _TRAIN_ROWS, seed)
    levels = [lloyd_max(rows[:, j], int(bits)) for j, bits in enumerate(shares.bits)]
    spread = np.sqrt(column_energies(rows))
    start = np.concatenate([np.zeros((0, 2, 16)), *(shapes[pattern].book for pattern in shares.patterns)])
    rounds = recipe.rounds and max(recipe.rounds, _TURNS // max(len(shares.sizes), 1))
    chain = train_chain(np.ascontiguousarray(rows[:, first:last]), shares.sizes, start, rounds, recipe.window)
    return TrellisCodec.build(
        centroids=centroids,
        scalar=ScalarCodec.build(levels, spread[:first]) if levels else None,
        chain=chain,
        spread=spread,
        nbytes=nbytes,
        spare=recipe.gain_bits == 4,
    )


def honest_energies(rest: FloatMatrix, energies: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """Energies as rows to come will have them: a small sample finds more in its first directions than there is.

    Parameters
    ----------
    rest : ndarray of shape (n, r), float32
        The sample.
    energies : ndarray of shape (m,)
        Of the sample along its own basis, not increasing.
    seed : int
        Of a randomized basis.

    Notes
    -----
    Half of the sample is measured along the basis of the other half. The excess of a basis of all rows is smaller by
    the square root of two, the way random matrices spread (Marchenko & Pastur 1967).
    """
    if len(rest) < 2 or len(rest) >= _MANY * rest.shape[1]:
        return energies
    found, basis = energy_basis(np.ascontiguousarray(rest[::2]), len(energies), seed)
    others = column_energies(Product(basis)(np.ascontiguousarray(rest[1::2])))
    count = min(len(energies), len(found))
    ratio = np.divide(others, found, out=np.ones_like(found), where=found > 0)[:count]
    corrected = energies.copy()
    corrected[:count] *= np.clip(ratio, 1 / _MOST, _MOST) ** np.sqrt(0.5)
    return np.minimum.accumulate(corrected)


def _shapes(y: FloatMatrix) -> dict[Pattern, Shape]:
    """Shapes measured on rows y (n, m), or on Gaussian ones where rows are too few, or too much alike, to tell."""
    if len(y) >= _FEW and y.any():
        return measure_shapes(y)
    return _gaussian_shapes(y.shape[1])


@lru_cache(maxsize=16)
def _gaussian_shapes(columns: int) -> dict[Pattern, Shape]:
    """Shapes measured on Gaussian numbers."""
    return measure_shapes(np.random.default_rng(0).standard_normal((_FEW, columns)).astype(np.float32))


def _options(y: FloatMatrix, shapes: dict[Pattern, Shape], *, mixed: bool) -> list[Option]:
    """Ways to code columns, with the distortion each has on columns of unit variance like those of y (n, m)."""
    used = [shape for shape in shapes.values() if mixed or len(shape.pattern) == 1]
    options = [Option.chained(shape.pattern, shape.distortion) for shape in used]
    rows = y[:_SCALAR_ROWS, : max(1, _SCALAR_VALUES // min(len(y), _SCALAR_ROWS))].astype(np.float64)
    spread = np.sqrt(column_energies(rows))
    values = (rows[:, spread > 0] / spread[spread > 0]).reshape(-1).astype(np.float32)
    for bits, columns, nibbles in _SCALAR:
        if len(values):
            levels = lloyd_max(values, bits)
            error = np.square(values - levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, values)]).mean()
            options.append(Option(columns, nibbles, bits, float(error)))
    return options


def _even(shapes: dict[Pattern, Shape], columns: float) -> list[Option]:
    """The one size of group that gives about ``columns`` columns to every nibble."""
    pattern = min((one for one in shapes if len(one) == 1), key=lambda one: abs(one[0] - columns))
    return [Option.chained(pattern, shapes[pattern].distortion)]
