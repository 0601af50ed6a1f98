"""How far any code could go: recall at the rate-distortion bound of Gaussian columns, and the chain's distance from it.

    python benchmarks/rate_distortion.py [FOLDER ...] [--sets NAME ...] [--out results.json]

Folders, split and queries are those of quality.py, with at most 15,000 rows to train on and to index. No code is run
for the ceilings: an ideal test channel adds to every principal component just the noise that its share of the bits
leaves at the least (reverse water-filling; Cover & Thomas, chapter 10), as a code of endless length would. The bits of
the gain are taken off. Shares follow energies to a power, as those of ``auto`` do, and the best power is the ceiling.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gaussian_books import error
from quality import Embeddings
from threadpoolctl import threadpool_limits

from lplr_index.atomic import atomic_write
from lplr_index.auto.shapes import gaussian_books
from lplr_index.evaluation import Task
from lplr_index.lloyd import lloyd_max

BITS = (0.5, 1.0, 2.0, 4.0)
POWERS = (1.0, 1.3, 1.6, 1.9, 2.2)  # of the energies by which bits are shared
GAIN_POWERS = (0.5, 0.75, 1.0)
GAIN_BITS = 4
MOST_ROWS = 15_000
LLOYD_VALUES = 1 << 20
LLOYD_BITS = (1, 2, 3, 4, 5, 6)

Floats = npt.NDArray[np.float64]


def least_distortions(energies: Floats, bits: float, power: float) -> Floats:
    """The part (m,) of each energy that is left at ``bits`` a row, errors weighed by energies**(power - 1)."""
    weights = np.maximum(energies, energies[0] * 1e-12) ** power
    low, high = np.log(weights.min()) - 2 * np.log(2) * bits / len(weights), np.log(weights.max())
    for _ in range(100):
        level = np.exp((low + high) / 2)
        if 0.5 * np.log2(np.maximum(weights / level, 1)).sum() > bits:
            low = np.log(level)
        else:
            high = np.log(level)
    return np.minimum(1.0, np.exp(high) / weights)


def ceilings(each: Embeddings, most_rows: int, seed: int) -> list[dict[str, Any]]:
    """Recall@10 of ideal codes: an entry for each budget and power."""
    drawn = np.random.default_rng(seed).permutation(len(each.train))[: 2 * most_rows]
    labels = each.train_labels if each.train_labels is None else each.train_labels[drawn]
    task = each._replace(train=each.train[drawn], train_labels=labels).task(seed)
    xt, xb, xq = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (task.xt, task.xb, task.xq))
    mu = xt.mean(axis=0)
    found, basis = np.linalg.eigh(np.cov(xt.T, bias=True))
    energies, basis = np.maximum(found[::-1], 0), basis[:, ::-1]
    y, rng, entries = (xb - mu) @ basis, np.random.default_rng(seed), []
    for bits in BITS:
        for power in POWERS:
            left = least_distortions(energies, bits * xb.shape[1] - GAIN_BITS, power)
            noise = np.sqrt(left * (1 - left) * energies) * rng.standard_normal(y.shape)
            hats = mu + ((1 - left) * y + noise) @ basis.T
            recall = max(_recall(task, xq, hats, power) for power in GAIN_POWERS)
            about = {"set": each.name, "n": len(xb), "d": xb.shape[1], "seed": seed}
            entries.append(about | {"bits": bits, "power": power, "recall10": recall})
    return entries


def _recall(task: Task, xq: npt.NDArray[Any], hats: Floats, gain_power: float) -> float:
    """Recall@k of reconstructions whose lengths are corrected by a power of their error; rows have length one."""
    lengths = np.linalg.norm(hats, axis=1, keepdims=True)
    scores = xq @ (hats * lengths**-gain_power).T
    I = np.argpartition(-scores, task.k - 1, axis=1)[:, : task.k]
    return float((task.truth.I[:, : task.k, None] == I[:, None, :]).any(axis=2).mean())


def distortions(seed: int) -> list[dict[str, Any]]:
    """What codes leave of the variance of Gaussian columns: patterns of the chain, and Lloyd-Max quantizers."""
    found: list[dict[str, Any]] = []
    for pattern, book in gaussian_books().items():
        bits = 4 * len(pattern) / sum(pattern)
        found.append({"code": "chain", "pattern": pattern, "bits": bits, "error": error(pattern, book, seed + 2)})
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(LLOYD_VALUES).astype(np.float32)
    for bits in LLOYD_BITS:
        levels = lloyd_max(values, bits)
        missed = np.square(values - levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, values)]).mean()
        found.append({"code": "Lloyd-Max", "pattern": None, "bits": float(bits), "error": float(missed)})
    return found


def main() -> None:
    """Parse the command line, measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--sets", nargs="+", help="only these, in this order; the package's own is newsgroups")
    parser.add_argument("--rows", type=int, default=MOST_ROWS, help="at most, to train on and to index (15000)")
    parser.add_argument("--out", type=Path, help="the file to save to")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folders = {folder.name: partial(Embeddings.read, folder) for folder in options.folders if folder.is_dir()}
    folders["newsgroups"] = Embeddings.of_the_package
    names = options.sets or list(folders)
    if unknown := set(names) - set(folders):
        parser.error(f"expected --sets among {', '.join(folders)}, got {', '.join(unknown)}")
    with threadpool_limits(1):  # on which the last bits of what BLAS returns depend
        shapes = distortions(options.seed)
        for each in shapes:
            print(f"{each['code']:10} {each['bits']:.3f} bits: {each['error']:.5f} {each['pattern'] or ''}")
        found = []
        for name in names:
            found += ceilings(folders[name](), options.rows, options.seed)
            for each in found[-len(BITS) * len(POWERS) :]:
                print(f"{each['set']:20} {each['bits']:.1f} bits, power {each['power']:.1f}: {each['recall10']:.3f}")
    if options.out:
        with atomic_write(options.out) as stream:
            stream.write((json.dumps({"distortions": shapes, "ceilings": found}, indent=0) + "\n").encode())


if __name__ == "__main__":
    main()
