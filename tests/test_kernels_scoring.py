"""kernels/scoring.py: exact keys beside their twin, and thresholds that let exactly the right rows pass."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from bounding import make_blocks, make_layout, make_queries, make_segments
from indexes import EVERY_SCAN, filled, queries
from lplr_index import scanning
from lplr_index.asking import ask
from lplr_index.kernels import scoring
from lplr_index.kernels.layout import MOST


@pytest.mark.parametrize(("metric", "kind"), EVERY_SCAN)
def test_keys_are_those_of_the_twin(rng, metric, kind):
    index = filled(metric, kind, n=100)
    model, asked = index.model, ask(index.model, queries(3)).queries
    form, levels, codes = scanning.layout(model), scanning.levels(model), naive.rows_of(index)
    rows = rng.permutation(100)[:40]
    heads, tails = (np.concatenate(each) for each in zip(*(piece.flat for piece in index.rows), strict=True))
    nothing, keys = np.empty(0), np.empty(40, np.float32)

    for q in range(3):
        scoring.exact_keys(rows, heads, tails, form, levels, asked, q, nothing, keys)
        np.testing.assert_array_equal(keys, naive.exact_key(codes, form, levels, asked, q)[rows])


@pytest.mark.parametrize("head", [24, 40])
@pytest.mark.parametrize("deficit", [0, 5_000, 65_530])
def test_second_digits_of_coarse_columns_are_added_to_deficits(rng, head, deficit):
    form, shifts = make_layout(40, head=head, stages=1), np.array([5, 3, 2, 1, 0])
    blocks, asked = make_blocks(rng, form, 3), make_queries(rng, form, 2)
    parts = [each.reshape(-1) for each in naive.split(blocks, form.nibbles, form.head)]
    values = naive.nibble(naive.unweave(blocks, form.nibbles, form.stages), np.arange(24))
    coarse = asked.seconds[1].reshape(-1, 16).astype(int)[np.arange(24), values] << np.repeat(shifts[:3], 8)

    segments = make_segments(shifts, head)
    found = [scoring.finer(deficit, row, *parts, form, segments, asked.seconds, 1) for row in range(96)]

    assert found == np.minimum(deficit + coarse.sum(axis=1) // 64, MOST).tolist()


@pytest.mark.parametrize("gain_bits", [0, 4])
@pytest.mark.parametrize("least", [-1e9, -3.0, 0.0, 1e-3, 5.0, 1e9])
def test_limits_let_rows_pass_whose_bound_reaches_the_threshold_and_hardly_another(rng, gain_bits, least):
    form = make_layout(2, gain_bits=gain_bits)
    asked = make_queries(rng, form, 3)
    asked.affine[1, :2] = -0.01, 8.0

    scoring.raise_threshold(form, asked, 1, least)

    assert asked.affine[1, 2] == np.float32(least)
    gains = np.where(np.arange(16) > 0, form.gain_least + form.gain_step * np.arange(16), 0) if gain_bits else 1.0
    limits = asked.limits[1, :16].astype(int) | asked.limits[1, 16:].astype(int) << 8
    deficits = np.arange(MOST + 1)
    for code in range(16):
        gain = np.broadcast_to(gains, 16)[code]
        bounds = (8.0 + np.float64(np.float32(-0.01)) * deficits) * gain
        assert (deficits[bounds >= least] <= limits[code]).all()
        if gain and limits[code] < MOST:
            assert limits[code] <= max((bounds >= least).sum() + 1, 0)


def test_the_least_bound_allows_for_rounding(rng):
    asked = make_queries(rng, make_layout(2), 1)
    asked.slack[0], asked.norm[0] = 0.5, 2.0

    assert scoring.least_bound(-10.0, asked, 0) == -10.0 + 2.0 - 0.5 - 1e-6 * 10.0
