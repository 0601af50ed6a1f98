"""What the machine can do at most: read memory from end to end, and look bytes up with shuffles.

    python benchmarks/peaks.py [--megabytes 48] [--threads 1 2]

A scan of packed rows does both and nothing else that grows with the rows, so these are its limits; speed.py prints how
far from them each scan is. Both are measured here, on the instruction set that the scan uses.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from lplr_index import IndexLPLR
from lplr_index.kernels import simd_level
from lplr_index.threads import available, run

CHAINS = 12  # of shuffles that do not wait for each other: more than a CPU has under way, fewer than registers
COORDINATES = 384  # of plain nibbles
ROUNDS = 10_000_000  # shuffles of a chain in one call
REPEAT = 7
SHUFFLES = {"avx2": (32, "llvm.x86.avx2.pshuf.b"), "avx512": (64, "llvm.x86.avx512.pshuf.b.512")}


@njit(nogil=True)
def read(words: Any) -> Any:
    """Combine all words (n,) uint64, so that each has to come from memory."""
    total = np.uint64(0)
    for i in range(len(words)):
        total ^= words[i]
    return total


def make_shuffle(width: int, name: str) -> Any:
    """Return a kernel that does ``CHAINS`` chains of so many shuffles of ``width`` bytes."""

    @intrinsic
    def shuffle(typingctx: Any, rounds: Any) -> Any:  # noqa: ARG001
        """Look up bytes in registers; what was found is looked up next."""
        kind = ir.VectorType(ir.IntType(8), width)

        def generate(_context: Any, b: Any, _signature: Any, args: Any) -> Any:
            lookup = cgutils.get_or_insert_function(b.module, ir.FunctionType(kind, [kind, kind]), name)
            byte, places = b.trunc(args[0], ir.IntType(8)), ir.Constant(kind, list(range(width)))
            chains = []
            for chain in range(CHAINS + 1):  # each starts differently, and from what is known in the call alone
                first = b.insert_element(places, byte, ir.Constant(ir.IntType(32), chain))
                chains.append(cgutils.alloca_once_value(b, first))
            *chains, table = chains
            entries = b.load(table)
            with cgutils.for_range(b, args[0]):
                for chain in chains:
                    b.store(b.call(lookup, [entries, b.load(chain)]), chain)
            total = b.load(chains[0])
            for chain in chains[1:]:
                total = b.xor(total, b.load(chain))
            return b.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return types.uint8(types.int64), generate

    @njit(nogil=True)
    def kernel(rounds: int) -> Any:
        return shuffle(rounds)

    return kernel


def seconds(tasks: list[Callable[[], object]], threads: int) -> float:
    """Median seconds of all tasks together, on so many threads, after one call that does not count."""
    times = []
    for _ in range(REPEAT + 1):
        start = time.perf_counter()
        run(tasks, threads)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def bytes_per_second(nbytes: int, threads: int) -> float:
    """Bytes a second of a plain read of memory by so many threads, each of its part."""
    words = np.random.default_rng(0).integers(0, 1 << 63, max(nbytes // 8, threads)).astype(np.uint64)
    return words.nbytes / seconds([partial(read, part) for part in np.array_split(words, threads)], threads)


def lookups_per_second(threads: int) -> float | None:
    """Bytes looked up a second by so many threads; None where the scan has no shuffles."""
    if simd_level() not in SHUFFLES:
        return None
    width, name = SHUFFLES[simd_level()]
    kernel = make_shuffle(width, name)
    return threads * ROUNDS * CHAINS * width / seconds([partial(kernel, ROUNDS)] * threads, threads)


def nibbles_per_second(nbytes: int, threads: int) -> float:
    """Bytes a second of one query's search of so many bytes of plain nibbles, four bits a coordinate."""
    rng = np.random.default_rng(0)
    index = IndexLPLR(COORDINATES, method="nq", nbits=4)
    index.train(rng.standard_normal((1000, COORDINATES), dtype=np.float32))
    codes = rng.integers(0, 256, (max(nbytes // index.code_size, 1), index.code_size), dtype=np.uint8)
    index.add_sa_codes(codes)
    query = rng.standard_normal((1, COORDINATES), dtype=np.float32)
    times = []
    for _ in range(REPEAT + 1):
        start = time.perf_counter()
        index.search(query, 10, threads=threads)
        times.append(time.perf_counter() - start)
    return codes.nbytes / statistics.median(times[1:])


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=48)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, available()}))
    options = parser.parse_args()
    for threads in options.threads:
        size, lookups = options.megabytes << 20, lookups_per_second(threads)
        memory, nibbles = bytes_per_second(size, threads), nibbles_per_second(size, threads)
        told = "none" if lookups is None else f"{lookups / 1e9:.0f} billion"
        read = f"{memory / 1e9:.1f} GB/s read, {nibbles / 1e9:.1f} searched"
        print(f"{threads} thread(s): {read}, {told} look-ups a second, {simd_level()}")


if __name__ == "__main__":
    main()
