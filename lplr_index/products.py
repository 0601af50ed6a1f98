"""x -> x M, the same result for a row whatever rows come with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix


class Product:
    """The product with a fixed matrix (d, m), by the kernel that sums each output in one order.

    BLAS rounds differently with the number of rows and threads; codes and scores must not.
    """

    def __init__(self, matrix: npt.NDArray[np.float32]) -> None:
        from lplr_index.kernels import linear as kernel

        self.columns = matrix.shape[1]
        self._panels = kernel.panels(matrix)
        self._depths = kernel.depths(self._panels)

    def __call__(self, x: FloatMatrix) -> FloatMatrix:
        """Return the product (n, m) float32, for x (n, d) float32."""
        from lplr_index.kernels import linear as kernel

        out = np.empty((len(x), self.columns), np.float32)
        kernel.multiply(np.ascontiguousarray(x), self._panels, self._depths, self.columns, out)
        return out
