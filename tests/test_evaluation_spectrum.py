"""The spectrum of a collection: known where the data are made, and what theory makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.evaluation import describe_spectrum, spectrum
from lplr_index.evaluation.spectrum import effective_directions, first_share, least_bits


def with_energies(energies, n=400, seed=0):
    """Rows of exactly these energies about their mean, along random directions."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, len(energies)))
    left = np.linalg.qr(noise - noise.mean(axis=0))[0]
    axes = np.linalg.qr(rng.standard_normal((len(energies), len(energies))))[0]
    return (left * np.sqrt(energies) @ axes.T * np.sqrt(n) + 3).astype(np.float32)


def test_shares_are_those_the_rows_were_made_with():
    shares = spectrum(with_energies([1, 4, 2, 3]))

    assert shares == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=1e-5)


def test_the_mean_is_not_part_of_the_spread():
    x = with_energies([1, 2, 3])

    assert spectrum(x + np.float32(100)) == pytest.approx(spectrum(x), abs=1e-3)


def test_few_rows_have_few_directions():
    shares = spectrum(np.eye(3, 8, dtype=np.float32))

    assert len(shares) == 8
    assert shares[:2] == pytest.approx([0.5, 0.5])
    assert shares[2:] == (0.0,) * 6
    assert shares == pytest.approx(spectrum(np.repeat(np.eye(3, 8, dtype=np.float32), 5, axis=0)), abs=1e-6)


def test_the_same_rows_give_the_same_numbers(vectors):
    assert spectrum(vectors.xt) == spectrum(vectors.xt.copy())
    assert sum(spectrum(vectors.xt)) == pytest.approx(1, abs=1e-5)
    assert list(spectrum(vectors.xt)) == sorted(spectrum(vectors.xt), reverse=True)


def test_rows_that_are_all_the_same_have_none():
    assert spectrum(np.ones((5, 3), np.float32)) == ()
    assert "All rows are the same" in describe_spectrum(())


def naive_bits(shares, lost):
    """Reverse water-filling as the textbook has it: find the level by bisection, then add up."""
    low, high = 0.0, max(shares)
    for _ in range(200):
        level = (low + high) / 2
        low, high = (level, high) if np.minimum(shares, level).sum() < lost else (low, level)
    return sum(0.5 * np.log2(share / level) for share in shares if share > level) / len(shares)


@pytest.mark.parametrize("lost", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("shares", [(0.25,) * 4, (0.4, 0.3, 0.2, 0.1), (0.9, 0.05, 0.05, 0.0), (1.0, 0.0)])
def test_bits_are_those_of_the_textbook(shares, lost):
    assert least_bits(shares, lost) == pytest.approx(naive_bits(np.array(shares), lost), abs=1e-6)


def test_nothing_is_needed_where_everything_may_be_lost():
    assert least_bits((0.6, 0.4), 1.0) == 0


def test_concentration_is_counted():
    assert effective_directions((0.25,) * 4) == pytest.approx(4)
    assert effective_directions((1.0, 0.0, 0.0)) == 1
    assert first_share((0.5, 0.3, 0.2), 0.1) == 0.5
    assert first_share((0.5, 0.3, 0.2), 0.5) == pytest.approx(0.8)


@pytest.mark.parametrize(("power", "word"), [(0, "hardly"), (0.75, "somewhat"), (1.0, "well"), (2, "very well")])
def test_words_follow_the_decay(power, word):
    energies = np.arange(1.0, 101) ** -power
    said = describe_spectrum(tuple(energies / energies.sum()))

    assert said.startswith(f"These vectors compress {word}. The first 10 of 100 directions, a tenth, hold ")
    assert "1.66" in said
