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
NUMBERS = ir.VectorType(ir.IntType(32), 8)


def at(emit, pointer, entry):
    return emit.builder.gep(pointer, [ir.Constant(ir.IntType(64), entry)])


def load(emit, pointer, entry, kind):
    return emit.load(pointer, ir.Constant(ir.IntType(64), entry), kind)


def store(emit, value, pointer, entry=0):
    address = emit.builder.bitcast(at(emit, pointer, entry), value.type.as_pointer())
    emit.builder.store(value, address).align = 1


def saturated(emit, source, target):
    both = [load(emit, source, entry, vectors.numbers(8, 32)) for entry in (0, 32)]
    store(emit, emit.add(*both), target)


def halves(emit, source, target):
    for half, value in enumerate(emit.halves(load(emit, source, 0, vectors.numbers(8, 64)))):
        store(emit, value, target, 32 * (1 - half))  # the other way round


def splat(emit, source, target):
    store(emit, emit.splat(emit.builder.load(source), NUMBERS), target)


def split_nibbles(emit, source, target):
    for half, value in enumerate(emit.split_nibbles(load(emit, source, 0, vectors.numbers(8, 32)))):
        store(emit, value, target, 32 * half)


def look_up(emit, source, target):
    """Of 32 bytes and, where registers hold as many, of 64."""
    at = 0
    for count in sorted({32, emit.step}):
        table, index = (load(emit, source, entry, vectors.numbers(8, count)) for entry in (0, 64))
        store(emit, emit.look_up(table, emit.builder.and_(index, emit.const(index.type, 15))), target, at)
        at += count


def prefetched(emit, source, target):
    emit.prefetch(
        emit.builder.bitcast(source, ir.IntType(8).as_pointer()), ir.Constant(ir.IntType(64), 1 << 20)
    )  # beyond the array: it is no access
    splat(emit, source, target)


@cache
def compiled(operation, simd):
    @intrinsic
    def operate(typingctx, source, target):
        def generate(context, builder, signature, args):
            arrays = zip(signature.args, args, strict=True)
            pointers = [context.make_array(kind)(context, builder, value).data for kind, value in arrays]
            operation(vectors.Vectors(builder, simd), *pointers)
            return context.get_dummy_value()

        return types.void(source, target), generate

    @njit(nogil=True)
    def call(source, target):
        operate(source, target)

    return call


def run(operation, level, source, size, dtype):
    target = np.zeros(size, dtype)
    compiled(operation, getattr(vectors, level.upper()))(source, target)
    return target


@pytest.mark.parametrize("level", LEVELS)
def test_numbers(rng, level):
    source = rng.integers(-(2**31), 2**31, 32).astype(np.int32)

    np.testing.assert_array_equal(run(splat, level, source, 8, np.int32), np.repeat(source[0], 8))
    np.testing.assert_array_equal(run(prefetched, level, source, 8, np.int32), np.repeat(source[0], 8))


@pytest.mark.parametrize("level", LEVELS)
def test_bytes(rng, level):
    source = rng.integers(0, 256, 128, dtype=np.uint8)
    x, y = source[:32].astype(int), source[32:64].astype(int)

    np.testing.assert_array_equal(run(saturated, level, source, 32, np.uint8), np.minimum(x + y, 255))
    np.testing.assert_array_equal(run(halves, level, source, 64, np.uint8), np.roll(source[:64], 32))
    both = np.concatenate([source[:32] & 15, source[:32] >> 4])
    np.testing.assert_array_equal(run(split_nibbles, level, source, 64, np.uint8), both)
    tables, index = source.reshape(2, -1, 16)
    found = np.take_along_axis(tables, (index & 15).astype(int), axis=1).reshape(-1)
    expected = np.concatenate(
        [found[:count] for count in sorted({32, vectors.SHUFFLES[getattr(vectors, level.upper())].width} - {16})]
    )
    np.testing.assert_array_equal(run(look_up, level, source, len(expected), np.uint8), expected)
