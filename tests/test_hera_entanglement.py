"""hera/entanglement.py: HERA and QET as factorize offers them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from lplr_index.errors import InputError
from lplr_index.factorization import factorize
from lplr_index.hera import Entangled, entangle
from matrices import decaying

A = decaying(400, 32)
NORMAL = np.random.default_rng(0).standard_normal((1500, 16)).astype(np.float32)


@pytest.mark.parametrize("bits", [3, 4, 6])
@pytest.mark.parametrize("method", ["hera", "qet"])
def test_the_budget_is_kept_and_mostly_used(method, bits):
    f = factorize(A, method, bits=bits)

    assert isinstance(f, Entangled)
    assert 0.85 * bits < f.bits_per_entry <= bits
    assert 0 <= 8 * f.nbytes - f.published_bits < 0.1 * 8 * f.nbytes


def test_the_methods_are_as_published():
    hera, qet = factorize(A, "hera", bits=4), factorize(A, "qet", bits=4)

    assert [(stage.plan.layers, stage.plan.codeword_bits) for stage in hera.stages] == [(1, 32)]
    assert [(stage.plan.layers, stage.plan.codeword_bits) for stage in qet.stages] == [(3, 10), (0, 10)]
    assert qet.stages[0].nbytes <= 0.7 * 4 * A.size / 8


def test_error_falls_with_bits_and_stages():
    errors = [factorize(A, "qet", bits=bits).relative_error(A) for bits in (3, 4, 6)]
    first = factorize(A, "hera", bits=4, layers=1, groups=8)
    both = entangle(A, "hera", bits=6, layers=(1, 0), groups=8, share=4 / 6)

    assert errors == sorted(errors, reverse=True)
    assert both.stages[0].plan == first.stages[0].plan
    assert both.relative_error(A) < 0.8 * first.relative_error(A)


def test_layers_without_a_swap_are_product_quantization():
    f = factorize(NORMAL, "hera", bits=4, layers=0, groups=8)

    assert f.stages[0].indicators.size == 0
    np.testing.assert_array_equal(f.reconstruct(), sum(s.decode(slice(None), s.codebook()) for s in f.stages))


@pytest.mark.parametrize(("n", "ahead"), [(200, True), (8000, False)])
def test_indicators_pay_where_rows_are_too_few_for_a_codebook(n, ahead):
    """They need none, but for n large enough the same bits are worth more as codes."""
    x = np.random.default_rng(1).standard_normal((n, 16)).astype(np.float32)
    swapped, plain = (
        factorize(x, "hera", bits=3, layers=layers, groups=8, codeword_bits=32).relative_error(x) for layers in (1, 0)
    )

    assert (swapped < plain) == ahead


def test_at_equal_codebooks_a_swapped_pair_is_worth_its_bit_or_less():
    """Half a bit an entry more and the same codewords: what the indicators add is an error below, not twice below."""
    plain = factorize(NORMAL, "hera", bits=3, layers=0, groups=8).relative_error(NORMAL)
    spent = factorize(NORMAL, "hera", bits=3.5, layers=1, groups=8)

    assert spent.stages[0].plan.code_bits <= 6
    assert 0.5 * plain < spent.relative_error(NORMAL) < plain


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_constant_matrices(value):
    constant = np.full((64, 8), value, np.float32)

    for method in ("hera", "qet"):
        assert factorize(constant, method, bits=8).relative_error(constant) == 0.0


def test_odd_widths_need_no_padding():
    odd = decaying(400, 29)

    f = factorize(odd, "qet", bits=4)

    assert f.stages[0].plan.d == 29
    assert f.reconstruct().shape == (400, 29)
    assert f.relative_error(odd) < 0.5


def test_same_bytes_on_any_number_of_threads():
    code = (
        "import hashlib, numpy as np; from lplr_index.factorization import factorize;"
        "A = np.random.default_rng(0).standard_normal((500, 24));"
        "print(hashlib.sha256(factorize(A, 'qet', bits=4, seed=3).reconstruct().tobytes()).hexdigest())"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for threads in ("1", "2")
    }
    x = np.random.default_rng(0).standard_normal((500, 24))

    assert prints == {hashlib.sha256(factorize(x, "qet", bits=4, seed=3).reconstruct().tobytes()).hexdigest()}
    assert prints != {hashlib.sha256(factorize(x, "qet", bits=4, seed=4).reconstruct().tobytes()).hexdigest()}


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("qet", {"bits": 2}, "expected a budget that pays stage 1 of 'qet' at least 1.8 bits per entry, got 1.4"),
        ("hera", {}, "expected bits to be a number, got None"),
        ("hera", {"bits": 2, "rank": 3}, "expected no rank with method 'hera', which takes .*, got 3"),
        ("hera", {"bits": 2, "nbits": 4}, "expected no nbits with method 'hera', which takes .*, got 4"),
        ("qet", {"bits": 4, "sketch": "srht"}, "expected no sketch with method 'qet', which takes .*, got 'srht'"),
        ("qet", {"bits": 4, "sweeps": 3}, "expected no sweeps with method 'qet', which takes .*, got 3"),
        ("lplr", {"bits": 4, "layers": 3}, "expected no layers with method 'lplr', which takes .*, got 3"),
        ("hera", {"bits": 4, "layers": 6}, "expected layers to be an integer from 0 to 5, got 6"),
        ("hera", {"bits": 4, "layers": "1"}, "expected layers to be an integer or a list of at most 8, got '1'"),
        ("hera", {"bits": 4, "layers": []}, "expected layers to be an integer or a list of at most 8"),
        ("hera", {"bits": 4, "groups": 33}, "expected groups to be an integer from 1 to 32, got 33"),
        ("qet", {"bits": 4, "groups": [2, 2, 2]}, "expected as many groups as layers, 2, got 3"),
        ("qet", {"bits": 4, "share": 0}, "expected share to be a number above 0 and at most 1, got 0"),
        ("qet", {"bits": 4, "codeword_bits": 17}, "expected codeword_bits to be an integer from 1 to 16, got 17"),
        ("hera", {"A": A[:1], "bits": 4}, r"expected A with at least two rows and entries up to 1e\+18, got shape"),
        ("hera", {"A": A * 1e30, "bits": 4}, "expected A with at least two rows and entries up to"),
        ("hera", {"A": A, "bits": 4, "seed": -1}, "expected seed to be an integer >= 0, got -1"),
    ],
)
def test_bad_arguments(method, arguments, message):
    with pytest.raises(InputError, match=message):
        factorize(**{"A": A, "method": method, **arguments})
