"""x -> x M, the same result for a row whatever rows come with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index import kernels
from lplr_index.arrays import FloatMatrix

ProductForm = tuple[npt.NDArray[Any], npt.NDArray[np.int64], np.float32 | None, int]
"""What the kernel takes: panels, their depths, what they are multiples of, and the columns."""


class Product:
    """The product with a fixed matrix (d, m), by the kernel that sums each output in one order.

    BLAS rounds differently with the number of rows and threads; codes and scores must not.

    Parameters
    ----------
    matrix : ndarray of shape (d, m), float32
        If all of it is float16 times ``unit``, half of the memory is used, and read; the products are the same.
    unit : float, optional
        What its numbers are multiples of; 1 where None.
    """

    def __init__(self, matrix: npt.NDArray[np.float32], unit: float | None = None) -> None:
        self.columns = matrix.shape[1]
        packed = kernels.linear.panels(matrix)
        halved = kernels.linear.halved(packed, unit)
        unit_kept = None if unit is None or halved is packed else np.float32(unit)
        self.form: ProductForm = halved, kernels.linear.depths(packed), unit_kept, self.columns

    def __call__(self, x: FloatMatrix) -> FloatMatrix:
        """Return the product (n, m) float32, for x (n, d) float32."""
        out = np.empty((len(x), self.columns), np.float32)
        kernels.linear.multiply(np.ascontiguousarray(x), *self.form, out)
        return out
