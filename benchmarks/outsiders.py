"""Peers outside faiss, each in its own package: what they find, and at what size.

Run as ``python benchmarks/outsiders.py`` it says which are installed; quality.py measures those.

They come in sizes of their own and are set for recall, not for speed, with no row looked up among the originals.
A row's bytes are, as for everyone else, what it adds to the saved index. LoRANN is the exception: it cannot be trained
on other rows than those it holds, so what it learns is part of what it stores of them, and a row costs a share of all.
rabitqlib and LoRANN take no seed: what they find differs between runs, by a few tenths of a point of recall.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lplr_index.arrays import FloatMatrix, IdArray
from lplr_index.evaluation import Skip

PACKAGES = ("turbovec", "rabitqlib", "lorann")
TURBOVEC_BITS = (2, 4)
RABITQ_BITS = (1, 2, 3, 4)
RABITQ_CLUSTERS = 64
COPIES = 4
LORANN_SIZES = ((16, 4), (32, 4), (64, 4), (32, 8), (64, 8))  # rank, bits: all it has
LORANN_CLUSTERS = (16, 64)
LORANN_SEARCHED = 16  # models of far clusters mislead: of 64, searching all finds half as much

Search = Callable[[FloatMatrix, int], IdArray]


class Built(NamedTuple):
    """A filled index: how to search it, and its bytes when saved."""

    search: Search
    file_bytes: int


class Outsider(NamedTuple):
    """An index of another package: its name, settings to know of, ``build(xt, xb)``, and whether it trains on xb."""

    name: str
    notes: str
    build: Callable[[FloatMatrix, FloatMatrix], Built]
    trains_on_its_rows: bool = False

    def bytes_per_row(self, built: Built, xt: FloatMatrix, xb: FloatMatrix) -> float:
        """Return what a row of ``xb`` costs: what its copies add, for clusters are padded to blocks of 32 rows."""
        if self.trains_on_its_rows:
            return built.file_bytes / len(xb)
        return (self.build(xt, np.tile(xb, (1 + COPIES, 1))).file_bytes - built.file_bytes) / (COPIES * len(xb))


def outsiders(seed: int) -> tuple[list[Outsider], list[Skip]]:
    """Return the indexes of the packages that are installed, and the packages that are not."""
    absent = [name for name in PACKAGES if version_of(name) is None]
    found = [each for each in _all(seed) if each.name.split("-")[0] not in absent]
    return found, [Skip(name, None, f"not installed: pip install {name}") for name in absent]


def version_of(package: str) -> str | None:
    """Return the version installed, if any."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _all(seed: int) -> Iterator[Outsider]:
    for nbits in TURBOVEC_BITS:
        yield Outsider(f"turbovec-{nbits}", "calibrated", partial(_turbovec, nbits))
    for nbits in RABITQ_BITS:
        note = f"{RABITQ_CLUSTERS} clusters, all searched"
        yield Outsider(f"rabitqlib-{nbits}", note, partial(_rabitqlib, nbits, seed))
    for clusters, (rank, nbits) in itertools.product(LORANN_CLUSTERS, LORANN_SIZES):
        note = f"{LORANN_SEARCHED} of {clusters} clusters searched"
        build = partial(_lorann, rank, nbits, clusters)
        yield Outsider(f"lorann-{rank}x{nbits}", note, build, trains_on_its_rows=True)


def _turbovec(nbits: int, xt: FloatMatrix, xb: FloatMatrix) -> Built:
    import turbovec

    index = turbovec.TurboQuantIndex(dim=xb.shape[1], bit_width=nbits)
    index.calibrate(xt)
    index.add(xb)
    return Built(lambda xq, k: _ids(index.search(xq, k)[1]), len(index.to_bytes()))


def _rabitqlib(nbits: int, seed: int, xt: FloatMatrix, xb: FloatMatrix) -> Built:
    import rabitqlib

    clusters = rabitqlib.RaBitQKMeans(xb.shape[1], RABITQ_CLUSTERS, seed=seed)
    clusters.train(xt)
    centroids = np.ascontiguousarray(clusters.centroids)
    nearest = np.argmax(xb @ centroids.T - (centroids**2).sum(axis=1) / 2, axis=1).astype(np.uint32)
    index = rabitqlib.IvfIndex(xb.shape[1], len(xb), RABITQ_CLUSTERS, nbits, metric="ip")
    index.build(xb, centroids, nearest)

    def search(xq: FloatMatrix, k: int) -> IdArray:
        return _ids(index.search(xq, k, nprobe=RABITQ_CLUSTERS, high_accuracy=True)[0])

    return Built(search, _saved_bytes(index))


def _lorann(rank: int, nbits: int, clusters: int, xt: FloatMatrix, xb: FloatMatrix) -> Built:  # noqa: ARG001
    import lorann

    index = lorann.LorannIndex(xb, clusters, None, quantization_bits=nbits, rank=rank)
    index.build(approximate=False, n_threads=1)

    def search(xq: FloatMatrix, k: int) -> IdArray:
        return _ids(index.search(xq, k, LORANN_SEARCHED, points_to_rerank=0, n_threads=1))

    return Built(search, _saved_bytes(index) - xb.nbytes)  # its file holds the originals, which it does not need here


def _saved_bytes(index: Any) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        index.save(str(path))
        return path.stat().st_size


def _ids(I: Any) -> IdArray:
    return np.asarray(I).astype(np.int64)


if __name__ == "__main__":
    for package in PACKAGES:
        print(package, version_of(package) or "is not installed")
