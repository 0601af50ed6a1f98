"""Reports and sweeps that nobody measured, for tests of how they are shown."""

from __future__ import annotations

import dataclasses

from lplr_index.evaluation.contenders import Skip
from lplr_index.evaluation.measure import Report
from lplr_index.evaluation.sweep import Conditions, SweepResult

REPORT = Report(
    name="LPLR auto",
    family="LPLR auto",
    notes="",
    metric="cosine",
    d=384,
    n=5000,
    nt=4999,
    nq=2000,
    k=10,
    requested_bits=1.0,
    bytes_per_vector=48.0,
    bits_per_coordinate=1.0,
    file_bytes=412096,
    recall_at_1=0.75,
    recall_at_k=0.8,
    overlap=0.7,
    accuracy=0.74,
    weighted_f1=0.739,
    exact_accuracy=0.746,
    exact_weighted_f1=0.745,
    frobenius_error=0.43,
    train_s=0.5,
    add_s=0.1,
    search_s=85e-6,
    threads=1,
    repeat=3,
)
CONDITIONS = Conditions(
    data="posts, 20 groups",
    n=5000,
    nt=4999,
    nq=2000,
    d=384,
    k=10,
    metric="cosine",
    seed=7,
    disjoint=True,
    threads=1,
    repeat=3,
    machine={"processor": "An Abacus", "numpy": "2.0"},
)
SKIP = Skip("LPLR nq", 0.5, "expected at least 1 bit, got 0.5")


def a_report(family="LPLR auto", bits=1.0, **changes):
    """Return a report of an index of this family and size."""
    size = {"bytes_per_vector": 48 * bits, "bits_per_coordinate": bits, "requested_bits": bits}
    name = f"{family} {bits:g}"
    return dataclasses.replace(REPORT, **{"name": name, "family": family, **size, **changes})


def a_sweep(*reports, skipped=(SKIP,), **conditions):
    """Return a sweep of these reports."""
    return SweepResult(dataclasses.replace(CONDITIONS, **conditions), reports, tuple(skipped))
