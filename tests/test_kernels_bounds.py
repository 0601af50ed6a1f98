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
from lplr_index.kernels import bounds
from lplr_index.kernels.scan import TILE

HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
NO_SPLITS = np.empty((0, 5), np.int32)
NIBBLES = (2, 4, 6, 10, 22, 46, 94, 128, 510, 512, 514, 600, 1024, 1030, 2048)


@cache
def compiled(level, tile):
    """Return ``block_bounds`` as a function; not cached on disk, where an edit of bounds.py would go unnoticed."""
    simd, stamp = kernels._LEVELS[level], bounds.STAMP

    @njit(nogil=True)
    def call(blocks, at, layout, queries, q, stage_tables, sums, masks):
        bounds.block_bounds(simd, stamp, tile, blocks, at, layout, queries, q, stage_tables, sums, masks)

    return call


def call_block_bounds(level, tile, blocks, block, layout, queries, q):
    sums, masks = np.full(TILE * 32, -1, np.int32), np.zeros(TILE, np.uint32)
    stage_tables = np.zeros(queries.stage_bounds.size, np.int32)
    mine = queries.stage_bounds[q : q + tile].transpose(1, 2, 0).reshape(-1)
    stage_tables[q * layout.stages * 256 :][: len(mine)] = mine
    compiled(level, tile)(blocks.reshape(-1), block * layout.block_bytes, layout, queries, q, stage_tables, sums, masks)
    bits = np.unpackbits(masks.view(np.uint8), bitorder="little").reshape(TILE, 32).astype(bool)
    return sums.reshape(TILE, 32)[:tile], bits[:tile]


def make_layout(nibbles, *, gain_bits=0, norm=False, stages=0):
    singles = stages + (gain_bits == 8)
    return bounds.Layout(
        nibbles=nibbles,
        stages=stages,
        block_bytes=32 * (nibbles // 2 + singles + 2 * norm),
        gain_bits=gain_bits,
        gain_at={0: -1, 4: 16 * (nibbles - 1), 8: 16 * nibbles + 32 * stages}[gain_bits],
        gain_least={0: 0.0, 4: 0.71, 8: 0.0}[gain_bits],
        gain_step={0: 0.0, 4: 0.0567, 8: 0.0123}[gain_bits],
        norm_at=16 * nibbles + 32 * singles if norm else -1,
        norm_unit=0.77 if norm else 0.0,
        heavy=min(nibbles, max(8, nibbles // 32 * 8)),
        split_fields=NO_SPLITS,
        split_levels=np.zeros((0, 256), np.float32),
        halves=HALVES,
    )


def fullest(layout):
    """Return the largest digits that the scan leaves room for: groups that add up to 255, heavy digits of 63."""
    low = np.full(layout.nibbles, 255 // (bounds.GROUP // 2))
    low[: layout.heavy] = (1 << bounds.DIGIT_BITS) - 1
    return np.concatenate([low, np.full(layout.heavy, 255 // (bounds.GROUP // 2))])


def make_queries(rng, layout, nq, *, full=False):
    """Return random tables within that room, or tables of nothing but the largest digits."""
    most = fullest(layout)[:, None]
    digits = np.broadcast_to(most, (nq, len(most), 16)) if full else rng.integers(0, most + 1, (nq, len(most), 16))
    reach = 2**23 if full else 4000
    stage_bounds = rng.integers(0, reach, (nq, layout.stages, 256), dtype=np.int32)
    affine = np.stack([rng.uniform(0.5, 2, nq), rng.normal(0, 100, nq), np.full(nq, -np.inf)], axis=1)
    return bounds.Queries(
        bounds=np.ascontiguousarray(digits.reshape(nq, -1), np.uint8),
        stage_bounds=np.full_like(stage_bounds, reach) if full else stage_bounds,
        affine=affine.astype(np.float32),
        slack=np.zeros(nq),
        exact=np.zeros((nq, layout.nibbles, 16), np.float32),
        stages=np.zeros((nq, layout.stages, 256), np.float32),
        split=np.zeros((nq, 0), np.float32),
        base=np.zeros(nq),
        norm=np.zeros(nq),
    )


def make_blocks(rng, layout, count):
    blocks = rng.integers(0, 256, (count, layout.block_bytes), dtype=np.uint8)
    if layout.norm_at >= 0:
        blocks[:, layout.norm_at :] = rng.normal(0, 5, (count, 32)).astype("<f2").view(np.uint8)
    return blocks


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize(
    ("nibbles", "stages", "gain_bits", "norm"),
    [(nibbles, 0, 8, True) for nibbles in NIBBLES]
    + [(nibbles, i % 3, 4, i % 2) for i, nibbles in enumerate(NIBBLES)]
    + [(nibbles, *rest) for nibbles in (2, 46) for rest in product((0, 1, 2, 3), (0, 4, 8), (False, True))],
)
def test_sums_and_masks(rng, level, nibbles, stages, gain_bits, norm):
    layout = make_layout(nibbles, stages=stages, gain_bits=gain_bits, norm=norm)
    blocks, queries = make_blocks(rng, layout, 3), make_queries(rng, layout, TILE + 2)
    for q in range(TILE + 2):  # a threshold that is itself a bound, met exactly and by about half of the rows
        _, bound = naive.block_bounds(blocks[1], layout, queries, q)
        queries.affine[q, 2] = np.sort(bound)[15 + q]

    for block in range(3):
        twins = [naive.block_bounds(blocks[block], layout, queries, q) for q in range(TILE + 2)]
        for tile, first in ((TILE, 0), (TILE, 2), (1, 0), (1, TILE + 1)):
            sums, masks = call_block_bounds(level, tile, blocks, block, layout, queries, first)
            for t, (expected, bound) in enumerate(twins[first : first + tile]):
                np.testing.assert_array_equal(sums[t], expected)
                np.testing.assert_array_equal(masks[t], bound >= queries.affine[first + t, 2])
                assert block != 1 or 1 < masks[t].sum() < 32


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize("nibbles", NIBBLES)
def test_the_largest_sums_do_not_overflow(rng, level, nibbles):
    layout = make_layout(nibbles, stages=2, gain_bits=8, norm=True)
    blocks, queries = make_blocks(rng, layout, 1), make_queries(rng, layout, TILE, full=True)
    expected = fullest(layout)[:nibbles].sum() + 64 * fullest(layout)[nibbles:].sum() + 2 * 2**23

    for tile in (TILE, 1):
        sums, _ = call_block_bounds(level, tile, blocks, 0, layout, queries, 0)
        assert (sums == expected).all()


@pytest.mark.parametrize("level", kernels.host_levels())
def test_every_float16_is_read_as_numpy_reads_it(level):
    layout = make_layout(2, norm=True)._replace(norm_unit=1.0)
    everything = np.arange(1 << 16, dtype="<u2").reshape(-1, 32)
    blocks = np.zeros((len(everything), layout.block_bytes), np.uint8)
    blocks[:, layout.norm_at :] = everything.view(np.uint8)
    queries = make_queries(np.random.default_rng(0), layout, 1)
    queries.bounds[:] = 0
    queries.affine[0] = 1.0, 0.0, 0.25

    masks = np.array([call_block_bounds(level, 1, blocks, b, layout, queries, 0)[1][0] for b in range(len(blocks))])

    np.testing.assert_array_equal(masks, -everything.view("<f2").astype(np.float32) >= np.float32(0.25))


@pytest.mark.parametrize(("nq", "stages"), [(0, 2), (1, 2), (4, 1), (11, 2), (12, 0)])
def test_stages_of_a_tile_lie_side_by_side(rng, nq, stages):
    given = rng.integers(0, 9999, (nq, stages, 256), dtype=np.int32)

    tables = bounds.tile_stages(given, 4)

    parts = [given[q : q + 4].transpose(1, 2, 0) for q in range(0, nq // 4 * 4, 4)] + list(given[nq // 4 * 4 :])
    np.testing.assert_array_equal(tables, np.concatenate([np.empty(0, int), *(part.reshape(-1) for part in parts)]))


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize("bits", [4, 8])
def test_every_code_of_a_gain_is_read_in_every_row(level, bits):
    """The bound is the gain itself, and the threshold the gain of one code: rows of that code and above pass."""
    layout = make_layout(4, stages=1, gain_bits=bits)
    queries = make_queries(np.random.default_rng(0), layout, 1)
    queries.bounds[:] = 0
    queries.stage_bounds[:] = 0
    codes = np.arange(1 << bits)
    gains = np.float32(layout.gain_least) + np.float32(layout.gain_step) * codes.astype(np.float32)
    for shift in range(1 << bits):
        rows = np.zeros((32, 2 + 1 + (bits == 8)), np.uint8)
        numbers = (np.arange(32) + shift) % (1 << bits)
        rows[:, -1 if bits == 8 else 1] = numbers << (8 - bits)
        block = naive.weave(rows, 0, 4, 1 + (bits == 8), np.zeros((1, layout.block_bytes), np.uint8))
        queries.affine[0] = 1.0, 1.0, gains[max(shift, 1)]

        _, masks = call_block_bounds(level, 1, block, 0, layout, queries, 0)

        np.testing.assert_array_equal(masks[0], numbers >= max(shift, 1))


def test_a_nan_never_matters(rng):
    layout = make_layout(2, norm=True)
    blocks = np.zeros((1, layout.block_bytes), np.uint8)
    blocks[0, layout.norm_at :] = np.full(32, np.nan, "<f2").view(np.uint8)

    for level in kernels.host_levels():
        _, masks = call_block_bounds(level, 1, blocks, 0, layout, make_queries(rng, layout, 1), 0)
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
