"""What IndexIVFLPLR codes and which lists it looks at, beside what it could: rows or residuals, angles or distances.

    python benchmarks/ivf_codes.py [--cache FOLDER] [--write]

60,000 of the rows of ivf.py are indexed, 60,000 others trained on, in 4,096 lists; queries are posts. Codes are
compared by recall@10 over all lists; lists by the share of the ten nearest rows that lie in those a query looks at.
Takes some minutes. With --write results go into benchmarks/results/ivf_codes.json and the tables into docs/ivf.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from ivf import queries, rows
from pages import DOCS, table, write

from lplr_index import IndexIVFLPLR, IndexLPLR
from lplr_index.arrays import FloatMatrix
from lplr_index.atomic import atomic_write
from lplr_index.coarse import Coarse
from lplr_index.evaluation import exact_knn, recall_at_k, score_ids

PAGE = DOCS / "ivf.md"
RESULTS = Path(__file__).parent / "results" / "ivf_codes.json"
HALF = 60_000
LISTS = 4096
BITS = (1.0, 2.0)
PROBES = (2, 4, 8)
K = 10

Entry = dict[str, Any]


def work(cache: Path) -> list[Entry]:
    """Measure codes, then lists."""
    x, xq = rows(cache, 2 * HALF), queries()
    xb, xt = np.asarray(x[:HALF]), np.asarray(x[HALF:])
    truth = exact_knn(xq, xb, K)
    found: list[Entry] = []
    for bits in BITS:
        plain = IndexLPLR(x.shape[1], bits)
        lists = IndexIVFLPLR(x.shape[1], bits, nlist=LISTS)
        for name, index, more in (("the row itself", plain, {}), ("its residual", lists, {"nprobe": LISTS})):
            index.train(xt)
            index.add(xb)
            _, ids = index.search(xq, K, **more)
            recall = recall_at_k(ids, score_ids(xq, xb, ids), truth, K, similarity=True)
            found.append({"code": name, "bytes": index.code_size, "recall10": recall})
    return found + looks(lists.model.coarse, xb, xq, truth.I)


def looks(coarse: Coarse, xb: FloatMatrix, xq: FloatMatrix, best: np.ndarray[Any, Any]) -> list[Entry]:
    """Which share of the true neighbours lies in the lists that are looked at."""
    home = coarse.assign(xb)[best]
    ways = {
        "by angle, first in a third of the dimensions": coarse,
        "by angle": Coarse(coarse.centroids, "cosine"),
        "by distance": Coarse(coarse.centroids, "l2"),
    }
    entries = []
    for name, each in ways.items():
        for nprobe in PROBES:
            chosen = each.probe(xq, nprobe)[0]
            share = float((home[:, :, None] == chosen[:, None, :]).any(axis=2).mean())
            entries.append({"lists": name, "nprobe": nprobe, "share": share})
    return entries


def parts(found: list[Entry]) -> dict[str, str]:
    """The tables by their places in the page."""
    codes = {(each["code"], each["bytes"]): each["recall10"] for each in found if "code" in each}
    sizes = sorted({nbytes for _, nbytes in codes})
    names = list(dict.fromkeys(name for name, _ in codes))
    shares = {(each["lists"], each["nprobe"]): each["share"] for each in found if "lists" in each}
    return {
        "codes": table(
            ["recall@10", *(f"{nbytes} bytes" for nbytes in sizes)],
            [[name, *(f"{codes[name, nbytes]:.3f}" for nbytes in sizes)] for name in names],
        ),
        "looks": table(
            ["true neighbours in the lists looked at", *(f"{nprobe} lists" for nprobe in PROBES)],
            [
                [name, *(f"{shares[name, nprobe]:.3f}" for nprobe in PROBES)]
                for name in dict.fromkeys(name for name, _ in shares)
            ],
        ),
    }


def main() -> None:
    """Measure and print, or write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cache", type=Path, default=Path(), help="where the rows of ivf.py lie, or are made")
    parser.add_argument("--again", action="store_true", help="write what was measured before")
    parser.add_argument("--write", action="store_true", help="keep the results and fill docs/ivf.md")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text("utf-8")) if options.again else work(options.cache)
    for name, text in parts(found).items():
        print(f"{name}\n\n{text}\n")
    if options.write:
        with atomic_write(RESULTS) as stream:
            stream.write((json.dumps(found, indent=1) + "\n").encode())
        write(PAGE, parts(found))


if __name__ == "__main__":
    main()
