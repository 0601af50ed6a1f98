"""x -> x M, the same result for a row whatever rows come with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix


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
        from lplr_index.kernels import linear as kernel

        self.columns = matrix.shape[1]
        packed = kernel.panels(matrix)
        self._depths = kernel.depths(packed)
        self._panels = kernel.halved(packed, unit)
        self._unit = None if unit is None or self._panels is packed else np.float32(unit)

    def __call__(self, x: FloatMatrix) -> FloatMatrix:
        """Return the product (n, m) float32, for x (n, d) float32."""
        from lplr_index.kernels import linear as kernel

        out = np.empty((len(x), self.columns), np.float32)
        kernel.multiply(np.ascontiguousarray(x), self._panels, self._depths, self._unit, self.columns, out)
        return out
