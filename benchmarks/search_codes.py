"""Which factorizations are codes for search: recall@10 of their reconstructions at equal bytes a row, beside ``auto``.

    python benchmarks/search_codes.py [--write]

One half of the embedded newsgroups is indexed, 5,000 x 384, and 1,000 queries are asked, under cosine. ``IndexLPLR`` is
trained on the other half, and once on the indexed rows themselves. The other methods factorize the very rows that are
asked for, so that nothing has to be coded that was not there when R, Q or codebooks were fitted: they can only do worse
for further rows, if they can code them at all. All reconstructions are compared with the queries, none is scanned.
Bytes a row are those of every array that grows with the rows; R, codebooks and models are free. For "at length one"
reconstructions are divided by their lengths, which would cost ``caldera`` and the others a byte that is not counted.
"Calibrated" has seen a thousand other queries. Alternations of ``caldera`` and ``lq-lora`` stop after three turns.
Methods that ``factorize`` does not know are left out by name.
Takes some minutes. With --write results go into benchmarks/results/search_codes.json and tables into docs/search.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pages import DOCS, table, write
from quality import Embeddings
from rich.progress import track

from lplr_index import IndexLPLR
from lplr_index.arrays import unit_rows
from lplr_index.atomic import atomic_write
from lplr_index.errors import InputError, UnsupportedError
from lplr_index.evaluation import Task, recall_at_k, score_ids
from lplr_index.factorization import factorize

RESULTS = Path(__file__).parent / "results" / "search_codes.json"
PAGE = DOCS / "search.md"
BYTES = (120, 192)  # 2.5 and 4 bits a coordinate
CODEWORDS = 256
TURNS = 3  # of caldera and lq-lora, whose errors hardly fall later
HEAD = ["method", "bytes a row", "recall@10", "at length one", "codes further rows"]

FloatMatrix = npt.NDArray[np.float32]
Options = dict[str, Any]


def ours(nbytes: int) -> Iterator[tuple[str, Options]]:
    """Yield names of indexes, and what they are trained with."""
    yield "auto", {}
    yield "auto, trained on these rows", {"same": True}
    for method in ("lplr", "lsvd", "dsvd"):
        yield f"{method}, of the index", {"method": method, "rank": 2 * nbytes, "nbits": 4}


def others(nbytes: int, n: int, d: int) -> Iterator[tuple[str, Options]]:
    """Yield names, and arguments of ``factorize`` for rows of ``nbytes`` bytes."""
    best = {"rank": 2 * nbytes, "nbits": 4}
    yield "lsvd, orthogonal, by column", {"method": "lsvd", "sketch": "orthogonal", "scale": "column", **best}
    yield "qmf", {"method": "qmf", **best}
    nbits_Q = 2 if nbytes < 3 * d // 8 else 3
    left = nbytes - nbits_Q * d // 8
    options = {"method": "caldera", "nbits_Q": nbits_Q, "rank": 2 * left, "turns": TURNS}
    yield f"caldera, Q of {nbits_Q} bits", options
    yield f"caldera, Q of {nbits_Q} bits, calibrated", {**options, "calibration": True}
    scales = 2 * d // 64  # bytes, of NormalFloat
    options = {"method": "lq-lora", "nbits_Q": nbits_Q, "rank": (left - scales) // 2, "turns": TURNS}
    yield f"lq-lora, Q of {nbits_Q} bits", options
    book, swaps = CODEWORDS * d * 4, d // 16  # bytes, of codewords and of a row's swaps in a layer
    groups = nbytes - swaps
    yield "hera", {"method": "hera", "groups": groups, "bits": bits_of(n * nbytes + book, n, d)}
    book, half = CODEWORDS * d * 10 // 8 + 64, groups // 2
    first, both = n * (swaps + half) + book, n * nbytes + 2 * book
    yield (
        "qet, layers 1 and 0",
        {"method": "qet", "layers": (1, 0), "groups": half, "share": (first + 1) / both, "bits": bits_of(both, n, d)},
    )


def bits_of(nbytes: int, n: int, d: int) -> float:
    """Return bytes of a matrix as bits an entry, not rounded below them."""
    return math.nextafter(8 * nbytes / (n * d), math.inf)


def growing_bytes(part: Any, n: int) -> int:
    """Return the bytes of all arrays with n rows in a result and in what it is made of."""
    if isinstance(part, np.ndarray):
        return part.nbytes if part.shape[:1] == (n,) else 0
    if isinstance(part, tuple):
        return sum(growing_bytes(each, n) for each in part)
    if dataclasses.is_dataclass(part):
        return sum(growing_bytes(getattr(part, field.name), n) for field in dataclasses.fields(part))
    return 0


def recall(task: Task, x_hat: FloatMatrix) -> float:
    """Return recall@10 by inner product with reconstructions (n, d)."""
    found = np.argsort(-(task.xq @ x_hat.T), axis=1, kind="stable")[:, : task.k]
    scores = score_ids(task.xq, task.xb, found, metric=task.scoring)
    return float(recall_at_k(found, scores, task.truth, task.k, similarity=True))


def line(name: str, task: Task, x_hat: FloatMatrix, row_bytes: float, *, encodes: bool) -> Options:
    """Return an entry of the results."""
    return {
        "method": name,
        "bytes": row_bytes,
        "recall10": recall(task, x_hat),
        "recall10_at_length_one": recall(task, unit_rows(x_hat)[0]),
        "encodes": encodes,
    }


def measure_index(name: str, options: Options, nbytes: int, task: Task) -> Options:
    """Train, fill and ask an index."""
    options = dict(options)
    sample = task.xb if options.pop("same", False) else task.xt
    index = IndexLPLR(task.xb.shape[1], 8 * nbytes / task.xb.shape[1], **options)
    index.train(sample)
    index.add(task.xb)
    return line(name, task, index.reconstruct_n(), index.code_size, encodes=True)


def measure_factors(name: str, options: Options, task: Task, asked_before: FloatMatrix) -> Options | None:
    """Factorize the rows; None where ``factorize`` does not know the method."""
    options = dict(options)
    if options.pop("calibration", False):
        options["calibration"] = asked_before
    try:
        found = factorize(task.xb, **options)
    except InputError as err:
        if "expected method" not in str(err):
            raise
        return None
    x_hat = np.asarray(found.reconstruct(), np.float32)
    row_bytes = growing_bytes(found, len(task.xb)) / len(task.xb)
    return line(name, task, x_hat, row_bytes, encodes=codes_further_rows(found, task.xt[:2]))


def codes_further_rows(found: Any, x: FloatMatrix) -> bool:
    """Tell whether a result can code rows x (n, d) that it was not made of."""
    try:
        return len(found.encode(x)) == len(x)
    except (AttributeError, UnsupportedError):
        return False


def measure() -> list[Options]:
    """Return all entries, by bytes."""
    posts = Embeddings.of_the_package()
    task = posts.task(0)
    asked = {row.tobytes() for row in task.xq}
    every = unit_rows(np.asarray(posts.test, np.float32))[0]
    before = np.stack([row for row in every if row.tobytes() not in asked])
    n, d = task.xb.shape
    jobs = [(nbytes, "ours", *each) for nbytes in BYTES for each in ours(nbytes)]
    jobs += [(nbytes, "others", *each) for nbytes in BYTES for each in others(nbytes, n, d)]
    entries = []
    for nbytes, whose, name, options in track(jobs, "methods"):
        if whose == "ours":
            entries.append({"budget": nbytes, **measure_index(name, options, nbytes, task)})
        elif (found := measure_factors(name, options, task, before)) is not None:
            entries.append({"budget": nbytes, **found})
        else:
            print(f"left out: factorize does not know {options['method']}")
    return entries


def sections(entries: list[Options]) -> dict[str, str]:
    """Return the parts of the page, best first at each size."""
    parts = {}
    for nbytes in BYTES:
        best_first = sorted(
            (each for each in entries if each["budget"] == nbytes), key=lambda each: -each["recall10_at_length_one"]
        )
        rows = [
            [
                each["method"],
                f"{each['bytes']:.1f}",
                *(f"{each[key]:.3f}" for key in ("recall10", "recall10_at_length_one")),
                "yes" if each["encodes"] else "no",
            ]
            for each in best_first
        ]
        parts[f"codes of {nbytes} bytes"] = table(HEAD, rows)
    return parts


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    entries = measure()
    parts = sections(entries)
    print("\n\n".join(parts.values()))
    if options.write:
        with atomic_write(RESULTS) as stream:
            stream.write((json.dumps(entries, indent=1) + "\n").encode())
        write(PAGE, parts)


if __name__ == "__main__":
    main()
