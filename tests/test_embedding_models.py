"""What can go wrong with models before there are any: packages that do not fit, are missing, or are other things."""

from __future__ import annotations

import pytest

from commands import without
from lplr_index.embedding import SentenceEncoder, image_encoder
from lplr_index.embedding.operators import require_torchvision
from lplr_index.embedding.sentences import require_sentence_transformers
from lplr_index.errors import MissingDependencyError


@pytest.mark.parametrize(
    ("package", "ask", "extra"),
    [
        ("torch", require_torchvision, "image"),
        ("sentence_transformers", require_sentence_transformers, "text"),
        ("sentence_transformers", SentenceEncoder, "text"),
        ("torch", image_encoder, "image"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, package, ask, extra):
    without(monkeypatch, package)

    with pytest.raises(MissingDependencyError, match=rf'package {package}, which pip install "lplr_index\[{extra}\]"'):
        ask()
