"""evaluation/peers/usearch.py: its codes, and a version of it that is wrong."""

from __future__ import annotations

import types

import numpy as np
import pytest

from lplr_index.errors import UnsupportedError
from lplr_index.evaluation.peers import usearch as peer


def test_codes_are_those_of_its_index(make_vectors):
    usearch = pytest.importorskip("usearch.index")
    x = make_vectors(50, 64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    own = usearch.Index(ndim=64, metric="ip", dtype="i8")
    own.add(np.arange(50), x)

    ours = peer.UsearchIndex(64, "i8")
    ours.add(x)

    np.testing.assert_array_equal(ours.codes, [own.get(key, dtype="i8") for key in range(50)])


def test_a_usearch_that_compares_some_signs_only_is_refused(monkeypatch):
    found = types.SimpleNamespace(distances=np.array([8.0]), keys=np.array([0]))
    old = types.SimpleNamespace(search=lambda *_args, **_options: found)
    monkeypatch.setattr(peer, "require", lambda *_args: old)

    with pytest.raises(UnsupportedError, match=r"compares 64 signs, .* got one that compares 8$"):
        peer.UsearchIndex(64, "b1")
