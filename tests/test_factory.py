"""factory.py: an index from a line of text."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index import IndexLPLR, index_factory
from lplr_index.errors import InputError


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("LPLR1.0", {"bits": 1.0}),
        ("LPLR2", {"bits": 2.0}),
        ("LPLR.5", {"bits": 0.5}),
        (" LPLR0.75\n", {"bits": 0.75}),
        ("LPLR16x4", {"method": "lplr", "rank": 16, "nbits": 4}),
        ("LSVD7x3", {"method": "lsvd", "rank": 7, "nbits": 3}),
        ("DSVD48x8", {"method": "dsvd", "rank": 48, "nbits": 8}),
        ("NQ4", {"method": "nq", "nbits": 4}),
    ],
)
@pytest.mark.parametrize("metric", ["cosine", "ip", "l2", 0, 1])
def test_a_description_stands_for_arguments(text, arguments, metric):
    if metric in ("l2", 1) and arguments.get("bits") == 0.5:
        pytest.skip("no room for the norm")

    index = index_factory(48, text, metric, seed=3)

    assert index.settings == IndexLPLR(48, metric=metric, seed=3, **arguments).settings
    assert not index.is_trained


def test_cosine_is_the_default():
    assert index_factory(48, "LPLR1.0").metric == "cosine"


def test_the_papers_form_costs_what_it_says():
    assert index_factory(384, "LPLR64x4", "ip").code_size == 32
    assert index_factory(384, "LPLR64x4", "l2").code_size == 34


@pytest.mark.parametrize(
    "text",
    [
        "",
        "LPLR",
        "lplr1.0",
        "LPLR1.0 ,Flat",
        "LPLR-1",
        "LPLR1e0",
        "LPLR64X4",
        "LPLR64x",
        "PQ48",
        "NQ",
        "NQ4.0",
        "LPLR1.0.0",
        "OPQ8,LPLR1",
        None,
        3,
        b"LPLR1",
    ],
)
def test_what_is_no_description(text):
    with pytest.raises(InputError, match=r"expected a description such as LPLR1\.0, LPLR64x4, .* or NQ4, got"):
        index_factory(48, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LPLR9", "expected bits to be a number above 0, at most 8, got 9.0"),
        ("LPLR0", "expected bits to be a number above 0, at most 8, got 0.0"),
        ("LPLR0.01", "expected at least 0.3333 bits for d = 48"),
        ("LPLR49x4", "expected rank to be an integer from 1 to 48, got 49"),
        ("LPLR0x4", "expected rank to be an integer from 1 to 48, got 0"),
        ("LPLR4x9", "expected nbits to be an integer from 1 to 8, got 9"),
        ("NQ0", "expected nbits to be an integer from 1 to 8, got 0"),
    ],
)
def test_numbers_out_of_range(text, message):
    with pytest.raises(InputError, match=message):
        index_factory(48, text)


def test_faiss_writes_its_own_descriptions_alike():
    """Dimension, description, metric: in the order of faiss.index_factory."""
    faiss = pytest.importorskip("faiss")

    for factory, text in ((index_factory, "LPLR1.0"), (faiss.index_factory, "SQ4")):
        index = factory(48, text, faiss.METRIC_L2)
        assert (index.d, index.metric_type) == (48, faiss.METRIC_L2)
        index.train(np.random.default_rng(0).standard_normal((300, 48)).astype(np.float32))
        assert index.is_trained
