"""What tests of the index share: small indexes of every kind, and what results of a search must be."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache

import numpy as np

import naive
from conftest import low_rank_vectors
from lplr_index import IndexLPLR
from lplr_index.arrays import as_rows
from lplr_index.auto import Recipe
from lplr_index.coarse import Coarse
from lplr_index.gains import Gain
from lplr_index.ivf import IndexIVFLPLR
from lplr_index.metric import METRICS, worst_distance
from lplr_index.model import Model
from lplr_index.norms import Norm
from lplr_index.settings import Settings
from lplr_index.training import RESIDUAL, train_auto, train_lists
from staged import StagedCodec

D_SMALL = 48

# Of every method, and of auto columns within one nibble, beside others in a nibble, and over two nibbles.
KINDS = {
    "auto-1": {"bits": 1.0},
    "auto-2": {"bits": 2.0},
    "auto-5": {"bits": 5.0},
    "lplr-4": {"method": "lplr", "bits": 2.0},
    "lplr-3": {"method": "lplr", "rank": 13, "nbits": 3},
    "lsvd-8": {"method": "lsvd", "rank": 11, "nbits": 8, "nbits_R": 16},
    "dsvd-5": {"method": "dsvd", "rank": 9, "nbits": 5},
    "nq-1": {"method": "nq", "nbits": 1},
    "nq-4": {"method": "nq", "nbits": 4},
    "auto-stages": {"bits": 1.5},
    "auto-norm": {"bits": 2.0},
}
# What auto would choose for more rows, or other ones.
RECIPES = {"auto-stages": Recipe(stages=2), "auto-norm": Recipe(stages=0, norm_bits=8)}
EVERY_KIND = [(metric, kind) for metric in METRICS for kind in KINDS]
# Of a codec with so many stages, and gains of so many bits: no method of the package, but all that the scan knows.
STAGED = {f"staged-{stages}-{bits}": (stages, bits, None) for stages in (0, 1, 2) for bits in (0, 4, 8)}
# The same with tails.
STAGED |= {f"tails-{stages}-{bits}": (stages, bits, 8 * (1 + stages)) for stages, bits in ((0, 0), (0, 4), (1, 8))}
EVERY_SCAN = EVERY_KIND + [(metric, kind) for metric in METRICS for kind in STAGED]
ONE_OF_EACH_METHOD = ("auto-2", "lplr-4", "lsvd-8", "dsvd-5", "nq-4")


@cache
def _trained(metric, kind):
    if kind in STAGED:
        return _staged(metric, *STAGED[kind])
    index = IndexLPLR(D_SMALL, metric=metric, **KINDS[kind])
    if kind in RECIPES:
        x = as_rows(training_rows(), D_SMALL, cosine=metric == "cosine")[0]
        asked = index.settings
        model = train_auto(x, asked.code_size, l2=metric == "l2", seed=0, recipe=RECIPES[kind])
        return IndexLPLR.restored(asked, model, None)
    index.train(training_rows())
    return index


def _staged(metric, stages, bits, head):
    x = as_rows(training_rows(), D_SMALL, cosine=metric == "cosine")[0]
    mu = x.mean(axis=0)
    codec = StagedCodec.of(x - mu, 22, stages, spare=bits == 4)
    model = Model(mu, None, None, codec)
    lengths, norms = np.linalg.norm(x.astype(float), axis=1), model.norms(codec.decode(codec.encode(x - mu)))
    if bits:
        model = replace(model, gain=Gain.fit(lengths, norms, bits, power=0.7))
    if metric == "l2":
        model = replace(model, norm=Norm.fit(lengths, 16 if bits == 8 else 8))
    if head:
        model = replace(model, codec=codec.freed(head - 1) if bits == 4 else codec, head=head)
    settings = Settings.of(D_SMALL, 4.0, metric, "auto", None, None, 8, 0)
    return IndexLPLR.restored(replace(settings, code_size=model.code_size), model, None)


def trained(metric="cosine", kind="auto-2"):
    """Return an empty index of 48 dimensions that knows its data."""
    index = copy.copy(_trained(metric, kind))
    index.reset()
    return index


def filled(metric="cosine", kind="auto-2", n=200, ids=None):
    """Return such an index with the first ``n`` rows of ``rows(n)``."""
    index = trained(metric, kind)
    if ids is None:
        index.add(rows(n))
    else:
        index.add_with_ids(rows(n), ids)
    return index


def in_lists(metric="cosine", n=0, nlist=12, bits=2.0, recipe=RESIDUAL):
    """Return an index in lists, whose centroids are rows, with the first ``n`` rows of ``rows(n)``."""
    model, settings = _in_lists(metric, nlist, bits, recipe)
    index = IndexIVFLPLR.of_lists(settings, model, None, nlist, 3)
    if n:
        index.add(rows(n))
    return index


@cache
def _in_lists(metric, nlist, bits, recipe):
    settings = IndexLPLR(D_SMALL, bits, metric).settings
    x = as_rows(training_rows(), D_SMALL, cosine=metric == "cosine")[0]
    return train_lists(x, settings, Coarse(x[:nlist].copy(), metric), recipe), settings


def training_rows():
    """Return what indexes are trained on: few enough for auto to take its plain recipe at once."""
    return _vectors()[:1000]


def rows(n):
    """Return the first of 3000 rows of which none was trained on."""
    return _vectors()[1500 : 1500 + n]


def queries(nq=21):
    """Return queries that are no rows; 21 are several tiles of the scan and a single one."""
    return _vectors()[4500 : 4500 + nq]


@cache
def _vectors():
    x = low_rank_vectors(7000, D_SMALL)
    x.flags.writeable = False
    return x


def check_results(index, xq, k, results, allowed=None):
    """Compare D and I (nq, k) of a search with every row's score in float64.

    Scores are float32 sums, so two rows that score nearly the same may come in either order.
    Nothing else is forgiven.
    """
    D, I = results
    assert D.shape == I.shape == (len(xq), k)
    assert (D.dtype, I.dtype) == (np.float32, np.int64)
    x_hat, norms = naive.reconstruct(index)
    exact = naive.scores(x_hat, norms, xq, index.metric)
    tolerance = 1e-5 * scale_of(x_hat, norms, xq, index.metric)
    ids = index.rows.ids.all()
    allowed = np.ones(len(ids), bool) if allowed is None else allowed
    found = min(k, int(allowed.sum()))
    assert (I[:, found:] == -1).all()
    assert (D[:, found:] == worst_distance(index.metric_type)).all()
    D, I = D[:, :found], I[:, :found]
    if found == 0:
        return
    order = np.argsort(ids)
    place = order[np.minimum(np.searchsorted(ids[order], I), len(ids) - 1)]
    assert np.array_equal(ids[place], I)
    assert allowed[place].all()
    assert all(len(set(row)) == found for row in I.tolist())
    np.testing.assert_allclose(D, np.take_along_axis(exact, place, axis=1), rtol=0, atol=tolerance)
    sign = -1 if index.metric == "l2" else 1
    np.testing.assert_allclose(sign * D, -np.sort(-sign * exact[:, allowed])[:, :found], rtol=0, atol=tolerance)
    keys = sign * D
    assert ((keys[:, 1:] < keys[:, :-1]) | ((keys[:, 1:] == keys[:, :-1]) & (I[:, 1:] > I[:, :-1]))).all()


def scale_of(x_hat, norms, xq, metric):
    """Return the magnitude that rounding errors of scores are relative to."""
    longest = np.linalg.norm(x_hat, axis=1).max(initial=0.0)
    query = 1.0 if metric == "cosine" else np.linalg.norm(xq, axis=1).max(initial=0.0)
    return query * longest if norms is None else max(query**2, np.abs(norms).max(initial=0.0), query * longest)
