"""kernels/bounds.py: the same integers and the same masks as its twin, on every instruction set of this machine."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import naive
from bounding import (
    NORMS,
    call_block_bounds,
    call_rest_sums,
    compiled,
    make_blocks,
    make_layout,
    make_queries,
    make_shifts,
)
from lplr_index import kernels
from lplr_index.errors import InputError
from lplr_index.kernels.scan import TILE

NIBBLES = (2, 4, 6, 10, 22, 46, 94, 128, 510, 512, 514, 600, 1024, 1030, 2048)


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize(
    ("nibbles", "stages", "gain_bits", "norm_bits"),
    [(nibbles, 0, 8, 16) for nibbles in NIBBLES]
    + [(nibbles, i % 6, 4, 8 * (i % 2)) for i, nibbles in enumerate(NIBBLES)]
    + [(nibbles, *rest) for nibbles in (2, 46) for rest in product((0, 1, 2, 3, 4, 7), (0, 4, 8), (0, 8, 16))],
)
@pytest.mark.parametrize(("most", "digits"), [(60, 1), (255, 1), (60, 2), (255, 2)])
def test_sums_and_masks(rng, level, nibbles, stages, gain_bits, norm_bits, most, digits):
    form = make_layout(nibbles, stages=stages, gain_bits=gain_bits, norm_bits=norm_bits)
    check(rng, level, form, most, digits)


@pytest.mark.parametrize("level", kernels.host_levels())
@pytest.mark.parametrize(("nibbles", "head"), [(10, 8), (46, 8), (46, 40), (94, 48), (1030, 512)])
@pytest.mark.parametrize(("stages", "gain_bits", "norm_bits"), [(0, 0, 0), (2, 4, 0), (1, 8, 16), (4, 4, 8)])
@pytest.mark.parametrize("digits", [1, 2])
def test_heads_and_tails(rng, level, nibbles, head, stages, gain_bits, norm_bits, digits):
    """Of blocks whose tails lie elsewhere."""
    form = make_layout(nibbles, head=head, stages=stages, gain_bits=gain_bits, norm_bits=norm_bits)
    check(rng, level, form, 60, digits)


def check(rng, level, form, most, digits):
    """Compare sums and masks of random blocks with those of the twin."""
    nibbles, gain_bits, norm_bits = form.nibbles, form.gain_bits, form.norm_bits
    shifts, norms = make_shifts(rng, nibbles), NORMS[norm_bits]
    blocks, queries = make_blocks(rng, form, 3), make_queries(rng, form, TILE + 2, most)
    queries.promises[:] = rng.choice([0, 0, 37, 65_000], TILE + 2)
    for q in range(TILE + 2):
        twin, bound = naive.block_bounds(blocks[1], form, norms, queries, q, shifts, digits=digits)
        queries.affine[q, 2] = np.sort(bound)[15 + q]  # a threshold that is itself a bound, met exactly
        for code, limit in enumerate(rng.choice(twin, 16) if gain_bits else [twin[q]] * 16):  # limits that are sums
            queries.limits[q, code], queries.limits[q, 16 + code] = limit & 255, limit >> 8

    for block in range(3):
        twins = [
            naive.block_bounds(blocks[block], form, norms, queries, q, shifts, digits=digits) for q in range(TILE + 2)
        ]
        for tile, first in [(TILE, 0), (TILE, 2), (1, 0), (1, TILE + 1)][2 * (digits - 1) :]:
            sums, masks = call_block_bounds(level, tile, blocks, block, form, queries, first, shifts, digits=digits)
            for t, (expected, bound) in enumerate(twins[first : first + tile]):
                passes = bound >= queries.affine[first + t, 2]
                if gain_bits != 8 and not norm_bits:
                    passes = expected <= limits_of(blocks[block], form, queries.limits[first + t].astype(int))
                np.testing.assert_array_equal(masks[t], passes)
                np.testing.assert_array_equal(sums[t][passes], expected[passes])


def limits_of(block, form, limits):
    """Return the limit of each row, which its gain selects; without gains all are the same."""
    codes = naive.unweave(block[None], form.nibbles, form.stages)
    return (limits[:16] + 256 * limits[16:])[codes[:, form.head // 2 - 1] >> 4]


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
@pytest.mark.parametrize(("nibbles", "head"), [(10, 8), (22, 8), (46, 40), (94, 48), (2048, 512)])
@pytest.mark.parametrize("most", [60, 255])
def test_the_sums_of_tails(rng, level, nibbles, head, most):
    form, shifts = make_layout(nibbles, head=head, stages=1, gain_bits=4), make_shifts(rng, nibbles)
    blocks, queries = make_blocks(rng, form, 3), make_queries(rng, form, 2, most)
    codes = naive.unweave(blocks[1:2], nibbles, 1)
    for q in range(2):
        sums = call_rest_sums(level, blocks, 1, form, queries, q, shifts)

        table = queries.deficits[q].reshape(-1, 16).astype(np.int64)[head:]
        values = naive.nibble(codes, np.arange(head, nibbles))
        np.testing.assert_array_equal(sums, naive.column_sums(table, values, shifts[head // 8 :]))


@pytest.mark.parametrize("level", [level for level in kernels.host_levels() if level != "portable"])
def test_registers_that_spill_lie_in_one_cache_line(rng, level):
    form = make_layout(22, stages=1)
    call_block_bounds(
        level, TILE, make_blocks(rng, form, 1), 0, form, make_queries(rng, form, TILE), 0, np.zeros(3, int)
    )

    (code,) = compiled(level, TILE, 1).inspect_llvm().values()
    assert "alignstack=64" in code


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
