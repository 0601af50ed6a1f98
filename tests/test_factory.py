"""factory.py: an index from a line of text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lplr_index import IndexLPLR, IndexRefineLPLR, index_factory
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
    ("text", "first", "bits"),
    [
        ("LPLR1.0,Refine(LPLR2.0)", "LPLR1.0", 2.0),
        ("LPLR2,Refine(LPLR.5)", "LPLR2", 0.5),
        (" LSVD7x3,Refine(LPLR4) ", "LSVD7x3", 4.0),
        ("NQ4,Refine(LPLR1)", "NQ4", 1.0),
    ],
)
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_a_residual_code_as_second_stage(text, first, bits, metric):
    index = index_factory(48, text, metric, seed=3)

    assert isinstance(index, IndexRefineLPLR)
    assert index.settings == index_factory(48, first, metric, seed=3).settings
    assert index.code_size - index.base_index.code_size == 6 * bits
    assert repr(index) == repr(IndexRefineLPLR(index_factory(48, first, metric, seed=3), refine_bits=bits))


def test_original_vectors_as_second_stage(rng):
    x = rng.standard_normal((30, 48)).astype(np.float32)

    index = index_factory(48, "LPLR1.0,RFlat", "ip", originals=x)

    assert isinstance(index, IndexRefineLPLR)
    assert index.code_size == IndexLPLR(48, 1.0, "ip").code_size
    index.train(x)
    index.add(x)
    np.testing.assert_array_equal(index.reconstruct_n(), x)


@pytest.mark.parametrize(("text", "originals"), [("LPLR1,RFlat", None), ("LPLR1", 1), ("LPLR1,Refine(LPLR1)", 1)])
def test_original_vectors_that_are_missing_or_not_needed(text, originals):
    with pytest.raises(
        InputError, match=f"expected originals with RFlat and with nothing else, got '{re.escape(text)}'"
    ):
        index_factory(48, text, originals=originals and np.zeros((3, 48)))


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
        "RFlat",
        "Refine(LPLR2.0)",
        "LPLR1.0,",
        "LPLR1.0,Flat",
        "LPLR1.0,rflat",
        "LPLR1.0, RFlat",
        "LPLR1.0,RFlat,RFlat",
        "LPLR1.0,Refine(SQ8)",
        "LPLR1.0,Refine(LPLR64x4)",
        "LPLR1.0,Refine(LPLR2.0",
        "PQ48,RFlat",
    ],
)
def test_what_is_no_description(text):
    with pytest.raises(
        InputError, match=r"expected a description such as LPLR1\.0, LPLR64x4, .* or NQ4, alone or before"
    ):
        index_factory(48, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LPLR9", "expected bits to be a number above 0, at most 8, got 9.0"),
        ("LPLR0", "expected bits to be a number above 0, at most 8, got 0.0"),
        ("LPLR0.01", "expected at least 0.1667 bits for d = 48"),
        ("LPLR49x4", "expected rank to be an integer from 1 to 48, got 49"),
        ("LPLR0x4", "expected rank to be an integer from 1 to 48, got 0"),
        ("LPLR4x9", "expected nbits to be an integer from 1 to 8, got 9"),
        ("NQ0", "expected nbits to be an integer from 1 to 8, got 0"),
        ("LPLR1.0,Refine(LPLR0)", "expected refine_bits from 0.1667, one byte a row, to 8, got 0"),
        ("LPLR9,Refine(LPLR2)", "expected bits to be a number above 0, at most 8, got 9.0"),
    ],
)
def test_numbers_out_of_range(text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        index_factory(48, text)


def test_faiss_writes_its_own_descriptions_alike():
    """Dimension, description, metric: in the order of faiss.index_factory."""
    faiss = pytest.importorskip("faiss")

    ours, theirs = ("LPLR1.0", "LPLR1.0,Refine(LPLR2.0)"), ("SQ4", "SQ4,Refine(SQ8)")
    for factory, text in [(index_factory, each) for each in ours] + [(faiss.index_factory, each) for each in theirs]:
        index = factory(48, text, faiss.METRIC_L2)
        assert (index.d, index.metric_type) == (48, faiss.METRIC_L2)
        index.train(np.random.default_rng(0).standard_normal((300, 48)).astype(np.float32))
        assert index.is_trained
