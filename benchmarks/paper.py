"""The k-NN classification of the LPLR paper, with its protocol put right, beside what was published.

    python benchmarks/paper.py [FOLDER ...] [--part methods triples leak auto] [--seeds 3] [--out FILE] [--write]

The whole matrix of training rows is factorized at once; queries are the test rows, as they are; a query's label is the
majority among its k = 3 nearest reconstructed rows in Euclidean distance; the error is that of each row against its own
reconstruction. Ranks follow from the paper's budget, floor(n d B_nq / (n B + d B')). Random methods run with three
seeds. A folder is one that a recipe of datasets/ has written, or any with train.npy, test.npy and their labels; without
one it is the set of the package. With --out, what is in that file already is not measured again.

--part leak shows what the released CIFAR script measures instead: each class factorized by itself, so that a row's
factors tell its label; queries that are training rows; and the error between rows in two different orders.
--write puts what results/paper.json says into docs/paper.md.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pages import DOCS, write
from paper_tables import sections
from quality import Embeddings, Entry, Results
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn
from threadpoolctl import threadpool_limits

from lplr_index import IndexLPLR
from lplr_index.arrays import FloatMatrix
from lplr_index.errors import InputError
from lplr_index.evaluation import accuracy, exact_knn, knn_vote, relative_frobenius_error, weighted_f1
from lplr_index.evaluation.measure import saved_bytes
from lplr_index.factorization import PUBLISHED, factorize

RESULTS = Path(__file__).parent / "results" / "paper.json"
VOTES = 3
SEEDS = 3
BUDGETS = ((8, 8, 1), (8, 8, 2), (8, 8, 4))  # B, B', B_nq of the paper's tables of classification
TRIPLES = ((4, 8, 1), (4, 8, 2), (2, 8, 1), (4, 4, 4))  # of its images and layers
RANDOM = ("lplr", "lsvd")  # the others give the same for every seed
SAME_QUERIES = 2000  # training rows that are queries where the leak is shown
KEYS = ("set", "part", "method", "nbits", "nbits_R", "bits", "seed", "factors", "queries")

LabelArray = npt.NDArray[np.int64]


class Labelled(NamedTuple):
    """A set: rows (n, d) and queries (nq, d), float32, and their labels (n,) and (nq,), numbers from zero."""

    name: str
    rows: FloatMatrix
    queries: FloatMatrix
    labels: LabelArray
    query_labels: LabelArray

    @classmethod
    def of(cls, each: Embeddings) -> Labelled:
        """Number the labels."""
        if each.train_labels is None or each.test_labels is None:
            raise SystemExit(f"expected labels of both rows and queries in {each.name}, got none")
        numbers = np.unique(np.concatenate([each.train_labels, each.test_labels]), return_inverse=True)[1]
        rows, queries = (np.ascontiguousarray(x[:], np.float32) for x in (each.train, each.test))
        return cls(each.name, rows, queries, numbers[: len(rows)], numbers[len(rows) :])

    def with_known_queries(self) -> Labelled:
        """The same rows, some of which are the queries: each of them finds itself."""
        drawn = np.sort(np.random.default_rng(0).permutation(len(self.rows))[:SAME_QUERIES])
        return self._replace(queries=self.rows[drawn], query_labels=self.labels[drawn])

    def vote(self, base: FloatMatrix, labels: LabelArray) -> Entry:
        """What the majority of the nearest of ``base`` (n, d), whose labels are (n,), makes of the queries."""
        I = exact_knn(self.queries, base, VOTES, metric="l2").I
        voted = knn_vote(I, labels, VOTES)
        return {"accuracy": accuracy(self.query_labels, voted), "f1": weighted_f1(self.query_labels, voted)}


class Job(NamedTuple):
    """Something to measure: what is known of it before, and ``run(data)``, which returns the figures."""

    about: Entry
    run: Callable[[Labelled], Entry]


def settings(part: str, method: str, triple: tuple[int, int, int], seed: int, **more: Any) -> Entry:
    """What an entry is about."""
    nbits, nbits_R, bits = triple
    about = {"part": part, "method": method, "nbits": nbits, "nbits_R": nbits_R, "bits": bits, "seed": seed}
    return about | {"factors": "global", "queries": "held out"} | more


def unquantized(about: Entry, data: Labelled) -> Entry:
    """The vote of the rows as they are."""
    return about | {"rank": None, "error": 0.0, "bits_per_entry": 32.0} | data.vote(data.rows, data.labels)


def published_method(about: Entry, data: Labelled) -> Entry:
    """The vote of the rows as a published method gives them back, all of them factorized at once."""
    factors = _factors(about, data.rows)
    found = {"rank": factors.rank, "bits_per_entry": factors.bits_per_entry, "error": factors.relative_error(data.rows)}
    return about | found | data.vote(factors.reconstruct(), data.labels)


def per_class(about: Entry, data: Labelled) -> Entry:
    """The vote of rows whose classes are factorized one by one, and the error in the order that leaves them in."""
    order = np.argsort(data.labels, kind="stable")
    parts = [data.rows[data.labels == label] for label in np.unique(data.labels)]
    base = np.concatenate([_factors(about, part).reconstruct() for part in parts])
    whole = np.linalg.norm(data.rows)
    found = {
        "rank": None,
        "error": float(np.linalg.norm(data.rows[order] - base) / whole),
        "error_in_other_order": float(np.linalg.norm(data.rows - base) / whole),
    }
    return about | found | data.vote(base, data.labels[order])


def automatic(about: Entry, data: Labelled) -> Entry:
    """The vote of ``auto`` with as many bits a row, and the bits of all of its file."""
    n, d = data.rows.shape
    index = IndexLPLR(d, bits=about["bits"], metric="l2", seed=about["seed"])
    index.train(data.rows)
    index.add(data.rows)
    file_bytes, _ = saved_bytes(index, data.rows)
    found = {
        "rank": None,
        "error": relative_frobenius_error(index, data.rows),
        "bits_per_entry": 8 * file_bytes / (n * d),
    }
    return about | found | data.vote(index.reconstruct_n(0, n), data.labels)


def _factors(about: Entry, A: FloatMatrix) -> Any:
    widths = {} if about["method"] == "nq" else {"nbits": about["nbits"], "nbits_R": about["nbits_R"]}
    return factorize(A, about["method"], bits=about["bits"], seed=about["seed"], **widths)


def jobs(parts: Sequence[str], seeds: int) -> Iterator[Job]:
    """Everything to measure, in the order of the parts; what is random with so many seeds."""
    for part in parts:
        yield Job(settings("methods", "unquantized", (32, 32, 32), 0), unquantized)
        if part in {"methods", "triples"}:
            triples = BUDGETS if part == "methods" else TRIPLES
            for triple, method in itertools.product(triples, PUBLISHED):
                for seed in range(seeds if method in RANDOM else 1):
                    yield Job(settings(part, method, triple, seed), published_method)
        elif part == "leak":
            yield from _leaks()
        else:
            for triple, seed in itertools.product(BUDGETS, range(seeds)):
                yield Job(settings("auto", "auto", triple, seed), automatic)


def _leaks() -> Iterator[Job]:
    """Both leaks, each alone and both at once; neither is what ``methods`` measures."""
    known = {"queries": "training rows"}
    yield Job(settings("leak", "unquantized", (32, 32, 32), 0, **known), unquantized)
    for triple, method in itertools.product(BUDGETS, PUBLISHED):
        yield Job(settings("leak", method, triple, 0, factors="per class"), per_class)
        yield Job(settings("leak", method, triple, 0, **known), published_method)
        yield Job(settings("leak", method, triple, 0, factors="per class", **known), per_class)


def work(data: Labelled, results: Results, todo: Sequence[Job], bars: Progress) -> None:
    """Measure what is not measured yet on a set."""
    n, d = data.rows.shape
    about = {"set": data.name, "n": n, "d": d, "nq": len(data.queries), "classes": len(np.unique(data.labels))}
    known = data.with_known_queries()
    bar = bars.add_task(data.name, total=len(todo))
    for job in todo:
        bars.update(bar, description=f"{data.name}: {job.about['method']}, {job.about['bits']} bits")
        if about | job.about not in results:
            try:
                found = job.run(job.about, known if job.about["queries"] == "training rows" else data)
            except InputError as err:  # the budget of a small class buys no component
                found = job.about | {"skipped": str(err)}
            results.add(about | found)
        bars.advance(bar)
    bars.update(bar, description=data.name)


def main() -> None:
    """Parse the command line, measure, print or write."""
    known = ["methods", "triples", "leak", "auto"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--part", nargs="+", choices=known, default=known)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of what is random (3)")
    parser.add_argument("--out", type=Path, help="the file to save to and continue")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/paper.md")
    options = parser.parse_args()
    if options.write:
        write(DOCS / "paper.md", sections(Results(RESULTS, KEYS)))
        return
    results = Results(options.out, KEYS)
    sets = [Embeddings.read(folder) for folder in options.folders] or [Embeddings.of_the_package()]
    with (
        threadpool_limits(1),  # on which the last bits of what BLAS returns depend
        Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=Console(stderr=True)) as bars,
    ):
        for each in sets:
            work(Labelled.of(each), results, [*jobs(options.part, options.seeds)], bars)
    for title, text in sections(results).items():
        print(f"{title}\n\n{text}\n")


if __name__ == "__main__":
    main()
