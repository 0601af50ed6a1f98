"""The modified Shepp-Logan phantom: a test image of ten ellipses, as in MATLAB's ``phantom(n)``.

Modified (Toft 1996) means greater contrast than Shepp and Logan's own grey values. The pixel centres of the first and
last row and column lie at -1 and 1, and y points up.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Added grey value, semi-axes, centre, and angle of the first axis with the x axis in degrees.
ELLIPSES = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def shepp_logan(n: int) -> npt.NDArray[np.float32]:
    """Return the phantom, grey values from 0 to 1, float32 of shape (n, n)."""
    axis = np.linspace(-1.0, 1.0, n)
    x, y = axis[None, :], -axis[:, None]
    image = np.zeros((n, n))
    for value, a, b, x0, y0, degrees in ELLIPSES:
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        along, across = (x - x0) * cosine + (y - y0) * sine, (y - y0) * cosine - (x - x0) * sine
        image[(along / a) ** 2 + (across / b) ** 2 <= 1.0] += value
    return image.round(1).astype(np.float32)  # every sum is a multiple of a tenth
