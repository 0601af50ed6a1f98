"""Options that mean the same in several commands."""

from __future__ import annotations

import argparse

from lplr_index.metric import METRICS


def add_metric(parser: argparse.ArgumentParser) -> None:
    """Declare ``--metric``."""
    parser.add_argument("--metric", choices=METRICS, default="cosine", help="similarity (cosine)")


def add_key(parser: argparse.ArgumentParser) -> None:
    """Declare ``--key``."""
    parser.add_argument("--key", metavar="NAME", help="which matrix, for a file that holds several")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Declare ``--seed``."""
    parser.add_argument("--seed", type=int, default=0, help="same seed and data, same bytes (0)")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Declare ``--threads``."""
    parser.add_argument("--threads", metavar="N", type=int, help="threads to use (all); results do not depend on it")


def add_k(parser: argparse.ArgumentParser) -> None:
    """Declare ``-k``."""
    parser.add_argument("-k", type=int, default=10, help="neighbours wanted (10)")


def numbers(text: str) -> list[float]:
    """Return the numbers of ``0.5,1,2``."""
    return [float(each) for each in text.split(",")]


def names(text: str) -> list[str]:
    """Return the names of ``auto,lplr``."""
    return [each.strip() for each in text.split(",")]
