"""The books that every training of the trellis begins with: the best of many starts on Gaussian columns.

    python benchmarks/gaussian_books.py [--write]

Prints what the books of the package leave of Gaussian columns that they were not trained on.
With --write it makes them anew, in some minutes.

Turns of Viterbi and least squares end in the next local optimum, and for few columns a nibble these differ by a fifth
of the error. So there are many starts, and noise, that fades, on what each turn finds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from lplr_index.atomic import atomic_write
from lplr_index.auto.shapes import PATTERNS, Pattern, fit_once, gaussian_books

STEPS, COLUMNS = 48, 256  # of a row: so many nibbles, or fewer where that were too many columns
NIBBLES = 96_000  # of all rows
SPREADS = ((0.75, 0.6), (0.6, 0.8), (0.95, 0.3))  # of a random start: own entries, entries by the nibble before
STARTS, SHORT = 6, 30  # of each of the spreads, and their turns
BEST, LONG = 3, 300  # starts that go on, and their turns
NOISE, FADED = 0.3, 0.7  # of the first turn, relative to the error left; the part of the turns after which it is gone

Books = npt.NDArray[np.float64]


def gaussian(pattern: Pattern, seed: int) -> npt.NDArray[np.float32]:
    """Gaussian columns for repetitions of a pattern."""
    repeats = min(-(-STEPS // len(pattern)), COLUMNS // sum(pattern))
    rows = NIBBLES // (repeats * len(pattern))
    return np.random.default_rng(seed).standard_normal((rows, repeats * sum(pattern))).astype(np.float32)


def inner(left: Books, pattern: Pattern) -> float:
    """The squared error but for the first and the last repetition, which lack a neighbour."""
    return float(left[sum(pattern) : -sum(pattern)].mean())


def anneal(
    y: npt.NDArray[np.float32], pattern: Pattern, book: Books, turns: int, rng: np.random.Generator
) -> tuple[float, Books]:
    """The squared error and the book after turns with noise that fades."""
    for turn in range(turns):
        book, left = fit_once(y, pattern, book)
        heat = NOISE * np.sqrt(inner(left, pattern)) * max(0.0, 1 - turn / (FADED * turns))
        book += heat * rng.standard_normal(book.shape)
    return inner(fit_once(y, pattern, book)[1], pattern), book


def learn(pattern: Pattern) -> Books:
    """The best book of many starts."""
    y, rng = gaussian(pattern, 0), np.random.default_rng([1, *pattern])
    kept = np.sqrt(1 - 2.0 ** (-8 * len(pattern) / sum(pattern)))  # spread of a reconstruction at this rate
    starts = [
        rng.standard_normal((sum(pattern), 2, 16)) * kept * np.array(spread)[:, None]
        for spread in SPREADS
        for _ in range(STARTS)
    ]
    tried = sorted((anneal(y, pattern, book, SHORT, rng) for book in starts), key=lambda one: one[0])
    return min((anneal(y, pattern, book, LONG, rng) for _, book in tried[:BEST]), key=lambda one: one[0])[1]


def error(pattern: Pattern, book: Books, seed: int = 2) -> float:
    """What a book leaves of Gaussian columns that it was not trained on."""
    return inner(fit_once(gaussian(pattern, seed), pattern, book)[1], pattern)


def main() -> None:
    """Parse the command line, train if asked to, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--write", action="store_true", help="train, and write the books into the package")
    options = parser.parse_args()
    with threadpool_limits(1):  # on which the last bits of what BLAS returns depend
        books = {pattern: learn(pattern) for pattern in PATTERNS} if options.write else gaussian_books()
        for pattern, book in books.items():
            bits, left = 4 * len(pattern) / sum(pattern), error(pattern, book)
            print(f"{bits:6.3f} bits  {left:.5f}  {10 * np.log10(left * 4**bits):5.2f} dB above the bound  {pattern}")
    if options.write:
        path = Path(__file__).parents[1] / "lplr_index" / "auto" / "gaussian_books.npy"
        with atomic_write(path) as stream:
            np.save(stream, np.concatenate(list(books.values())).astype(np.float16), allow_pickle=False)


if __name__ == "__main__":
    main()
