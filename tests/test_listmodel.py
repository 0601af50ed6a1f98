"""The model of an index in lists: bytes with the list in front, and rows back as their definition has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import naive
from indexes import in_lists, rows
from lplr_index.arrays import as_rows
from lplr_index.coarse import Coarse
from lplr_index.errors import InputError
from lplr_index.listmodel import ListModel
from lplr_index.metric import METRICS
from lplr_index.model import Model


@pytest.mark.parametrize("metric", METRICS)
def test_rows_back(metric):
    index = in_lists(metric, 60)
    x_hat, norms = naive.reconstruct(index)
    codes = index.rows.codes(0, 60)

    np.testing.assert_allclose(index.model.decode(codes), x_hat, atol=1e-4)
    far, stored = index.model.reach(codes)
    centres = index.model.coarse.centroids[naive.lists_of(index)]
    np.testing.assert_allclose(far, np.linalg.norm(x_hat - centres, axis=1), atol=1e-4)
    np.testing.assert_allclose(stored + index.model.norm.unit, 0 if norms is None else norms, rtol=1e-5)


def test_gains_bring_rows_nearer_to_their_length():
    index = in_lists("ip", 200)
    x, _ = as_rows(rows(200), index.d, cosine=False)
    codes = index.model.plain_codes(x)

    plain = index.model.plain_lengths(codes)

    np.testing.assert_allclose(plain, np.linalg.norm(index.model.plain(codes), axis=1), rtol=1e-6)
    lengths = np.linalg.norm(x, axis=1)
    stretched = np.linalg.norm(index.model.decode(index.model.encode(x)), axis=1)
    assert np.square(stretched - lengths).sum() < np.square(plain - lengths).sum()


def test_what_decides_what_codes_mean_is_in_the_digest():
    model = in_lists().model
    others = [
        replace(model, coarse=Coarse(model.coarse.centroids[::-1], "cosine")),
        replace(model, coarse=Coarse(model.coarse.centroids, "ip")),
        replace(model, mu=model.mu + 1),
        Model(model.mu, model.R, model.encoder, model.codec, model.gain, model.norm),
    ]

    assert len({model.digest, *(other.digest for other in others)}) == 5
    assert replace(model).digest == model.digest
    assert model.nbytes == others[-1].nbytes + model.coarse.centroids.nbytes


def test_parts_have_to_fit():
    model = in_lists().model
    with pytest.raises(InputError, match="expected centroids of lists of 48 dimensions"):
        replace(model, coarse=Coarse(model.coarse.centroids[:, 1:], "l2")).check()
    with pytest.raises(InputError, match="expected mu finite"):
        ListModel(model.mu * np.nan, model.R, model.encoder, model.codec, coarse=model.coarse).check()
