"""kernels/linear.py beside its twin: one order of summation, whatever the batch; and products.py, which holds it."""

from __future__ import annotations

import numpy as np
import pytest

import naive
from lplr_index.kernels import linear
from lplr_index.products import Product


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 8, 31])
@pytest.mark.parametrize("d", [1, 2, 17, 64])
@pytest.mark.parametrize("m", [1, 15, 16, 17, 40])
def test_multiply(rng, n, d, m):
    x, matrix = rng.standard_normal((n, d)).astype(np.float32), rng.standard_normal((d, m)).astype(np.float32)
    out = np.full((n, m), np.nan, np.float32)

    packed = linear.panels(matrix)
    linear.multiply(x, packed, linear.depths(packed), None, m, out)

    np.testing.assert_array_equal(out, naive.multiply(x, matrix))
    np.testing.assert_allclose(out, x.astype(float) @ matrix, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 3, 4, 9])
@pytest.mark.parametrize("unit", [None, 1.0, 0.37, 1e-30])
def test_float16_in_half_of_the_memory_gives_the_same_bits(rng, n, unit):
    halves = (rng.standard_normal((70, 37)) * 2.0 ** rng.integers(-24, 4, (70, 37))).astype(np.float16)
    matrix = halves.astype(np.float32) * np.float32(1 if unit is None else unit)
    x = rng.standard_normal((n, 70)).astype(np.float32)
    packed = linear.panels(matrix)

    held = linear.halved(packed, unit)

    assert held.dtype == (np.uint16 if linear.reads_halves() else np.float32)
    out = np.full((n, 37), np.nan, np.float32)
    linear.multiply(x, held, linear.depths(packed), None if unit is None else np.float32(unit), 37, out)
    np.testing.assert_array_equal(out, naive.multiply(x, matrix))
    np.testing.assert_array_equal(Product(matrix, unit)(x), out)


@pytest.mark.parametrize("number", [1 + 2**-12, 65520.0, 2**-26])
def test_what_float16_does_not_hold_stays_float32(number):
    packed = linear.panels(np.full((3, 4), number, np.float32))

    assert linear.halved(packed, None) is packed


def test_without_the_instruction_everything_stays_float32(rng, monkeypatch):
    matrix, x = rng.standard_normal((9, 20)).astype(np.float16), rng.standard_normal((2, 9)).astype(np.float32)
    with_it = Product(matrix.astype(np.float32))(x)
    monkeypatch.setattr(linear, "reads_halves", lambda: False)
    packed = linear.panels(matrix.astype(np.float32))

    assert linear.halved(packed, None) is packed
    np.testing.assert_array_equal(Product(matrix.astype(np.float32))(x), with_it)


def test_code_for_a_named_cpu_reads_no_halves(monkeypatch):
    monkeypatch.setattr(linear.config, "CPU_NAME", "generic")

    assert not linear.reads_halves.__wrapped__()


def test_panels_are_sixteen_columns_each(rng):
    matrix = rng.standard_normal((5, 18)).astype(np.float32)

    panels = linear.panels(matrix)

    assert panels.shape == (2, 5, 16)
    np.testing.assert_array_equal(np.concatenate(panels, axis=1)[:, :18], matrix)
    assert not panels[1, :, 2:].any()


@pytest.mark.parametrize("shape", [(5, 18), (40, 40), (70, 40), (1, 1)])
def test_zeros_below_a_panel_are_skipped(rng, shape):
    matrix, x = np.triu(rng.standard_normal(shape)).astype(np.float32), rng.standard_normal((9, shape[0]))

    depths = linear.depths(linear.panels(matrix))

    last = np.minimum(16 * np.arange(1, len(depths) + 1), min(shape))  # the diagonal's end in each panel
    np.testing.assert_array_equal(depths, last)
    np.testing.assert_array_equal(Product(matrix)(x.astype(np.float32)), naive.multiply(x.astype(np.float32), matrix))
    assert not linear.depths(linear.panels(0 * matrix)).any()


def test_a_row_gets_the_same_bits_in_any_company(rng):
    x, matrix = rng.standard_normal((37, 300)).astype(np.float32), rng.standard_normal((300, 21)).astype(np.float32)
    product = Product(matrix)

    together = product(x)

    np.testing.assert_array_equal(np.concatenate([product(row[None]) for row in x]), together)
    np.testing.assert_array_equal(product(x[5:18]), together[5:18])
    np.testing.assert_array_equal(product(np.asfortranarray(x)), together)
    assert (together.dtype, product.columns) == (np.float32, 21)
