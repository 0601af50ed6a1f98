"""Pictures to compress: smooth ones with edges and noise."""

from __future__ import annotations

import numpy as np


def scene(height, width):
    """Return a smooth picture with edges and noise, grey."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    values = 120 + 60 * np.sin(x / 17) * np.cos(y / 23) + 50 * ((x - 40) ** 2 + (y - 60) ** 2 < 900)
    return np.clip(values + rng.normal(0, 4, values.shape), 0, 255).astype(np.uint8)


def colour_scene(height, width):
    """Return the scene and two shifted ones as red, green and blue."""
    grey = scene(height, width)
    return np.stack([grey, np.roll(grey, 9, 0), 255 - grey], axis=2)


def error(original, pixels):
    return float(np.square(original.astype(float) - pixels).mean())
