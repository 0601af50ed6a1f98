"""Fashion-MNIST as its pixels: 60,000 + 10,000 images of clothes, 784 grey values from 0 to 255 each.

The images come from Debian's package ``dataset-fashion-mnist``, which any system can download; no model takes part:

    pip install lplr_index
    python datasets/fashion_mnist_pixels.py --out fashion_mnist
"""

from __future__ import annotations

import gzip

import numpy as np
import numpy.typing as npt

from fetching import DebianPackage, debian_files, fetch
from lplr_index.embedding import Source
from recipe import AsTheyAre, Options, Recipe, arrays_as_source, run

IMAGES = DebianPackage(
    "https://deb.debian.org/debian/pool/main/d/dataset-fashion-mnist/"
    "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
    "dataset-fashion-mnist_0.0.git20200523.55506a9-1_all.deb",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
)
FOLDER = "usr/share/datasets/fashion-mnist"
PREFIXES = {"train": "train", "test": "t10k"}
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def read_idx(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the array in a compressed idx file: three bytes, the number of axes, the length of each, the numbers."""
    raw = gzip.decompress(data)
    ndim = raw[3]
    shape = np.frombuffer(raw, ">i4", ndim, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def sources(options: Options) -> dict[str, Source]:
    """Return both splits: images of shape (28, 28) with the names of their classes."""
    files = debian_files(fetch(IMAGES, options.cache), FOLDER)
    found = {}
    for split, prefix in PREFIXES.items():
        x, labels = (read_idx(files[f"{prefix}-{kind}-ubyte.gz"]) for kind in ("images-idx3", "labels-idx1"))
        found[split] = arrays_as_source("Fashion-MNIST", x, [CLASSES[each] for each in labels], None)
    return found


RECIPE = Recipe("Make vectors of the pixels of Fashion-MNIST.", sources, lambda _options: AsTheyAre("pixels"))

if __name__ == "__main__":
    run(RECIPE)
