"""Measuring any faiss-like index: what it finds, what it costs, and how it compares at equal bytes.

``evaluate`` measures one index; ``sweep`` measures all methods of this package and other packages' indexes at several
budgets, as far as they are installed (``PEERS``); ``PeerIndex`` is what an index of any package may be made to be.
``break_down`` tells where the error of an index comes from; ``render_breakdown`` shows it.
``render``, ``write_csv``, ``write_json`` and ``save_plot`` show what came out.
"""

from __future__ import annotations

from lplr_index.evaluation.breakdown import Breakdown, Stage, break_down
from lplr_index.evaluation.contenders import Contender, Skip, contenders
from lplr_index.evaluation.groundtruth import GroundTruth, exact_knn, score_ids
from lplr_index.evaluation.measure import Report, evaluate, measure
from lplr_index.evaluation.metrics import (
    accuracy,
    knn_vote,
    neighbour_overlap,
    recall_at_k,
    relative_frobenius_error,
    weighted_f1,
)
from lplr_index.evaluation.peers import PEERS, Peer, PeerIndex
from lplr_index.evaluation.plot import save_plot
from lplr_index.evaluation.recommendation import recommend
from lplr_index.evaluation.spectrum import describe_spectrum, spectrum
from lplr_index.evaluation.sweep import Conditions, SweepResult, split_rows, sweep
from lplr_index.evaluation.table import best_at_bytes, read_json, render, render_breakdown, write_csv, write_json
from lplr_index.evaluation.task import Task

__all__ = [
    "PEERS",
    "Breakdown",
    "Conditions",
    "Contender",
    "GroundTruth",
    "Peer",
    "PeerIndex",
    "Report",
    "Skip",
    "Stage",
    "SweepResult",
    "Task",
    "accuracy",
    "best_at_bytes",
    "break_down",
    "contenders",
    "describe_spectrum",
    "evaluate",
    "exact_knn",
    "knn_vote",
    "measure",
    "neighbour_overlap",
    "read_json",
    "recall_at_k",
    "recommend",
    "relative_frobenius_error",
    "render",
    "render_breakdown",
    "save_plot",
    "score_ids",
    "spectrum",
    "split_rows",
    "sweep",
    "weighted_f1",
    "write_csv",
    "write_json",
]
