"""Instruction sets that this machine may lack: their code is made for a CPU that has them, and looked at.

The emitters of kernels/bounds.py are run on pointers alone, without numba, for NEON and AVX-512 too; what they mean is
compared with twins wherever it can run (test_kernels_bounds.py), SSSE3 standing in for the 16-byte registers of NEON.
"""

from __future__ import annotations

import re
from functools import cache

import pytest
from llvmlite import binding, ir

from lplr_index.kernels import bounds, vectors

NUMBERS = ("first", "head", "tail_ahead", "segments", "stages", "stride", "plain", "gains_at", "ahead", "gain_bits",
           "norm_bits", "norm_at")  # fmt: skip
POINTERS = {
    "codes": 8, "tables": 8, "seconds": 8, "stage_deficits": 8, "stage_least": 8, "stage_doublings": 64, "ends": 64,
    "tails": 8, "promises": 64, "folds": 64, "doublings": 64, "limits": 8, "sums": 16, "masks": 32,
}  # fmt: skip
FLOATS = ("gain_least", "gain_step")
TARGETS = {  # by instruction set: a CPU that has it, the instruction that looks up bytes, and how sums that stop look
    "ssse3": ("x86_64-unknown-linux-gnu", "core2", r"\bpshufb\b.*%xmm", r"\bpaddusb\b.*%xmm"),
    "neon": ("aarch64-unknown-linux-gnu", "neoverse-n1", r"\btbl\t?\s*v\d+\.16b", r"\buqadd\t?\s*v\d+\.16b"),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", r"\bvpshufb\b.*%ymm", r"\bvpaddusb\b.*%ymm"),
    "avx512": ("x86_64-unknown-linux-gnu", "icelake-server", r"\bvpshufb\b.*%zmm", r"\bvpaddusb\b.*%zmm"),
}


@cache
def assembly(level: str, tile: int, digits: int, *, rest: bool = False) -> str:
    """The bounds of one block for ``tile`` queries, or the sums of its tail, for a CPU with that instruction set."""
    triple, cpu, _, _ = TARGETS[level]
    module, long = ir.Module(), ir.IntType(64)
    kinds: dict[str, ir.Type] = dict.fromkeys(NUMBERS, long) | dict.fromkeys(FLOATS, ir.FloatType())
    kinds |= {name: ir.IntType(bits).as_pointer() for name, bits in POINTERS.items()}
    kinds |= dict.fromkeys(("affine", "norms"), ir.FloatType().as_pointer())
    function = ir.Function(module, ir.FunctionType(ir.IntType(32), kinds.values()), f"bounds_{level}_{tile}_{digits}")
    builder = ir.IRBuilder(function.append_basic_block())
    pointers = dict(zip(kinds, function.args, strict=True))
    if rest:  # as _vector_rest has it
        pointers = {name: each for name, each in pointers.items() if name not in ("ahead", "tail_ahead", "tails")}
    body = bounds._Bounds(builder, getattr(vectors, level.upper()), tile, digits, pointers)
    body.segments()
    if rest:
        body.sums(0, body.emit.const(bounds._WORDS, 0))
    builder.ret(ir.Constant(ir.IntType(32), 0) if rest else body.compare())
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    parsed = binding.parse_assembly(str(module))
    parsed.triple = triple
    tuning = binding.create_pipeline_tuning_options(speed_level=3)
    passes = binding.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(parsed, passes)
    return machine.emit_assembly(parsed)


@pytest.mark.parametrize(("tile", "digits"), [(1, 1), (1, 2), (4, 1)])
@pytest.mark.parametrize("level", TARGETS)
def test_the_instructions_are_there(level, tile, digits):
    code = assembly(level, tile, digits)

    _, _, look_up, add = TARGETS[level]
    assert len(re.findall(look_up, code)) >= 6 * tile * digits  # of eight columns and of four
    assert re.search(add, code)
    assert not re.search(r"__\w+hf\w*", code)  # nothing of the compiler's library, which has float16 for old CPUs


@pytest.mark.parametrize("level", TARGETS)
def test_the_instructions_are_there_for_tails(level):
    code = assembly(level, 1, 1, rest=True)

    _, _, look_up, add = TARGETS[level]
    assert len(re.findall(look_up, code)) >= 6
    assert re.search(add, code)


def test_every_instruction_set_is_looked_at():
    assert {getattr(vectors, level.upper()) for level in TARGETS} == set(vectors.SHUFFLES)
