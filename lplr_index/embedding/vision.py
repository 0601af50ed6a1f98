"""Images to vectors by any classifier of torchvision, or any module of torch: what a layer inside of it says."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lplr_index.arrays import FloatMatrix, as_integer
from lplr_index.embedding.efficientnet import EFFICIENTNET_LITE0, efficientnet_lite0
from lplr_index.embedding.images import load_image
from lplr_index.embedding.items import Content, package_versions
from lplr_index.embedding.operators import require_torchvision
from lplr_index.embedding.weights import loading, weights_digest
from lplr_index.errors import InputError
from lplr_index.extras import require

MODEL = "mobilenet_v3_large"
PENULTIMATE = "penultimate"
CPU_BATCH, DEVICE_BATCH = 8, 64
"""A CPU is fastest while what passes between layers stays in its caches; other devices want to be kept busy."""


class ImageEncoder:
    """A layer of a torch module that classifies images.

    Parameters
    ----------
    module : torch.nn.Module
        Takes a batch (b, 3, height, width).
    transform : callable
        Makes a tensor (3, height, width) of an RGB image of Pillow.
    layer : str
        What is taken as the vector: the output of the module of this dotted name, or of ``"penultimate"`` the input of
        the last linear layer. Feature maps are averaged over the image.
    identity : mapping
        What the manifest says of the model; the checksum of its weights and the layer are added.
    batch : int, optional
        Images the module computes at once; 8 on a CPU and 64 on other devices where None.
    device : str, optional
        Such as ``"cpu"`` or ``"cuda"``; CUDA where there is one, if None.

    Raises
    ------
    InputError
        If there is no such layer.
    """

    def __init__(
        self,
        module: Any,
        transform: Callable[[Any], Any],
        *,
        layer: str = PENULTIMATE,
        identity: Mapping[str, Any],
        batch: int | None = None,
        device: str | None = None,
    ) -> None:
        self._torch = require("torch", "image")
        self._transform = transform
        self._device = device or ("cuda" if self._torch.cuda.is_available() else "cpu")
        usual = CPU_BATCH if self._device == "cpu" else DEVICE_BATCH
        self.stride = usual if batch is None else as_integer(batch, "batch", least=1)
        self._caught: list[Any] = []
        self._watch(module, layer)
        self.identity = {**identity, "weights": weights_digest(module), "layer": layer}
        self.versions = package_versions("torch", "torchvision", "pillow")
        with loading(str(identity.get("model"))):
            # The channels of a pixel beside each other: convolutions are half as fast again, and vectors the same.
            self._module = module.eval().to(self._device, memory_format=self._torch.channels_last)

    def _watch(self, module: Any, layer: str) -> None:
        """Have the layer's vectors put into ``_caught`` whenever the module computes."""
        modules = dict(module.named_modules())
        if layer == PENULTIMATE:
            linear = [each for each in modules.values() if isinstance(each, self._torch.nn.Linear)]
            if not linear:
                raise InputError(f"expected a model with a linear layer, got none: choose a layer ({_some(modules)})")
            linear[-1].register_forward_pre_hook(lambda _module, inputs: self._caught.append(inputs[0]))
        elif layer and layer in modules:
            modules[layer].register_forward_hook(lambda _module, _inputs, output: self._caught.append(output))
        else:
            raise InputError(f"expected layer to be {PENULTIMATE} or one of {_some(modules)}, got {layer!r}")

    def prepare(self, content: Content) -> Any:
        """Return the tensor (3, height, width) of ``content``: a file, or pixels of shape (height, width, 3).

        Raises
        ------
        InputError
            If it cannot be read.
        """
        return self._transform(load_image(content))

    def encode(self, prepared: list[Any]) -> FloatMatrix:
        """Return the vectors (n, d) of n images.

        Raises
        ------
        InputError
            If the layer gives something else than a vector an image.
        """
        self._caught.clear()
        with self._torch.inference_mode():
            images = self._torch.stack(prepared)
            self._module(images.to(self._device, memory_format=self._torch.channels_last))
        vectors = self._caught.pop()
        if vectors.ndim == 4:
            vectors = vectors.mean(dim=(2, 3))
        if vectors.ndim != 2 or len(vectors) != len(prepared):
            raise InputError(f"expected a layer that gives a vector an image, got shape {tuple(vectors.shape)}")
        return np.asarray(vectors.float().cpu().numpy(), np.float32)


def image_encoder(
    model: str = MODEL,
    *,
    weights: str | None = "DEFAULT",
    layer: str = PENULTIMATE,
    stretch: bool = False,
    batch: int | None = None,
    device: str | None = None,
) -> ImageEncoder:
    """Return the encoder of a torchvision classifier of this name, or of ``efficientnet_lite0``.

    Parameters
    ----------
    model : str
        Such as ``mobilenet_v3_large``, ``resnet50`` or ``vit_b_16``.
    weights : str, optional
        Which of torchvision's weights for the model, fetched at the first use; random ones where None.
    layer : str
        As ``ImageEncoder`` has it.
    stretch : bool
        Squeeze the whole image into the square that the model looks at, instead of cutting its middle out.
    batch : int, optional
        Images the model computes at once; 8 on a CPU and 64 on other devices where None.
    device : str, optional
        Such as ``"cpu"`` or ``"cuda"``; CUDA where there is one, if None.

    Returns
    -------
    ImageEncoder
        Ready to embed.

    Raises
    ------
    InputError
        If there is no such model, weights or layer, or they cannot be fetched.
    MissingDependencyError
        If torchvision is not installed.
    """
    if model == EFFICIENTNET_LITE0:
        module, transform = efficientnet_lite0(stretch=stretch)
    else:
        module, transform = _torchvision_model(model, weights, stretch=stretch)
    identity = {"model": model, "choice": weights, "stretch": stretch}
    return ImageEncoder(module, transform, layer=layer, identity=identity, batch=batch, device=device)


def _torchvision_model(model: str, weights: str | None, *, stretch: bool) -> tuple[Any, Any]:
    """Return a classifier and what makes its input of an image."""
    models = require_torchvision().models
    known = models.list_models(module=models)
    if model not in known:
        close = difflib.get_close_matches(model, known) or known[:5]
        raise InputError(f"expected the name of a torchvision classifier, such as {', '.join(close)}, got {model!r}")
    with loading(model):
        choices = models.get_model_weights(model)
        # Random weights, which tests use, see what trained ones would.
        transform = choices[weights or "DEFAULT"].transforms()
        if stretch:
            transform.resize_size = 2 * list(transform.crop_size)
        return models.get_model(model, weights=weights, progress=sys.stderr.isatty()), transform


def _some(modules: Mapping[str, Any]) -> str:
    names = [name for name in modules if name]
    return ", ".join(names[-8:])
