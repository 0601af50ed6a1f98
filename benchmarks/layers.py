"""Weight matrices of two real networks by every method at equal bytes, and sentences embedded with what is left.

    python benchmarks/layers.py --out results.json [--only minilm] [--bits 2 4] [--ways NQ CALDERA] [--cache DIR]
    python benchmarks/layers.py --write     fills docs/layers.md from benchmarks/results/layers.json, draws its pictures

Measuring needs torch, sentence-transformers and Pillow, and an hour on two cores; some 280 MB of packages are
downloaded into --cache the first time. What is in --out already is not measured again: a run that was interrupted goes
on with the way and the bits that it was at. A network whose packages are missing is skipped. Writing needs matplotlib.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from layer_networks import (
    CACHE,
    Network,
    RecipeError,
    efficientnet_network,
    embed,
    int8_model,
    minilm,
    minilm_network,
    replaced,
    sentences,
)
from layer_plots import draw
from layer_tables import BITS, INT8, MATRICES, MORE_BITS, PAGE, Measured, sections
from layer_ways import BY_ROW, Matrix, Outcome, Way, compress, ways
from pages import write
from quality import Entry, Results
from threadpoolctl import threadpool_limits

from lplr_index.arrays import FloatMatrix
from lplr_index.errors import MissingDependencyError

NETWORKS: dict[str, Callable[[Path], Network]] = {"minilm": minilm_network, "efficientnet": efficientnet_network}
KEYS = ("network", "way", "bits")
OF_MORE_BITS = ("NQ", BY_ROW)
SENTENCE_BITS = (2, 3, 4, MORE_BITS)
EVERYTHING_BITS = (4, MORE_BITS)
EVERYTHING = (BY_ROW, "Q alone")
K = 10
LARGE = 4_000_000  # entries, from which on the slowest methods are left out
SLOW = ("caldera", "lq-lora", "qmf", "hera", "qet")


def jobs(options: argparse.Namespace, network: str) -> Iterator[tuple[str, Way, int]]:
    """Yield ways and bits."""
    every = [(name, way, bits) for bits in options.bits for name, way in ways(bits).items()]
    every += [(name, ways(4)[name], MORE_BITS) for name in OF_MORE_BITS if network == "minilm"]
    for name, way, bits in every:
        if not options.ways or name in options.ways:
            yield name, way, bits


def about(network: str, found: Network) -> Entry:
    """Return the entry that says what the lists of the others are about."""
    return {
        "network": network,
        "way": MATRICES,
        "bits": 0,
        "parameters": found.parameters,
        "names": [each.name for each in found.matrices],
        "shapes": [list(each.A.shape) for each in found.matrices],
        "calibrated": [each.calibration is not None for each in found.matrices],
    }


def outcome(matrix: Matrix, way: Way, bits: int) -> Outcome:
    """Compress a matrix, unless that takes too long."""
    if matrix.A.size >= LARGE and way.method in SLOW and not way.whole:
        return Outcome(reason=f"too slow for a matrix of {matrix.A.size:,} entries")
    return compress(matrix, way, bits)


class Posts:
    """The posts as the uncompressed model has them, and as others have them."""

    def __init__(self, cache: Path) -> None:
        self.model = minilm(cache)
        self.chosen = sentences(self.model, cache)
        self.exact = embed(self.model, self.chosen)

    def compare(self, x: FloatMatrix) -> Entry:
        """Return recall@10 of the ten nearest other posts, for rows and queries of x, and for queries of x alone."""
        return {
            "both": neighbours_kept(self.exact, x, x),
            "queries": neighbours_kept(self.exact, self.exact, x),
            "cosine": float(np.mean(np.sum(self.exact * x, axis=1))),
        }

    def of(self, approximations: dict[str, FloatMatrix]) -> Entry:
        """Return the comparison of the model with other matrices."""
        with replaced(self.model, approximations):
            return self.compare(embed(self.model, self.chosen))


def neighbours_kept(exact: FloatMatrix, rows: FloatMatrix, queries: FloatMatrix) -> float:
    """Return recall@10 against the nearest in ``exact`` (n, d), row i itself not counted among those of query i."""
    truth = others(exact, exact)
    found = others(rows, queries)
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(truth, found, strict=True)]))


def others(rows: FloatMatrix, queries: FloatMatrix) -> list[list[int]]:
    """Return the ten nearest rows of each query by inner product, but for the row of its own number."""
    scores = queries @ rows.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :K].tolist()


def in_encoder(name: str) -> bool:
    """Whether a matrix of MiniLM works on sentences: neither an embedding nor the pooler, which sentences pass by."""
    return ".encoder." in name


def measure(network: str, found: list[Matrix], job: tuple[str, Way, int], posts: Posts | None) -> Entry:
    """Return an entry: lists in the order of the matrices, and how sentences fare."""
    name, way, bits = job
    got = [outcome(each, way, bits) for each in found]
    entry: Entry = {
        "network": network,
        "way": name,
        "bits": bits,
        "bytes": [each.nbytes for each in got],
        "errors": [_rounded(each.error) for each in got],
        "activations": [_rounded(each.activations) for each in got],
        "reasons": {each.name: one.reason for each, one in zip(found, got, strict=True) if one.reason},
    }
    if posts is not None and bits in SENTENCE_BITS:
        made = {each.name: one.approximation for each, one in zip(found, got, strict=True)}
        inner = {name: made[name] for name in made if in_encoder(name)}
        if all(each is not None for each in inner.values()):
            entry["encoder"] = posts.of(inner)
        if name in EVERYTHING and bits in EVERYTHING_BITS and all(each is not None for each in made.values()):
            entry["everything"] = posts.of(made)
    return entry


def _rounded(error: float | None) -> float | None:
    return None if error is None else float(f"{error:.5g}")


def int8(found: list[Matrix], posts: Posts) -> Entry:
    """Return the entry of torch's int8, whose linear layers hold a byte an entry, a scale and a zero."""
    nbytes = [each.A.size + 8 if each.calibration is not None else None for each in found]
    compared = posts.compare(embed(int8_model(posts.model), posts.chosen))
    return {"network": "minilm", "way": INT8, "bits": MORE_BITS, "bytes": nbytes, "encoder": compared}


def work(results: Results, options: argparse.Namespace) -> Iterator[str]:
    """Measure what is missing, and tell about it."""
    for network in options.only:
        waiting = [
            job for job in jobs(options, network) if {"network": network, "way": job[0], "bits": job[2]} not in results
        ]
        if not waiting:
            continue
        try:
            loaded = NETWORKS[network](options.cache)
        except (MissingDependencyError, RecipeError) as err:
            yield f"{network}: skipped, {err}"
            continue
        results.add(about(network, loaded))
        found = loaded.matrices
        posts = Posts(options.cache) if network == "minilm" else None
        if posts is not None and not options.ways:
            results.add(int8(found, posts))
        for job in waiting:
            began_s = time.perf_counter()
            entry = measure(network, found, job, posts)
            results.add(entry)
            errors = [each for each in entry["errors"] if each is not None]
            recall = f", recall@{K} {entry['encoder']['both']:.3f}" if "encoder" in entry else ""
            middle = f"median error {np.median(errors):.4f}" if errors else "left out"
            took_s = time.perf_counter() - began_s
            yield f"{network}, {job[2]} bits, {job[0]}: {middle} of {len(errors)}{recall}, {took_s:.0f} s"


def main() -> None:
    """Parse the command line, measure or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--bits", nargs="+", type=int, choices=BITS, default=list(BITS))
    parser.add_argument("--ways", nargs="+", choices=list(ways(4)), help="those alone (all)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the packages are kept")
    parser.add_argument("--out", type=Path, help="the file to save to and continue")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/layers.md")
    options = parser.parse_args()
    if options.write:
        measured = Measured.read()
        draw(measured)
        write(PAGE, sections(measured))
        return
    with threadpool_limits(1):  # on which the last bits of what BLAS returns depend
        for line in work(Results(options.out, KEYS), options):
            print(line, flush=True)


if __name__ == "__main__":
    main()
