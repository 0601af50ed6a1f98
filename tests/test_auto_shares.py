"""auto/shares.py: no other way to share nibbles out has less distortion."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.auto.shares import Option, share_nibbles

OPTIONS = [
    Option.chained((1,), 0.01),
    Option.chained((1, 2), 0.05),
    Option.chained((2,), 0.08),
    Option.chained((3,), 0.2),
    Option.chained((0, 1, 1), 0.002),
    Option(2, 3, 6, 0.001),
    Option(1, 2, 8, 0.0001),
]


def every_way(columns, options, nibbles):
    """Yield all sequences of options for at most so many columns and nibbles."""
    yield []
    for option in options:
        if option.columns <= columns and option.nibbles <= nibbles:
            for rest in every_way(columns - option.columns, options, nibbles - option.nibbles):
                yield [option, *rest]


def left(energies, chosen):
    """Return the distortion of a sequence of options."""
    total, column = 0.0, 0
    for option in chosen:
        total += option.distortion * energies[column : column + option.columns].sum()
        column += option.columns
    return total + energies[column:].sum()


def distortion(energies, shares):
    """Return the distortion of shares, by the options that they name."""
    scalar = {option.bits: option.distortion for option in OPTIONS if option.bits}
    total = sum(scalar[b] * energies[j] for j, b in zip(shares.scalar, shares.bits, strict=True))
    chained = {option.pattern: option.distortion for option in OPTIONS if option.pattern}
    rates = [chained[pattern] for pattern in shares.patterns for _ in range(sum(pattern))]
    total += sum(rate * energies[j] for j, rate in zip(shares.chained, rates, strict=True))
    coded = np.concatenate([shares.scalar, shares.chained])
    return total + np.delete(energies, coded).sum()


@pytest.mark.parametrize("columns", [1, 2, 5, 6])
@pytest.mark.parametrize("nibbles", [1, 2, 3, 5])
@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0, 8.0])
def test_no_other_shares_are_better(rng, columns, nibbles, decay):
    energies = np.sort(rng.lognormal(size=columns) * np.exp(-decay * np.arange(columns)))[::-1].copy()

    shares = share_nibbles(energies, OPTIONS, nibbles)

    best = min(left(energies, chosen) for chosen in every_way(columns, OPTIONS, nibbles))
    assert distortion(energies, shares) == pytest.approx(best, rel=1e-9)
    coded = np.sort(np.concatenate([shares.scalar, shares.chained]))
    assert coded.tolist() == list(range(len(coded)))
    assert (np.diff(shares.chained) > 0).all()
    assert shares.sizes.sum() == len(shares.chained)
    assert len(shares.bits) == len(shares.scalar)
    spent = len(shares.sizes) + sum(int(b) for b in shares.bits) / 4
    assert spent <= nibbles
    assert (shares.sizes.dtype, shares.bits.dtype) == (np.uint16, np.uint8)


def test_flat_energies_share_evenly():
    assert share_nibbles(np.ones(12), OPTIONS, 6).sizes.tolist() == [2] * 6


def test_columns_without_energy_go_without():
    shares = share_nibbles(np.array([4.0, 1.0, 0.0, 0.0]), OPTIONS[:1], 3)

    assert shares.chained.tolist() == [0, 1]


def test_one_column_is_coded_even_if_there_is_nothing_to_code():
    shares = share_nibbles(np.zeros(5), OPTIONS, 4)

    assert len(shares.scalar) + len(shares.chained) >= 1
