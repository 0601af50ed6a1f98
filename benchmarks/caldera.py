"""Q + L R beside the published factorizations at equal bits: what each leaves of a matrix and of inner products.

    python benchmarks/caldera.py [--write]

Two matrices: every third row of the embedded newsgroups of the package, 3,334 x 384, and a random one of 512 x 512 with
singular values i^-0.5. Half of the queries of one kind calibrate, and errors are those of the other half and of
queries of another kind. For the newsgroups a kind is a half of the groups; for the random matrix, vectors that favour
some directions, and vectors that favour none. Recall@10, by inner product, is that of the held-out queries of the first
kind.
Takes some minutes. With --write results go into benchmarks/results/caldera.json and the table into
docs/factorization.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pages import DOCS, table, write
from rich.progress import track

from lplr_index.atomic import atomic_write
from lplr_index.data import newsgroups
from lplr_index.evaluation import exact_knn, recall_at_k, score_ids
from lplr_index.factorization import factorize

RESULTS = Path(__file__).parent / "results" / "caldera.json"
PAGE = DOCS / "factorization.md"
BUDGETS = (2.5, 3.5)
BLOCK_SCALES = 0.25  # bits an entry that the blocks of NormalFloat take beside their codes
K = 10
HEAD = ["matrix", "method", "rank", "bits", "error", "of calibrated queries", "of other queries", "recall@10"]

FloatMatrix = npt.NDArray[np.float32]


class Problem(NamedTuple):
    """A matrix, vectors to calibrate with, more of their kind, and others."""

    name: str
    A: FloatMatrix
    calibration: FloatMatrix
    held_out: FloatMatrix
    others: FloatMatrix


def problems() -> Iterator[Problem]:
    """Yield the two matrices."""
    posts = newsgroups()
    rng = np.random.default_rng(0)
    x = np.asarray(posts.test, np.float32)
    first = posts.test_labels % 2 == 0
    chosen = rng.permutation(np.flatnonzero(first))
    half = len(chosen) // 2
    A = np.asarray(posts.train[::3], np.float32)
    yield Problem("newsgroups", A, x[chosen[:half]], x[chosen[half:]], x[~first])
    d = 512
    left, right, axes = (np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(3))
    decay = np.arange(1, d + 1) ** -0.5
    queries = (rng.standard_normal((4 * d, d)) * decay @ axes).astype(np.float32)
    others = rng.standard_normal((d, d)).astype(np.float32)
    yield Problem("decaying", (left * decay @ right).astype(np.float32), queries[: 3 * d], queries[3 * d :], others)


def contenders(problem: Problem) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names, and arguments of ``factorize``."""
    calibration = problem.calibration
    yield "Q alone, uniform", {"method": "caldera", "rank": 0, "quantizer": "uniform"}
    yield "Q alone, E8", {"method": "caldera", "rank": 0}
    yield "Q alone, E8, calibrated", {"method": "caldera", "rank": 0, "calibration": calibration}
    for bits in BUDGETS:
        nbits_Q = int(bits)
        yield "nq", {"method": "nq", "bits": bits}
        yield "lplr", {"method": "lplr", "bits": bits, "nbits": 4}
        best = {"scale": "column", "nbits": 4, "bits": bits}
        yield "lsvd, orthogonal, by column", {"method": "lsvd", "sketch": "orthogonal", **best}
        yield "dsvd, by column", {"method": "dsvd", **best}
        yield "lq-lora", {"method": "lq-lora", "bits": bits - BLOCK_SCALES, "nbits_Q": nbits_Q}
        for quantizer in ("uniform", "e8"):
            options = {"method": "caldera", "bits": bits, "nbits_Q": nbits_Q, "quantizer": quantizer}
            name = f"caldera, {'E8' if quantizer == 'e8' else quantizer}"
            yield name, options
            yield f"{name}, calibrated", {**options, "calibration": calibration}


def recall(problem: Problem, approximation: FloatMatrix) -> float:
    """Return recall@10 by inner product of the held-out queries of the calibrated kind."""
    truth = exact_knn(problem.held_out, problem.A, K, metric="ip")
    found = np.argsort(-(problem.held_out @ approximation.T), axis=1, kind="stable")[:, :K]
    scores = score_ids(problem.held_out, problem.A, found, metric="ip")
    return float(recall_at_k(found, scores, truth, K, similarity=True))


def measure(problem: Problem, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return a line of the table."""
    f = factorize(problem.A, **options)
    return {
        "matrix": problem.name,
        "method": name,
        "budget": options.get("bits"),
        "rank": f.rank,
        "bits": f.bits_per_entry,
        "error": f.relative_error(problem.A),
        "calibrated": f.relative_error(problem.A, problem.held_out),
        "others": f.relative_error(problem.A, problem.others),
        "recall10": recall(problem, f.reconstruct()),
    }


def sections(entries: list[dict[str, Any]]) -> dict[str, str]:
    """Return the parts of the page."""
    rows = [
        [
            each["matrix"],
            each["method"],
            f"{each['rank']}",
            *(f"{each[key]:.3f}" for key in ("bits", "error", "calibrated", "others", "recall10")),
        ]
        for each in entries
    ]
    return {"caldera": table(HEAD, rows)}


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    asked = [(problem, *contender) for problem in problems() for contender in contenders(problem)]
    entries = [measure(*each) for each in track(asked, "factorizations")]
    parts = sections(entries)
    print(parts["caldera"])
    if options.write:
        with atomic_write(RESULTS) as stream:
            stream.write((json.dumps(entries, indent=1) + "\n").encode())
        write(PAGE, parts)


if __name__ == "__main__":
    main()
