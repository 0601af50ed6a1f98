"""embedding/weights.py: whatever goes wrong while a model is loaded."""

from __future__ import annotations

import pytest

from lplr_index.embedding.weights import loading
from lplr_index.errors import InputError, UnsupportedError


def test_whatever_a_model_raises_becomes_one_error():
    with pytest.raises(InputError, match=r"a model that can be loaded, got 'm': first$"), loading("m"):
        raise OSError("first\nsecond")
    for passed in (MemoryError, UnsupportedError, KeyboardInterrupt):
        with pytest.raises(passed), loading("m"):
            raise passed
