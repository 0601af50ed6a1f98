"""kernels/bounds.py: the same integers and the same masks as its twin, on every instruction set of this machine."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
from numba import njit

import naive
from lplr_index import kernels
from lplr_index.errors import InputError
from lplr_index.kernels import bounds, layout, vectors
from lplr_index.kernels.scan import TILE

NORMS = {bits: np.random.default_rng(bits).normal(0, 5, 1 << bits).astype(np.float32) for bits in (8, 16)}
NORMS[0] = np.empty(0, np.float32)
NIBBLES = (2, 4, 6, 10, 22, 46, 94, 128, 510, 512, 514, 600, 1024, 1030, 2048)


@cache
def compiled(level, tile):
    """Return ``block_bounds`` as a function; not cached on disk, where an edit of bounds.py would go unnoticed."""
    simd = getattr(vectors, level.upper())

    @njit(nogil=True)
    def call(blocks, at, form, levels, segments, queries, q, stage_tables, sums, masks):
        return bounds.block_bounds(
            simd, tile, blocks, at, form, levels, segments, queries, q, stage_tables, sums, masks
        )

    return call


def call_block_bounds(level, tile, blocks, block, form, queries, q, shifts, columns=None):
    sums, masks = np.full(TILE * 32, 7, np.uint16), np.zeros(TILE, np.uint32)
    stage_tables = np.zeros(queries.stage_deficits.size, np.uint16)
    if tile > 1:
        mine = (
            queries.stage_deficits[q : q + tile].astype(np.uint16) << queries.stage_doublings[q : q + tile, None, None]
        )
        stage_tables[q * form.stages * 256 :][: mine.size] = mine.transpose(1, 2, 0).reshape(-1)
    segments = make_segments(shifts, columns or form.nibbles)
    at = block * form.block_bytes
    levels = layout.Levels(np.empty((0, 5), np.int32), np.zeros((0, 256), np.float32), NORMS[form.norm_bits])
    some = compiled(level, tile)(blocks.reshape(-1), at, form, levels, segments, queries, q, stage_tables, sums, masks)
    assert some == np.bitwise_or.reduce(masks[:tile])
    bits = np.unpackbits(masks.view(np.uint8), bitorder="little").reshape(TILE, 32).astype(bool)
    order = [layout.place.py_func(row) for row in range(32)]
    return sums.reshape(TILE, 32)[:tile, order], bits[:tile]


def make_segments(shifts, columns):
    """Return segments that end at every eight columns, which sums must not depend on, and where columns end."""
    ends = np.append(np.arange(8, columns, 8), columns)
    steps = np.append(shifts[(ends - 1) // 8].astype(int), 0)
    return layout.Segments(ends, -np.diff(steps))


def make_layout(nibbles, *, gain_bits=0, norm_bits=0, stages=0):
    singles = stages + (gain_bits == 8)
    block_bytes = 32 * (nibbles // 2 + singles + norm_bits // 8)
    return layout.Layout(
        nibbles=nibbles,
        stages=stages,
        block_bytes=block_bytes,
        ahead=block_bytes,
        gain_bits=gain_bits,
        gain_at={0: -1, 4: 16 * (nibbles - 1), 8: 16 * nibbles + 32 * stages}[gain_bits],
        gain_least={0: 0.0, 4: 0.71, 8: 0.0}[gain_bits],
        gain_step={0: 0.0, 4: 0.0567, 8: 0.0123}[gain_bits],
        norm_bits=norm_bits,
        norm_at=16 * nibbles + 32 * singles if norm_bits else -1,
    )


def make_shifts(rng, nibbles):
    return np.sort(rng.integers(0, 3, -(-nibbles // 8)).astype(np.uint8))[::-1]


def make_queries(rng, form, nq, most=60):
    """Return random tables; of large entries sums stop, of bytes and of 16 bits."""
    affine = np.stack([-rng.uniform(0.5, 2, nq), rng.normal(0, 100, nq), np.full(nq, -np.inf)], axis=1)
    return layout.Queries(
        deficits=rng.integers(0, most + 1, (nq, form.nibbles * 16)).astype(np.uint8),
        stage_deficits=rng.integers(0, 256, (nq, form.stages, 256)).astype(np.uint8),
        stage_doublings=rng.integers(0, 4, nq),
        limits=np.full((nq, 32), 255, np.uint8),
        affine=affine.astype(np.float32),
        slack=np.zeros(nq),
        exact=np.zeros((nq, form.nibbles * 16), np.float32),
        stages=np.zeros((nq, form.stages, 256), np.float32),
        split=np.zeros((nq, 0), np.float32),
        base=np.zeros(nq),
        norm=np.zeros(nq),
    )


def make_blocks(rng, form, count):
    return rng.integers(0, 256, (count, form.block_bytes), dtype=np.uint8)


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize(
    ("nibbles", "stages", "gain_bits", "norm_bits"),
    [(nibbles, 0, 8, 16) for nibbles in NIBBLES]
    + [(nibbles, i % 6, 4, 8 * (i % 2)) for i, nibbles in enumerate(NIBBLES)]
    + [(nibbles, *rest) for nibbles in (2, 46) for rest in product((0, 1, 2, 3, 4, 7), (0, 4, 8), (0, 8, 16))],
)
@pytest.mark.parametrize("most", [60, 255])
def test_sums_and_masks(rng, level, nibbles, stages, gain_bits, norm_bits, most):
    form = make_layout(nibbles, stages=stages, gain_bits=gain_bits, norm_bits=norm_bits)
    shifts, norms = make_shifts(rng, nibbles), NORMS[norm_bits]
    blocks, queries = make_blocks(rng, form, 3), make_queries(rng, form, TILE + 2, most)
    for q in range(TILE + 2):
        twin, bound = naive.block_bounds(blocks[1], form, norms, queries, q, shifts)
        queries.affine[q, 2] = np.sort(bound)[15 + q]  # a threshold that is itself a bound, met exactly
        for code, limit in enumerate(rng.choice(twin, 16) if gain_bits else [twin[q]] * 16):  # limits that are sums
            queries.limits[q, code], queries.limits[q, 16 + code] = limit & 255, limit >> 8

    for block in range(3):
        twins = [naive.block_bounds(blocks[block], form, norms, queries, q, shifts) for q in range(TILE + 2)]
        for tile, first in ((TILE, 0), (TILE, 2), (1, 0), (1, TILE + 1)):
            sums, masks = call_block_bounds(level, tile, blocks, block, form, queries, first, shifts)
            for t, (expected, bound) in enumerate(twins[first : first + tile]):
                np.testing.assert_array_equal(sums[t], expected)
                passes = bound >= queries.affine[first + t, 2]
                if gain_bits != 8 and not norm_bits:
                    passes = expected <= limits_of(blocks[block], form, queries.limits[first + t].astype(int))
                np.testing.assert_array_equal(masks[t], passes)


def limits_of(block, form, limits):
    """Return the limit of each row, which its gain selects; without gains all are the same."""
    codes = naive.unweave(block[None], form.nibbles, form.stages)
    return (limits[:16] + 256 * limits[16:])[codes[:, form.nibbles // 2 - 1] >> 4]


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize(("nibbles", "columns"), [(22, 8), (46, 32), (46, 44), (1030, 1024)])
def test_the_first_columns_alone(rng, level, nibbles, columns):
    form, shifts = make_layout(nibbles, stages=2, gain_bits=4), make_shifts(rng, nibbles)
    blocks, queries = make_blocks(rng, form, 1), make_queries(rng, form, TILE)
    for tile in (TILE, 1):
        sums, _ = call_block_bounds(level, tile, blocks, 0, form, queries, 0, shifts, columns)
        for t in range(tile):
            expected, _ = naive.block_bounds(blocks[0], form, NORMS[0], queries, t, shifts, columns)
            np.testing.assert_array_equal(sums[t], expected)


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize("bits", [8, 16])
def test_every_code_of_a_norm_is_read_in_every_row(level, bits):
    form = make_layout(2, norm_bits=bits)
    everything = np.stack([np.roll(np.arange(1 << bits), -shift) for shift in range(0, 32, 5)]).reshape(-1, 32)
    blocks = np.zeros((len(everything), form.block_bytes), np.uint8)
    blocks[:, form.norm_at :] = everything.astype(f"<u{bits // 8}").view(np.uint8)
    queries = make_queries(np.random.default_rng(0), form, 1)
    queries.deficits[:] = 0
    for threshold in (0.25, 0.0, -1e-7, -3.5, *-NORMS[bits][:2], -np.inf):
        queries.affine[0] = -1.0, 0.0, threshold

        masks = np.array(
            [call_block_bounds(level, 1, blocks, b, form, queries, 0, np.zeros(1))[1][0] for b in range(len(blocks))]
        )

        np.testing.assert_array_equal(masks, -NORMS[bits][everything] >= np.float32(threshold))


@pytest.mark.parametrize(("nq", "stages"), [(0, 2), (1, 2), (4, 1), (11, 2), (12, 0)])
def test_stages_of_a_tile_lie_side_by_side(rng, nq, stages):
    given, doublings = rng.integers(0, 256, (nq, stages, 256)).astype(np.uint8), rng.integers(0, 7, nq)

    tables = layout.tile_stages(given, doublings, 4)

    doubled = given.astype(np.uint16) << doublings[:, None, None]
    parts = [doubled[q : q + 4].transpose(1, 2, 0).reshape(-1) for q in range(0, nq // 4 * 4, 4)]
    np.testing.assert_array_equal(tables, np.concatenate([np.empty(0, int), *parts]))


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize(("bits", "norm_bits"), [(4, 0), (4, 8), (4, 16), (8, 0)])
def test_every_code_of_a_gain_is_read_in_every_row(monkeypatch, level, bits, norm_bits):
    """The bound is the gain itself, and the threshold the gain of one code: rows of that code and above pass."""
    form = make_layout(4, stages=1, gain_bits=bits, norm_bits=norm_bits)
    monkeypatch.setitem(NORMS, norm_bits, np.zeros_like(NORMS[norm_bits]))
    queries = make_queries(np.random.default_rng(0), form, 1)
    queries.deficits[:] = 0
    queries.stage_deficits[:] = 1
    queries.stage_doublings[:] = 0
    codes = np.arange(1 << bits)
    gains = np.float32(form.gain_least) + np.float32(form.gain_step) * codes.astype(np.float32)
    for shift in range(1 << bits):
        rows = np.zeros((32, 2 + 1 + (bits == 8) + norm_bits // 8), np.uint8)
        numbers = (np.arange(32) + shift) % (1 << bits)
        rows[:, 3 if bits == 8 else 1] = numbers << (8 - bits)
        block = naive.weave(rows, 0, 4, 1 + (bits == 8) + (norm_bits == 8), np.zeros((1, form.block_bytes), np.uint8))
        queries.affine[0] = -1.0, 2.0, gains[max(shift, 1)]
        queries.limits[0] = np.append(np.arange(16) >= max(shift, 1), np.zeros(16))

        _, masks = call_block_bounds(level, 1, block, 0, form, queries, 0, np.zeros(1))

        np.testing.assert_array_equal(masks[0], numbers >= max(shift, 1))


def test_a_nan_never_matters(monkeypatch, rng):
    form = make_layout(2, norm_bits=16)
    blocks = np.zeros((1, form.block_bytes), np.uint8)
    monkeypatch.setitem(NORMS, 16, np.full(1 << 16, np.nan, np.float32))

    for level in kernels.host_levels():
        _, masks = call_block_bounds(level, 1, blocks, 0, form, make_queries(rng, form, 1), 0, np.zeros(1))
        assert not masks.any()


def test_this_machine_runs_the_portable_twin_at_least():
    assert kernels.host_levels()[0] == "portable"


def test_the_instruction_set_can_be_chosen(monkeypatch):
    monkeypatch.delenv("LPLR_INDEX_SIMD", raising=False)
    assert kernels.simd_level() == kernels.host_levels()[-1]
    for level in kernels.host_levels():
        monkeypatch.setenv("LPLR_INDEX_SIMD", level)
        assert kernels.simd_level() == level


@pytest.mark.parametrize("level", ["avx1024", "AVX2", " portable"])
def test_an_instruction_set_that_is_not_there(monkeypatch, level):
    monkeypatch.setenv("LPLR_INDEX_SIMD", level)

    with pytest.raises(InputError, match=r"expected LPLR_INDEX_SIMD to be one of portable.*, got "):
        kernels.simd_level()


def test_a_cpu_without_vectors_is_not_offered_any(monkeypatch):
    from llvmlite import binding

    monkeypatch.setattr(binding, "get_host_cpu_features", dict)
    try:
        kernels.host_levels.cache_clear()
        assert kernels.host_levels() == ("portable",)
        monkeypatch.setenv("LPLR_INDEX_SIMD", "avx2")
        with pytest.raises(InputError, match="expected LPLR_INDEX_SIMD to be one of portable, got 'avx2'"):
            kernels.simd_level()
    finally:
        monkeypatch.undo()
        kernels.host_levels.cache_clear()
