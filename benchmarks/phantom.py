"""Relative Frobenius errors on the modified Shepp-Logan phantom: prints the table of docs/factorization.md.

Run as ``python benchmarks/phantom.py``; it takes about half a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from lplr_index.factorization import factorize

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from phantom import shepp_logan

SEEDS = range(3)
BUDGETS = ((8, 8, 1), (4, 8, 1), (4, 4, 1), (8, 4, 1), (2, 8, 1), (8, 8, 2), (4, 8, 2))
COLUMNS = {
    "LPLR": {"method": "lplr"},
    "LSVD Gaussian": {"method": "lsvd"},
    "LSVD no sketch": {"method": "lsvd", "sketch": "none"},
    "LSVD orthogonal": {"method": "lsvd", "sketch": "orthogonal"},
    "DSVD": {"method": "dsvd"},
}


def main() -> None:
    """Print the table in Markdown: means over the seeds, normalised and shifted but for NQ, and one row a budget."""
    A = shepp_logan(1000)
    print("| B, B', B_nq | rank | bits per entry |", *(f"{name} |" for name in COLUMNS), "NQ | NQ shifted |")
    print("|---" * (len(COLUMNS) + 5) + "|")
    for nbits, nbits_R, bits in BUDGETS:
        errors = []
        for options in COLUMNS.values():
            made = [
                factorize(A, bits=bits, nbits=nbits, nbits_R=nbits_R, normalize_and_shift=True, seed=seed, **options)
                for seed in SEEDS
            ]
            errors.append(np.mean([each.relative_error(A) for each in made]))
        naively = factorize(A, "nq", bits=bits)
        errors += [naively.relative_error(A), naively.normalized_and_shifted(A).relative_error(A)]
        cells = [f"{nbits}, {nbits_R}, {bits}", f"{made[0].rank}", f"{made[0].bits_per_entry:.3f}"]
        print("|", " | ".join([*cells, *(f"{error:.3f}" for error in errors)]), "|", flush=True)


if __name__ == "__main__":
    main()
