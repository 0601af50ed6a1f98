"""What the LPLR paper's authors published on k-NN classification and on layers, and where it stands.

Read from the poster of the paper at NeurIPS 2023 (its Tables 5 and 6 and its figures) by text recognition. The labels
of the poster's rows are partly merged; in the order of the rows they are read as B_nq = 1, 2 and 4. Figures that are
known only as others retell them, not from the authors themselves, are marked so. The tables for Emotion, and all of
CIFAR-10 but two accuracies, were not found.
"""

from __future__ import annotations

from typing import NamedTuple

POSTER_5 = "poster, Table 5"
POSTER_6 = "poster, Table 6"
RETOLD = "as retold by others, not checked"
POSTER = "poster"


class Published(NamedTuple):
    """A figure: of which set and method, for the bits (B, B', B_nq); None where it was not found."""

    data: str
    method: str
    bits: tuple[int, int, int] | None
    error: float | None
    accuracy: float | None  # per cent, as are F1 scores
    weighted_f1: float | None
    where: str


def _rows(data: str, where: str, table: dict[int, tuple[tuple[float, float, float], ...]]) -> list[Published]:
    """One figure for each budget and method: errors, accuracies and F1 scores in the order of the methods."""
    return [
        Published(data, method, (8, 8, budget), *figures, where)
        for budget, rows in table.items()
        for method, figures in zip(("lplr", "lsvd", "dsvd", "nq"), rows, strict=True)
    ]


PUBLISHED = [
    Published("CIFAR-100", "unquantized", None, None, 76, 76, POSTER_5),
    *_rows(
        "CIFAR-100",
        POSTER_5,
        {
            1: ((1.04, 79, 79), (1.08, 82, 82), (1.09, 82, 82), (6.75, 1, 0)),
            2: ((1.08, 80, 80), (1.10, 80, 80), (1.12, 80, 80), (2.18, 1.7, 1.3)),
            4: ((1.11, 79, 79), (1.12, 78, 78), (1.14, 77, 78), (1.17, 75, 75)),
        },
    ),
    Published("IMDB", "unquantized", None, None, 75, 74, POSTER_6),
    *_rows(
        "IMDB",
        POSTER_6,
        {
            1: ((0.313, 73, 74), (0.241, 74, 74), (0.229, 75, 75), (6.63, 50, 33)),
            2: ((0.235, 74, 74), (0.178, 74, 74), (0.161, 74, 74), (1.016, 50, 50)),
            4: ((0.148, 75, 74), (0.122, 74, 74), (0.098, 75, 75), (0.417, 73, 73)),
        },
    ),
    Published("CIFAR-10", "unquantized", None, None, 91, None, RETOLD),
    Published("CIFAR-10", "lplr", (8, 8, 1), None, 92, None, RETOLD),
    Published("CIFAR-10", "nq", (8, 8, 1), None, 11, None, RETOLD),
    Published("LLaMA-7B layers", "lplr", (8, 8, 4), 0.672, None, None, POSTER),
    Published("LLaMA-7B layers", "lsvd", (8, 8, 4), 0.537, None, None, POSTER),
    Published("LLaMA-7B layers", "nq", (8, 8, 4), 0.836, None, None, POSTER),
    Published("LLaMA-7B layers", "lplr", (4, 4, 4), 0.549, None, None, "read off a figure of the code's repository"),
    Published("LLaMA-7B layers", "lsvd", (4, 4, 4), 0.540, None, None, "read off a figure of the code's repository"),
]

OURS_BESIDE = {
    "CIFAR-100": ("cifar100", "cifar10_efflite0"),
    "CIFAR-10": ("cifar10", "cifar10_efflite0"),
    "IMDB": ("imdb", "agnews_minilm"),
    "Emotion": ("emotion", "emotion_minilm"),
}
"""For each published set, the names of folders whose figures stand beside it: the set itself, else a stand-in."""
