"""Blocks, layouts and queries of random numbers, and ``block_bounds`` as a function of them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

from lplr_index.kernels import bounds, layout, vectors
from lplr_index.kernels.scan import TILE
from lplr_index.scanning import folds

NORMS = {bits: np.random.default_rng(bits).normal(0, 5, 1 << bits).astype(np.float32) for bits in (8, 16)}
NORMS[0] = np.empty(0, np.float32)


@cache
def compiled(level, tile, digits):
    """Return ``block_bounds`` as a function; not cached on disk, where an edit of bounds.py would go unnoticed."""
    simd = getattr(vectors, level.upper())

    @njit(nogil=True)
    def call(blocks, at, form, levels, segments, queries, q, sums, masks):
        return bounds.block_bounds(simd, tile, digits, blocks, at, form, levels, segments, queries, q, sums, masks)

    return call


def call_block_bounds(level, tile, blocks, block, form, queries, q, shifts, columns=None, digits=1):
    sums, masks = np.full(TILE * 32, 7, np.uint16), np.zeros(TILE, np.uint32)
    segments = make_segments(shifts, columns or form.nibbles)
    at = block * form.block_bytes
    splits = np.empty((0, 5), np.int32), np.zeros((0, 256), np.float32)
    levels = layout.Levels(np.empty(0, np.int64), *splits, NORMS[form.norm_bits])
    some = compiled(level, tile, digits)(blocks.reshape(-1), at, form, levels, segments, queries, q, sums, masks)
    assert some == np.bitwise_or.reduce(masks[:tile])
    bits = np.unpackbits(masks.view(np.uint8), bitorder="little").reshape(TILE, 32).astype(bool)
    order = [layout.place.py_func(row) for row in range(32)]
    return sums.reshape(TILE, 32)[:tile, order], bits[:tile]


def make_segments(shifts, columns):
    """Return segments that end at every eight columns, which sums must not depend on, and where columns end."""
    ends = np.append(np.arange(8, columns, 8), columns)
    doublings = -np.diff(np.append(shifts[(ends - 1) // 8].astype(int), 0))
    return layout.Segments(ends, folds(ends, doublings), doublings)


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
    stage_deficits = rng.integers(0, 256, (nq, form.stages, 256)).astype(np.uint8)
    affine = np.stack([-rng.uniform(0.5, 2, nq), rng.normal(0, 100, nq), np.full(nq, -np.inf)], axis=1)
    return layout.Queries(
        deficits=rng.integers(0, most + 1, (nq, form.nibbles * 16)).astype(np.uint8),
        seconds=rng.integers(0, 64, (nq, form.nibbles * 16)).astype(np.uint8),
        stage_deficits=stage_deficits,
        stage_least=stage_deficits.reshape(nq, form.stages, layout.LEASTS, 1 << layout.SPARED).min(axis=3),
        stage_doublings=rng.integers(0, 4, nq),
        limits=np.full((nq, 32), 255, np.uint8),
        affine=affine.astype(np.float32),
        slack=np.zeros(nq),
        exact=np.zeros((nq, form.nibbles * 16), np.float32),
        stages=np.zeros((nq, form.stages, 256), np.float32),
        split=np.zeros((nq, 0), np.float32),
        base=np.zeros(nq),
        norm=np.zeros(nq),
        length=np.zeros(nq),
    )


def make_blocks(rng, form, count):
    return rng.integers(0, 256, (count, form.block_bytes), dtype=np.uint8)
