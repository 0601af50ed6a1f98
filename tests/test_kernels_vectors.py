"""kernels/vectors.py: every operation beside NumPy, on every instruction set of this machine."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from lplr_index import kernels
from lplr_index.kernels import vectors

LEVELS = [level for level in kernels.host_levels() if level != "portable"]
QUADS, NUMBERS = ir.VectorType(ir.IntType(32), 4), ir.VectorType(ir.IntType(32), 8)


def at(emit, pointer, entry):
    return emit.builder.gep(pointer, [ir.Constant(ir.IntType(64), entry)])


def load(emit, pointer, entry, kind):
    return emit.load(pointer, ir.Constant(ir.IntType(64), entry), kind)


def store(emit, value, pointer, entry=0):
    address = emit.builder.bitcast(at(emit, pointer, entry), value.type.as_pointer())
    emit.builder.store(value, address).align = 1


def columns(emit, source, target):
    rows = [load(emit, source, 4 * r, QUADS) for r in range(8)]
    for c, column in enumerate(emit.columns(rows)):
        store(emit, column, target, 8 * c)


def gather(emit, source, target):
    store(emit, emit.gather([emit.builder.load(at(emit, source, 3 * r)) for r in range(8)], NUMBERS), target)


def splat(emit, source, target):
    store(emit, emit.splat(emit.builder.load(source), NUMBERS), target)


def fold(emit, source, target):
    store(emit, emit.fold(load(emit, source, 0, emit.words)), target)


def split_nibbles(emit, source, target):
    for half, value in enumerate(emit.split_nibbles(load(emit, source, 0, emit.bytes))):
        store(emit, value, target, emit.width * half)


def look_up(emit, source, target):
    table, index = (load(emit, source, entry, emit.bytes) for entry in (0, emit.width))
    store(emit, emit.look_up(table, emit.builder.and_(index, emit.const(emit.bytes, 15))), target)


def load_columns(emit, source, target):
    store(emit, emit.load_columns(source, ir.Constant(ir.IntType(64), 3), 32), target)


def prefetched(emit, source, target):
    emit.prefetch(
        emit.builder.bitcast(source, ir.IntType(8).as_pointer()), ir.Constant(ir.IntType(64), 1 << 20)
    )  # beyond the array: it is no access
    splat(emit, source, target)


@cache
def compiled(operation, width):
    @intrinsic
    def operate(typingctx, source, target):
        def generate(context, builder, signature, args):
            arrays = zip(signature.args, args, strict=True)
            pointers = [context.make_array(kind)(context, builder, value).data for kind, value in arrays]
            operation(vectors.Vectors(builder, width), *pointers)
            return context.get_dummy_value()

        return types.void(source, target), generate

    @njit(nogil=True)
    def call(source, target):
        operate(source, target)

    return call


def run(operation, level, source, size, dtype):
    target = np.zeros(size, dtype)
    compiled(operation, kernels._LEVELS[level])(source, target)
    return target


@pytest.mark.parametrize("level", LEVELS)
def test_numbers(rng, level):
    source = rng.integers(-(2**31), 2**31, 32).astype(np.int32)

    np.testing.assert_array_equal(run(columns, level, source, 32, np.int32), source.reshape(8, 4).T.reshape(-1))
    np.testing.assert_array_equal(run(gather, level, source, 8, np.int32), source[:24:3])
    np.testing.assert_array_equal(run(splat, level, source, 8, np.int32), np.repeat(source[0], 8))
    np.testing.assert_array_equal(run(prefetched, level, source, 8, np.int32), np.repeat(source[0], 8))


@pytest.mark.parametrize("level", LEVELS)
def test_bytes(rng, level):
    width = kernels._LEVELS[level]
    source = rng.integers(0, 256, 2 * width, dtype=np.uint8)
    words = rng.integers(0, 1000, width // 2).astype(np.int16)

    np.testing.assert_array_equal(run(fold, level, words, 8, np.int16), words.reshape(-1, 8).sum(axis=0))
    halves = np.concatenate([source[:width] & 15, source[:width] >> 4])
    np.testing.assert_array_equal(run(split_nibbles, level, source, 2 * width, np.uint8), halves)
    tables, index = source.reshape(2, -1, 16)
    found = np.take_along_axis(tables, (index & 15).astype(int), axis=1)
    np.testing.assert_array_equal(run(look_up, level, source, width, np.uint8), found.reshape(-1))
    np.testing.assert_array_equal(
        run(load_columns, level, source, width, np.uint8), np.append(source[3:35], np.zeros(width - 32))
    )
