"""Blocks, layouts and queries of random numbers, and ``block_bounds`` as a function of them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import njit

import naive
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
    def call(heads, tails, block, form, levels, segments, queries, q, sums, masks):
        return bounds.block_bounds(
            simd, tile, digits, heads, tails, block, form, levels, segments, queries, q, sums, masks
        )

    return call


@cache
def compiled_rest(level):
    """Return ``rest_sums`` in the same way."""
    simd = getattr(vectors, level.upper())

    @njit(nogil=True)
    def call(tails, block, form, segments, queries, q, sums):
        bounds.rest_sums(simd, tails, block, form, segments, queries, q, sums)

    return call


def call_rest_sums(level, blocks, block, form, queries, q, shifts):
    sums, (_, tails) = np.full(32, 7, np.uint16), naive.split(blocks, form.nibbles, form.head)
    compiled_rest(level)(
        tails.reshape(-1), block, form, make_segments(shifts, form.nibbles, form.head), queries, q, sums
    )
    return sums[[layout.place.py_func(row) for row in range(32)]]


def call_block_bounds(level, tile, blocks, block, form, queries, q, shifts, columns=None, digits=1):
    """Return sums (tile, 32) and masks (tile, 32) of a block, of blocks with their columns together."""
    heads, tails = (each.reshape(-1) for each in naive.split(blocks, form.nibbles, form.head))
    sums, masks = np.full(TILE * 32, 7, np.uint16), np.zeros(TILE, np.uint32)
    segments = make_segments(shifts, columns or form.nibbles)
    splits = np.empty((0, 5), np.int32), np.zeros((0, 256), np.float32)
    levels = layout.Levels(np.empty(0, np.int64), *splits, NORMS[form.norm_bits])
    some = compiled(level, tile, digits)(heads, tails, block, form, levels, segments, queries, q, sums, masks)
    assert some == np.bitwise_or.reduce(masks[:tile])
    bits = np.unpackbits(masks.view(np.uint8), bitorder="little").reshape(TILE, 32).astype(bool)
    order = [layout.place.py_func(row) for row in range(32)]
    return sums.reshape(TILE, 32)[:tile, order], bits[:tile]


def make_segments(shifts, columns, first=0):
    """Return segments that end at every eight columns, which sums must not depend on, and where columns end."""
    ends = np.append(np.arange(first + 8, columns, 8), columns)
    doublings = -np.diff(np.append(shifts[(ends - 1) // 8].astype(int), 0))
    return layout.Segments(ends, folds(first, ends, doublings), doublings)


def make_layout(nibbles, *, head=None, gain_bits=0, norm_bits=0, stages=0):
    singles, head = stages + (gain_bits == 8), nibbles if head is None else head
    return layout.Layout(
        nibbles=nibbles,
        head=head,
        stages=stages,
        head_bytes=16 * head + 32 * singles + 4 * norm_bits,
        tail_bytes=16 * (nibbles - head),
        ahead=1,
        gain_bits=gain_bits,
        gain_at={0: -1, 4: 16 * (head - 1), 8: 16 * head + 32 * stages}[gain_bits],
        gain_least={0: 0.0, 4: 0.71, 8: 0.0}[gain_bits],
        gain_step={0: 0.0, 4: 0.0567, 8: 0.0123}[gain_bits],
        norm_bits=norm_bits,
        norm_at=16 * head + 32 * singles if norm_bits else -1,
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
        promises=np.zeros(nq, np.int64),
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
    return rng.integers(0, 256, (count, form.head_bytes + form.tail_bytes), dtype=np.uint8)
