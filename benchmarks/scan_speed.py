"""Queries per second of the scan beside faiss's PQ fast scan, at the same bytes a row, in one run.

    python benchmarks/scan_speed.py [--rows 1000000] [--bytes 48] [-k 10] [--threads 1] [-o results.json]

Rows are the newsgroup embeddings that come with the package, repeated with small noise and normalised again.
Both indexes hold the same rows; searches alternate, ours then faiss's, and the median of each side's times is taken,
so the ratio holds on a machine whose speed drifts. A ratio above 1 means that ours is faster.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

import lplr_index
from lplr_index.data import newsgroups
from lplr_index.kernels import simd_level

CHUNK = 20_000
BATCHES = {1: 25, 256: 5}  # queries of a call: times it is repeated


def noisy_rows(rows: np.ndarray, n: int, noise: float, rng: np.random.Generator) -> np.ndarray:
    """``n`` unit rows, each a random row of ``rows`` plus Gaussian noise of that length."""
    x = rows[rng.integers(0, len(rows), n)]
    x = x + rng.standard_normal(x.shape, dtype=np.float32) * np.float32(noise / np.sqrt(x.shape[1]))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def alternate(ours: Callable[[], object], theirs: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Median seconds of each of two calls, made in turn after one call of each that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeat + 1):
        for call, kept in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            call()
            if turn:
                kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def measure(n: int, nbytes: int, k: int, threads: int, seed: int = 0) -> dict[str, object]:
    """Build both indexes and time both batch sizes."""
    posts, rng = newsgroups(), np.random.default_rng(seed)
    rows, queries = posts.train[:].astype(np.float32), posts.test[:].astype(np.float32)
    d = rows.shape[1]
    ours = lplr_index.IndexLPLR(d, bits=8 * nbytes / d)
    theirs = faiss.IndexPQFastScan(d, 2 * nbytes, 4, faiss.METRIC_INNER_PRODUCT)
    ours.train(rows)
    theirs.train(rows)
    for start in range(0, n, CHUNK):
        chunk = noisy_rows(rows, min(CHUNK, n - start), 0.2, rng)
        ours.add(chunk)
        theirs.add(chunk)
    faiss.omp_set_num_threads(threads)
    results = []
    for nq, repeat in BATCHES.items():
        xq = np.ascontiguousarray(queries[rng.choice(len(queries), nq, replace=False)])
        ours_s, theirs_s = alternate(
            lambda xq=xq: ours.search(xq, k, threads=threads), lambda xq=xq: theirs.search(xq, k), repeat
        )
        results.append({"nq": nq, "lplr_qps": nq / ours_s, "faiss_pq_fast_scan_qps": nq / theirs_s})
        results[-1]["ratio"] = theirs_s / ours_s
    return {
        "n": n,
        "d": d,
        "k": k,
        "threads": threads,
        "bytes_per_row": {"lplr": ours.code_size, "faiss_pq_fast_scan": theirs.code_size},
        "instruction_set": simd_level(),
        "machine": platform.processor() or platform.machine(),
        "versions": {"lplr_index": lplr_index.__version__, "faiss": faiss.__version__, "numpy": np.__version__},
        "results": results,
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=48)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    args = parser.parse_args()
    report = measure(args.rows, args.bytes, args.k, args.threads)
    print(
        f"n = {args.rows:,}, d = {report['d']}, {args.bytes} bytes a row, k = {args.k}, "
        f"{args.threads} thread(s), {report['instruction_set']}"
    )
    for row in report["results"]:  # type: ignore[attr-defined]
        print(
            f"{row['nq']:>4} queries a call: lplr {row['lplr_qps']:7.0f}/s, "
            f"faiss PQ fast scan {row['faiss_pq_fast_scan_qps']:7.0f}/s, ratio {row['ratio']:.2f}"
        )
    if args.output:
        args.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
