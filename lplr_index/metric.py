"""The metrics, by faiss's numbers, and the one place that knows which way is better."""

from __future__ import annotations

import numpy as np

from lplr_index.errors import InputError

METRIC_INNER_PRODUCT = 0
METRIC_L2 = 1

METRICS = ("cosine", "ip", "l2")
_EXTREME = np.finfo(np.float32).max
_BY_NUMBER = {METRIC_INNER_PRODUCT: "ip", METRIC_L2: "l2"}


def parse_metric(metric: str | int) -> str:
    """Return ``"cosine"``, ``"ip"`` or ``"l2"`` for a name or one of faiss's metric numbers.

    Raises
    ------
    InputError
        If the metric is none of these.
    """
    if isinstance(metric, str) and metric in METRICS:
        return metric
    if isinstance(metric, (int, np.integer)) and not isinstance(metric, bool) and int(metric) in _BY_NUMBER:
        return _BY_NUMBER[int(metric)]
    raise InputError(f"expected metric 'cosine', 'ip' or 'l2' (or faiss's 0 or 1), got {metric!r}")


def metric_type(metric: str) -> int:
    """faiss's number for a metric name; cosine is the inner product of normalised vectors."""
    return METRIC_L2 if metric == "l2" else METRIC_INNER_PRODUCT


def is_similarity(metric_type: int) -> bool:
    """True where larger scores are better (faiss's ``is_similarity_metric``)."""
    return metric_type == METRIC_INNER_PRODUCT


def worst_distance(metric_type: int) -> np.float32:
    """What faiss pads missing results with: the float32 extreme on the bad side."""
    return -_EXTREME if is_similarity(metric_type) else _EXTREME
