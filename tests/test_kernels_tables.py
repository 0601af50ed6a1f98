"""kernels/tables.py beside its twins: partial scores of nibbles, and deficits that bound from above and closely."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from indexes import in_lists, queries
from lplr_index.asking import ask
from lplr_index.kernels import layout
from lplr_index.kernels import tables as module
from lplr_index.metric import METRICS


def make_parts(rng, nibbles, shifts, *, split=False):
    """Return one part for each nibble, of a column of its own, or some of any columns; bounds where they are split."""
    if not split:
        entries, order = np.empty((nibbles, 16), np.float32), np.arange(nibbles)
        return module.Parts(np.arange(nibbles + 1), order, entries, entries[:0], entries[:0], order[:0], shifts)
    counts = rng.integers(0, 4, nibbles)
    exact, up, down = rng.standard_normal((3, counts.sum(), 16)).astype(np.float32)
    columns, starts = rng.integers(0, 7, counts.sum()), np.concatenate([[0], np.cumsum(counts)])
    return module.Parts(
        starts, columns, exact, np.maximum(exact, up), np.minimum(exact, down), np.array([2, 5]), shifts
    )


def made(y, stages, parts, digits=1):
    """Return exact tables, deficits of one or two digits (nq, nibbles, 16), those of stages, doublings, and scalars."""
    nq, nibbles = len(y), len(parts.starts) - 1
    exact, scalars = np.full((nq, nibbles, 16), np.nan, np.float32), np.full((3, nq), np.nan)
    deficits = np.full((nq, nibbles * 16), 7, np.uint8)
    seconds = np.full((nq, nibbles * 16), 7, np.uint8)
    stage_deficits, doublings = np.full(stages.shape, 9, np.uint8), np.full(nq, -1)
    module.tables(y, stages, parts, digits, exact, deficits, seconds, stage_deficits, doublings, *scalars)
    both = (each.reshape(nq, each.shape[1] // 16, 16).astype(np.int64) for each in (deficits, seconds))
    return exact, *both, stage_deficits.astype(np.int64), doublings, *scalars


def of_tables(rng, upper, stages, shifts, digits=1):
    """The same of one query's tables (nibbles, 16)."""
    parts = make_parts(rng, len(upper), np.array(shifts))
    parts.exact[:] = upper
    return made(np.ones((1, len(upper)), np.float32), stages, parts, digits)


def random_stages(rng, stages, size):
    return (size * rng.standard_normal((1, stages, 256))).astype(np.float32)


@pytest.mark.parametrize("nibbles", [2, 8, 22])
@pytest.mark.parametrize("nq", [0, 1, 5])
def test_tables_are_sums_of_their_parts(rng, nibbles, nq):
    parts = make_parts(rng, nibbles, np.zeros(3, int), split=True)
    y = rng.standard_normal((nq, 7)).astype(np.float32)
    y[:, 0] = 0

    exact, deficits, _, _, _, scale, base, _ = made(y, np.empty((nq, 0, 256), np.float32), parts)

    np.testing.assert_allclose(exact, naive.tables(y, parts, parts.exact, parts.exact), atol=1e-5)
    upper = naive.tables(y, parts, parts.up, parts.down)
    most, step = upper.max(axis=2, keepdims=True), scale[:, None, None]
    assert (step * deficits <= most - upper + step * (1 + 1e-5) + 1e-5).all()
    raised = base - most.sum(axis=(1, 2))
    assert ((raised >= -1e-5) & (raised <= scale * nibbles + 1e-5)).all()


# Every count of nibbles that leaves another number of columns over, and steps of one size or of several.
SHIFTS = [
    (2, [0]),
    (4, [2]),
    (6, [0]),
    (8, [1]),
    (10, [1, 0]),
    (46, [0] * 6),
    (46, [6, 3, 3, 1, 0, 0]),
    (514, [0] * 65),
]


@pytest.mark.parametrize(("nibbles", "shifts"), SHIFTS)
@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(("stages", "size"), [(0, 1e-6), (1, 1e9), (2, 1.0)])
def test_deficits_bound_from_above_and_closely(rng, nibbles, shifts, spread, stages, size):
    weight = size * np.exp(-spread * np.arange(nibbles) / nibbles)[:, None]
    upper = (weight * rng.standard_normal((nibbles, 16))).astype(np.float32)
    centroids, steps = random_stages(rng, stages, 5 * size), 2.0 ** np.repeat(shifts, 8)[:nibbles, None]

    exact, deficits, seconds, stage_deficits, doublings, scale, base, largest = of_tables(
        rng, upper, centroids, shifts, digits=2
    )

    np.testing.assert_array_equal(exact[0], upper)
    per = (1 - 1e-6) / scale[0]
    np.testing.assert_array_equal(deficits[0], naive.quantize_tables(upper, per / steps))
    np.testing.assert_array_equal(seconds[0], naive.quantize_tables(upper, per / steps, digits=2))
    stage_step = scale[0] * 2.0 ** doublings[0]
    for found, step, table, top, finest in (
        (deficits[0], steps * scale[0], upper, 255, 1),
        (deficits[0] + seconds[0] / 64, steps * scale[0], upper, 255, 1 / 64),
        (stage_deficits[0], stage_step, centroids[0], 256, 1),
    ):
        below = table.max(axis=1, keepdims=True) - table.astype(float)
        assert (found * step <= below * (1 + 1e-6)).all()
        assert ((found == top) | (found * step > below * (1 - 2e-6) - step * finest * (1 + 1e-6))).all()
    both = [*upper.astype(float), *centroids[0].astype(float)]
    assert base[0] == pytest.approx(sum(table.max() for table in both), rel=1e-12)
    assert largest[0] == pytest.approx(sum(np.abs(table).max() for table in both), rel=1e-12)


@pytest.mark.parametrize(("nibbles", "shifts"), SHIFTS)
@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0])
def test_one_digit_loses_less_than_rounding_down_and_bounds_all_the_same(rng, nibbles, shifts, spread):
    weight = np.exp(-spread * np.arange(nibbles) / nibbles)[:, None]
    upper = (weight * rng.standard_normal((nibbles, 16))).astype(np.float32)
    centroids, steps = random_stages(rng, 1, 1.0), 2.0 ** np.repeat(shifts, 8)[:nibbles, None]

    _, deficits, seconds, _, _, scale, base, _ = of_tables(rng, upper, centroids, shifts)

    per = (1 - 1e-6) / scale[0] / steps
    digits, raised = naive.round_tables(upper, per)
    np.testing.assert_array_equal(deficits[0], digits)
    below = upper.max(axis=1, keepdims=True).astype(float) - upper
    told = (digits - raised[:, None]) * steps * scale[0]
    assert (told <= below * (1 + 1e-6)).all()
    most = upper.max(axis=1).astype(float).sum() + centroids.max()
    assert base[0] == pytest.approx(most + (raised[:, None] * steps).sum() * scale[0], rel=1e-9)
    fits = naive.quantize_tables(upper, per) < 255
    plain = naive.quantize_tables(upper, per) * steps * scale[0]
    assert (below - told)[fits].mean() <= 0.95 * (below - plain)[fits].mean()
    part, left = np.broadcast_to(steps * scale[0] / 64, below.shape), below - told - seconds[0] * steps * scale[0] / 64
    assert (left >= -1e-6 * below - 1e-4 * part).all()
    assert (left < part * (1 + 1e-3) + 2e-6 * below)[fits].all()


@pytest.mark.parametrize("weight", [0.0, 1e-9, 1e-3])
def test_stages_beside_nibbles_that_hardly_matter(rng, weight):
    """The steps are as coarse as sums of 16 bits need, and no coarser: what the nibbles alone ask for is less."""
    upper = (weight * rng.standard_normal((46, 16))).astype(np.float32)

    _, _, _, stage_deficits, *_ = of_tables(rng, upper, random_stages(rng, 2, 1.0), [0] * 6)

    assert (stage_deficits.max(axis=(1, 2)) >= 127).all()


@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize(("nibbles", "shifts"), [(8, [0]), (48, [0] * 6), (96, [0] * 12)])
def test_steps_are_as_fine_as_usual_sums_allow(rng, nibbles, shifts, spread):
    """Of random codes, fewer than half stop at a byte, and some come near it."""
    weight = np.exp(-spread * np.arange(nibbles) / nibbles)[:, None]
    upper = (weight * rng.standard_normal((nibbles, 16))).astype(np.float32)

    _, deficits, *_ = of_tables(rng, upper, random_stages(rng, 0, 0.1), shifts)

    picked = np.take_along_axis(deficits[0], rng.integers(0, 16, (nibbles, 5000)), axis=1)
    sums = [
        picked[first + parity : first + layout.GROUP : 2].sum(axis=0)
        for first in range(0, nibbles, layout.GROUP)
        for parity in (0, 1)
    ]
    assert (np.mean(np.array(sums) > 255, axis=1) < 0.45).all()
    assert np.max(sums) > 200


@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize(("nibbles", "shifts"), SHIFTS)
def test_no_sum_stops_at_a_byte_with_a_second_digit(rng, nibbles, shifts, spread):
    weight = np.exp(-spread * np.arange(nibbles) / nibbles)[:, None]
    upper = (weight * rng.standard_normal((nibbles, 16))).astype(np.float32)

    _, deficits, *_ = of_tables(rng, upper, random_stages(rng, 0, 0.1), shifts, digits=2)

    largest = deficits[0].max(axis=1).astype(int)
    sums = [
        largest[first + parity : first + layout.GROUP : 2].sum()
        for first in range(0, nibbles, layout.GROUP)
        for parity in (0, 1)
    ]
    assert 200 < max(sums) <= 255


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_tables_of_any_size(rng, scale):
    upper = (scale * rng.standard_normal((8, 16))).astype(np.float32)

    _, deficits, _, _, _, step, _, size = of_tables(rng, upper, random_stages(rng, 0, 1.0), [0])

    assert np.isfinite([step[0], size[0]]).all()
    assert deficits[0].max() > 30


def test_a_query_of_zeros_has_bounds_of_zero(rng):
    _, digits, seconds, stage_digits, _, *scalars = of_tables(
        rng, np.zeros((2, 16), np.float32), np.zeros((1, 2, 256), np.float32), [0], digits=2
    )

    assert not digits.any()
    assert not seconds.any()
    assert not stage_digits.any()
    assert np.concatenate(scalars).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("metric", METRICS)
def test_queries_are_made_ready(metric):
    model, xq = in_lists(metric, 50).model, queries()

    ready = ask(model, xq).queries

    factor, y = 2.0 if model.norm.bits else 1.0, model.project(xq)
    tables, wide = model.codec.query_tables(y), xq.astype(float)
    np.testing.assert_array_equal(ready.deficits, tables.deficits)
    assert ready.seconds.shape == ready.deficits.shape
    np.testing.assert_array_equal(ready.exact, tables.exact.reshape(len(xq), -1))
    np.testing.assert_array_equal(ready.split, tables.split)
    np.testing.assert_allclose(ready.base, wide @ model.mu, atol=1e-6)
    np.testing.assert_allclose(ready.length, np.linalg.norm(wide, axis=1))
    norm = np.square(wide).sum(axis=1) + model.norm.unit if model.norm.bits else np.zeros(len(xq))
    np.testing.assert_allclose(ready.norm, norm)
    np.testing.assert_allclose(ready.affine[:, 0], -factor * tables.scale, rtol=1e-6)
    np.testing.assert_allclose(ready.affine[:, 1], factor * (tables.base + ready.base), rtol=1e-6, atol=1e-6)
    assert np.isneginf(ready.affine[:, 2]).all()
    assert (ready.slack > 1e-6 * (factor * tables.size * model.gain.most + norm)).all()
    assert (ready.limits == 255).all()
