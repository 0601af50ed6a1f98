"""Importing torchvision where its wheel and torch's were built for different machines.

A torchvision built for CUDA cannot load its compiled operators beside a torch for the CPU. It then does without them,
except that importing it describes the shape of what ``nms`` returns, and torch refuses to describe an operator that it
does not know: "operator torchvision::nms does not exist". Such pairs are common, as indexes serve the two packages
separately. transformers imports torchvision wherever it is installed, so texts fail with it.
Declared first, the operators are known, though still not there to be called: nothing that makes vectors calls them.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from lplr_index.extras import require

OPERATORS = ("nms", "qnms")
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_DECLARED: list[Any] = []  # what torch forgets when nobody holds it


def require_torchvision() -> Any:
    """Return the module torchvision.

    Raises
    ------
    MissingDependencyError
        If it, or torch, is not installed.
    """
    torch = require("torch", "image")
    try:
        return require("torchvision", "image")
    except RuntimeError as err:
        if "torchvision::nms" not in str(err):
            raise
    # What the failed import has left would be taken for a finished one.
    for name in [each for each in sys.modules if each.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in OPERATORS:
        library.define(name + SIGNATURE)
    _DECLARED.append(library)
    return importlib.import_module("torchvision")
