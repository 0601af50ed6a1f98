"""What all models of torch have in common: loading them may fail, and their weights say who they are."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

from lplr_index.errors import InputError, LPLRError
from lplr_index.extras import require
from lplr_index.vectors.base import first_line


@contextlib.contextmanager
def loading(model: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into an InputError about ``model``; errors of ours and of memory pass through.

    Models come over the network and from files of others, through libraries that raise a dozen classes.
    """
    try:
        yield
    except (LPLRError, MemoryError):
        raise
    except Exception as err:
        raise InputError(f"expected a model that can be loaded, got {model!r}: {first_line(err)}") from err


def weights_digest(module: Any) -> str:
    """Return the sha256 of the weights of a torch module, their names and types included.

    A model is known by it, whatever folder it lies in and whatever became of its name on a hub.
    """
    torch = require("torch", "text")
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        # As bytes, because NumPy lacks bfloat16.
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()
