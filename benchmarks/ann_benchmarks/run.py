"""What ann-benchmarks measures of lplr_index, on your vectors or on its sets, without docker; files are as it has them.

    python benchmarks/ann_benchmarks/run.py vectors.npy -o results [--queries queries.npy] [--metric cosine]
    python benchmarks/ann_benchmarks/run.py glove-100-angular.hdf5 -o results

config.yml says what is tried. Results are in results/<set>/<count>/<algorithm>/<arguments>.hdf5, where its plot.py
looks for them. Of your vectors a set of its kind is made first, in data/ beside the results, with the true neighbours;
some rows are the queries where none are given. Each query is asked on one thread, or with --batch all at once on all.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import module
import numpy as np
import yaml
from rich.progress import track

from lplr_index import open_vectors
from lplr_index.atomic import atomic_write
from lplr_index.evaluation import GroundTruth, exact_knn, recall_at_k, score_ids
from lplr_index.metric import is_similarity, metric_type

CONFIG = Path(__file__).parent / "config.yml"
NEIGHBOURS = 100  # of each query, that a set comes with
QUERIES = 1000  # drawn from the rows where none are given, or a tenth of them
DISTANCES = {"cosine": lambda s: 1 - s, "l2": lambda s: np.sqrt(np.maximum(s, 0)), "ip": np.negative}
NAMES = {ours: theirs for theirs, ours in module.METRICS.items()}


class Definition(NamedTuple):
    """An algorithm as config.yml has it, with one choice of what it is built with and all of what it is asked with."""

    algorithm: str
    constructor: str
    arguments: list[Any]
    query_arguments: list[list[Any]]


class Dataset(NamedTuple):
    """A set of ann-benchmarks.

    Attributes
    ----------
    name : str
        Of its file, without the suffix.
    metric : str
        As this package calls it.
    train, test : ndarray of shape (n, d) and (nq, d)
        Rows and queries.
    truth : GroundTruth
        The true neighbours.
    """

    name: str
    metric: str
    train: np.ndarray
    test: np.ndarray
    truth: GroundTruth


def definitions(metric: str, config: Path = CONFIG) -> Iterator[Definition]:
    """What ann-benchmarks would run for a metric, by its name there."""
    for algorithm in yaml.safe_load(config.read_text("utf-8"))["float"]["any"]:
        base = [metric if each == "@metric" else each for each in algorithm["base_args"]]
        for group in algorithm["run_groups"].values():
            asked = [list(each) for each in product(*group["query_args"])]
            for built in product(*group["args"]):
                yield Definition(algorithm["name"], algorithm["constructor"], [*base, *built], asked)


def as_distances(scores: np.ndarray, metric: str) -> np.ndarray:
    """Scores (nq, k) of this package as the distances of ann-benchmarks, infinite where nothing was found."""
    distances = DISTANCES[metric](scores)
    return np.where(np.abs(scores) == np.finfo(np.float32).max, np.inf, distances).astype(np.float32)


def write_dataset(path: Path, train: np.ndarray, test: np.ndarray, metric: str) -> None:
    """Write rows (n, d), queries (nq, d) and their true neighbours to a file that ann-benchmarks reads."""
    truth = exact_knn(test, train, min(NEIGHBOURS, len(train)), metric=metric)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream, h5py.File(stream, "w") as file:
        file.attrs.update(type="dense", distance=NAMES[metric], dimension=train.shape[1], point_type="float")
        file["train"], file["test"] = train, test
        file["neighbors"], file["distances"] = truth.I.astype(np.int32), as_distances(truth.D, metric)


def read_dataset(path: Path) -> Dataset:
    """Read a set of ann-benchmarks."""
    with h5py.File(path) as file:
        metric = module.METRICS[file.attrs["distance"]]
        train, test, neighbours = (file[name][:] for name in ("train", "test", "neighbors"))
    truth = GroundTruth(score_ids(test, train, neighbours, metric=metric), neighbours.astype(np.int64))
    return Dataset(path.stem, metric, train, test, truth)


def result_path(
    folder: Path, dataset: str, count: int, definition: Definition, asked: list[Any], *, batch: bool
) -> Path:
    """Where ann-benchmarks keeps the result."""
    arguments = re.sub(r"\W+", "_", json.dumps(definition.arguments + asked, sort_keys=True)).strip("_")
    algorithm = definition.algorithm + "-batch" * batch
    return folder / dataset / str(count) / algorithm / f"{arguments}.hdf5"


def ask(algorithm: Any, queries: np.ndarray, count: int, *, batch: bool) -> tuple[np.ndarray, np.ndarray]:
    """Seconds (nq,) that each query took, and the rows (nq, count) it found, -1 for none."""
    if batch:
        start = time.perf_counter()
        algorithm.batch_query(queries, count)
        seconds = np.full(len(queries), (time.perf_counter() - start) / len(queries))
        answers = algorithm.get_batch_results()
    else:
        seconds, answers = np.empty(len(queries)), []
        for number, query in enumerate(queries):
            start = time.perf_counter()
            answers.append(algorithm.query(query, count))
            seconds[number] = time.perf_counter() - start
    found = np.full((len(queries), count), -1, np.int64)
    for row, answer in zip(found, answers, strict=True):
        row[: len(answer)] = answer
    return seconds, found


def run(data: Dataset, definition: Definition, folder: Path, count: int, runs: int, *, batch: bool) -> None:
    """Build once, ask with each of the query arguments, and write what ann-benchmarks would."""
    algorithm = getattr(module, definition.constructor)(*definition.arguments)
    before, start = algorithm.get_memory_usage(), time.perf_counter()
    algorithm.fit(data.train)
    built = {
        "build_time": time.perf_counter() - start,
        "index_size": algorithm.get_memory_usage() - before,
        "algo": definition.algorithm,
        "dataset": data.name,
    }
    for asked in definition.query_arguments:
        algorithm.set_query_arguments(*asked)
        best = np.inf
        for _ in range(runs):
            seconds, found = ask(algorithm, data.test, count, batch=batch)
            best = min(best, seconds.mean())
        scores = score_ids(data.test, data.train, found, metric=data.metric)
        attrs = built | {
            "batch_mode": batch,
            "best_search_time": best,
            "candidates": (found >= 0).sum(axis=1).mean(),
            "expect_extra": False,
            "name": str(algorithm),
            "run_count": runs,
            "distance": NAMES[data.metric],
            "count": count,
            **algorithm.get_additional(),
        }
        path = result_path(folder, data.name, count, definition, asked, batch=batch)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as stream, h5py.File(stream, "w") as file:
            file.attrs.update(attrs)
            file["times"], file["neighbors"] = seconds.astype(np.float32), found.astype(np.int32)
            file["distances"] = as_distances(scores, data.metric)
        similar = is_similarity(metric_type(data.metric))
        recall = recall_at_k(found, scores, data.truth, count, similarity=similar)
        size = attrs["bytes_per_vector"]
        print(f"{attrs['name']:<40} {size:>6} bytes a row  recall {recall:.3f}  {1 / best:>10,.0f} queries/s")
    algorithm.done()


def read_rows(path: Path) -> np.ndarray:
    """All vectors (n, d) of a file, float32."""
    with open_vectors(path) as source:
        return source.read(0, source.n)


def dataset(options: argparse.Namespace) -> Dataset:
    """The set that was asked for: one of ann-benchmarks', or one made of vectors."""
    if options.vectors.suffix in {".hdf5", ".h5"}:
        return read_dataset(options.vectors)
    rows = read_rows(options.vectors)
    if options.queries is not None:
        train, test = rows, read_rows(options.queries)
    else:
        order = np.random.default_rng(0).permutation(len(rows))
        held_out = min(QUERIES, max(1, len(rows) // 10))
        train, test = rows[np.sort(order[held_out:])], rows[np.sort(order[:held_out])]
    name = f"{options.vectors.stem}-{rows.shape[1]}-{NAMES[options.metric]}"
    path = options.output.parent / "data" / f"{name}.hdf5"
    write_dataset(path, train, test, options.metric)
    return read_dataset(path)


def main(arguments: list[str] | None = None) -> None:
    """Measure all that config.yml has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors", type=Path, help="vectors, or an .hdf5 of ann-benchmarks with queries and neighbours")
    parser.add_argument("-o", "--output", type=Path, default=Path("results"), help="folder of results (results)")
    parser.add_argument("--queries", type=Path, help="vectors to search for")
    parser.add_argument("--metric", choices=NAMES, default="cosine", help="of your vectors (cosine)")
    parser.add_argument("-k", "--count", type=int, default=10, help="neighbours (10)")
    parser.add_argument("--runs", type=int, default=3, help="times each query is asked; the best run counts (3)")
    parser.add_argument("--batch", action="store_true", help="ask all queries at once")
    parser.add_argument("--config", type=Path, default=CONFIG, help="what to try (config.yml beside this file)")
    options = parser.parse_args(arguments)
    data = dataset(options)
    for definition in track([*definitions(NAMES[data.metric], options.config)], description="indexes"):
        run(data, definition, options.output, options.count, options.runs, batch=options.batch)


if __name__ == "__main__":
    main()
