"""products.py: x M, the same for a row in any company, whatever its matrix is stored as."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.products import Product


@pytest.mark.parametrize(("d", "m"), [(1, 1), (7, 16), (40, 33)])
@pytest.mark.parametrize("unit", [None, 0.37])
def test_a_product_is_that_of_the_matrix_alone_or_in_company(rng, d, m, unit):
    halves = rng.standard_normal((d, m)).astype(np.float16).astype(np.float32)
    matrix = halves if unit is None else halves * np.float32(unit)
    x = rng.standard_normal((9, d)).astype(np.float32)

    product = Product(matrix, unit)

    found = product(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, x.astype(float) @ matrix, atol=1e-4)
    np.testing.assert_array_equal(np.concatenate([product(row[None]) for row in x]), found)
    np.testing.assert_array_equal(product(np.asfortranarray(x)), found)


def test_numbers_that_halves_cannot_hold_are_kept_as_they_are(rng):
    matrix, x = rng.standard_normal((20, 18)).astype(np.float32), rng.standard_normal((3, 20)).astype(np.float32)

    packed, _, unit, columns = Product(matrix, 0.5).form

    assert (packed.dtype, unit, columns) == (np.float32, None, 18)
    np.testing.assert_array_equal(Product(matrix, 0.5)(x), Product(matrix)(x))


def test_no_rows():
    assert Product(np.ones((4, 5), np.float32))(np.empty((0, 4), np.float32)).shape == (0, 5)
