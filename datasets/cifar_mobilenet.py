"""CIFAR-10 or CIFAR-100 through MobileNetV3-Small, as the LPLR paper has them: 50,000 + 10,000 images, 1024 features.

Images and weights come over the internet, through torchvision:

    pip install "lplr_index[image]"
    python datasets/cifar_mobilenet.py --set cifar100 --out cifar100

As in the paper's released script, images are resized to 224 and the vector is what the classifier's first linear layer
makes of the 576 features. Unlike there, the test vectors are those of the test images: the script takes them from the
training images, so that every query finds itself. ``--model`` and ``--layer`` take any of torchvision's.
"""

from __future__ import annotations

import argparse

from lplr_index.embedding import Encoder, Source, image_encoder
from lplr_index.embedding.operators import require_torchvision
from recipe import Options, Recipe, add_model, arrays_as_source, run

SETS = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}
MODEL = "mobilenet_v3_small"
LAYER = "classifier.0"


def sources(options: Options) -> dict[str, Source]:
    """Return both splits: images of shape (32, 32, 3) with the names of their classes."""
    loader = getattr(require_torchvision().datasets, SETS[options.set])
    found = {}
    for split in ("train", "test"):
        images = loader(str(options.cache), train=split == "train", download=True)
        found[split] = arrays_as_source(
            options.set, images.data, [images.classes[each] for each in images.targets], None
        )
    return found


def encoder(options: Options) -> Encoder:
    """Return the model, which is shown whole images."""
    return image_encoder(options.model, layer=options.layer, stretch=True, batch=options.batch, device=options.device)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the set and the model."""
    parser.add_argument("--set", choices=SETS, default="cifar10", help="which of the two (cifar10)")
    add_model(parser, MODEL, "a torchvision classifier")
    parser.add_argument("--layer", default=LAYER, help=f"whose output to take, or penultimate ({LAYER})")


RECIPE = Recipe("Embed CIFAR-10 or CIFAR-100 with a torchvision classifier.", sources, encoder, configure)

if __name__ == "__main__":
    run(RECIPE)
