"""factorization/: what factorize takes, and the methods of the LPLR paper with their published numbers."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from lplr_index.errors import InputError
from lplr_index.factorization import METHODS, door, factorize, rank_for_budget
from lplr_index.factorization.low_rank import PUBLISHED
from lplr_index.sketches import SKETCHES
from matrices import arrays_of, decaying, options_of
from phantom import shepp_logan

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "factorization.md"
LOW_RANK = [method for method in PUBLISHED if method != "nq"]
SHAPES = {"tall": (300, 40), "wide": (30, 120), "square": (64, 64)}


@pytest.fixture(scope="module")
def phantom():
    return shepp_logan(1000)


# --- The paper's numbers ----------------------------------------------------------------------------------------------


def test_phantom_is_the_modified_one(phantom):
    assert set(np.unique(phantom)) == {np.float32(value) for value in (0.0, 0.1, 0.2, 0.3, 0.4, 1.0)}
    assert (phantom[500, 158:167] == 1.0).all()  # the skull, from x = -.69 to -.66
    assert (phantom[500, 833:842] == 1.0).all()
    assert (phantom[:, :500] == 0.0).sum() > (phantom[:, 500:] == 0.0).sum()  # the larger ventricle is on the left
    assert phantom[802, 499] == phantom[802, 460] == np.float32(0.3)  # spots at the bottom, y = -.605
    assert phantom[197, 499] == np.float32(0.2)


@pytest.mark.parametrize(("bits", "plain", "shifted"), [(1, 0.532, 0.418), (2, 0.312, 0.218)])
def test_phantom_naive_quantization(phantom, bits, plain, shifted):
    """The published .532 is without normalise-and-shift, which the published low-rank errors have."""
    f = factorize(phantom, "nq", bits=bits)

    assert round(f.relative_error(phantom), 3) == plain
    assert round(f.normalized_and_shifted(phantom).relative_error(phantom), 3) == shifted


@pytest.mark.parametrize(
    ("nbits", "nbits_R", "bits", "expected", "tolerance"), [(8, 8, 1, 0.22, 0.01), (4, 8, 1, 0.24, 0.02)]
)
def test_phantom_lplr(phantom, nbits, nbits_R, bits, expected, tolerance):
    errors = [
        factorize(phantom, bits=bits, nbits=nbits, nbits_R=nbits_R, normalize_and_shift=True, seed=seed).relative_error(
            phantom
        )
        for seed in range(3)
    ]

    assert np.mean(errors) == pytest.approx(expected, abs=tolerance)


# --- Against the definitions ------------------------------------------------------------------------------------------


def compare(f, A, expected):
    """Codes may differ at rounding boundaries, so the errors agree closely and the matrices almost."""
    assert f.relative_error(A) == pytest.approx(naive.relative_error(A, expected), rel=2e-3)
    difference = np.linalg.norm(f.reconstruct() - expected) / np.linalg.norm(expected)
    assert difference < 0.1 * f.relative_error(A)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("scale", ["matrix", "column"])
@pytest.mark.parametrize(("nbits", "nbits_R"), [(8, 8), (4, 8), (1, 8), (32, 32)])
class TestAgainstNaive:
    def test_lplr(self, shape, scale, nbits, nbits_R):
        A = decaying(*shape)

        f = factorize(A, "lplr", rank=10, nbits=nbits, nbits_R=nbits_R, scale=scale)

        compare(f, A, naive.lplr(A.astype(float), f.encoder.astype(float), nbits, nbits_R, *axis_of(scale)))

    @pytest.mark.parametrize("sketch", [*SKETCHES, "none"])
    def test_lsvd(self, shape, scale, nbits, nbits_R, sketch):
        A = decaying(*shape)
        mixing = np.eye(10) if sketch == "none" else SKETCHES[sketch](10, 10, np.random.default_rng(0))

        f = factorize(A, "lsvd", rank=10, nbits=nbits, nbits_R=nbits_R, scale=scale, sketch=sketch)

        compare(f, A, naive.lsvd(A.astype(float), 10, mixing.astype(float), nbits, nbits_R, *axis_of(scale)))

    def test_dsvd(self, shape, scale, nbits, nbits_R):
        A = decaying(*shape)

        f = factorize(A, "dsvd", rank=10, nbits=nbits, nbits_R=nbits_R, scale=scale)

        compare(f, A, naive.dsvd(A.astype(float), 10, nbits, nbits_R, *axis_of(scale)))

    def test_nq(self, shape, scale, nbits, nbits_R):
        A = decaying(*shape)

        f = factorize(A, "nq", nbits=nbits, nbits_R=nbits_R, scale=scale)

        expected = naive.quantize(A.astype(float), nbits, *axis_of(scale))
        np.testing.assert_allclose(f.reconstruct(), expected, rtol=1e-6, atol=1e-7)


def axis_of(scale):
    return (0,) if scale == "column" else (None,)


@pytest.mark.parametrize("power_iters", [1, 2, 5])
def test_power_iterations_span_the_naive_ones(power_iters):
    A = decaying(200, 60)
    S = SKETCHES["gaussian"](60, 8, np.random.default_rng(0))

    encoder = factorize(A, rank=8, power_iters=power_iters).encoder

    basis = naive.power_iterated(A.astype(float), S.astype(float), power_iters)
    np.testing.assert_allclose(encoder.T @ encoder, np.eye(8), atol=1e-6)
    np.testing.assert_allclose(encoder @ encoder.T, basis @ basis.T, atol=1e-6)


@pytest.mark.parametrize("method", PUBLISHED)
def test_normalize_and_shift_equals_the_naive_one(method):
    A = decaying(100, 40, offset=0.2)
    f = factorize(A, **options_of(method, nbits=2))

    shifted = factorize(A, **options_of(method, nbits=2, normalize_and_shift=True))

    expected = naive.normalize_and_shift(A.astype(float), f.reconstruct().astype(float))
    np.testing.assert_allclose(shifted.reconstruct(), expected, rtol=1e-4, atol=1e-5)
    assert shifted.relative_error(A) <= f.relative_error(A)
    assert shifted.nbytes == f.nbytes + 8
    np.testing.assert_array_equal(shifted.codes_L, f.codes_L)


# --- What must hold of any matrix -------------------------------------------------------------------------------------


@st.composite
def small_matrices(draw):
    """Draw matrices of any rank and conditioning, some with constant columns."""
    n, d = draw(st.integers(1, 25)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inner = draw(st.integers(1, 12))
    A = rng.standard_normal((n, inner)) * 10.0 ** rng.uniform(-4, 4, inner) @ rng.standard_normal((inner, d))
    if draw(st.booleans()):
        A[:, 0] = 1.0
    return A.astype(np.float32), draw(st.integers(1, min(n, d)))


@pytest.mark.parametrize("method", LOW_RANK)
@given(small_matrices(), st.sampled_from([1, 2, 4, 8, 16, 32]), st.sampled_from(["matrix", "column"]))
def test_refit_is_never_worse(method, case, nbits, scale):
    """Before R is rounded: float32 is as close to that as codes come."""
    A, rank = case
    A = A / np.abs(A).max()
    options = {"rank": rank, "nbits": nbits, "nbits_R": 32, "scale": scale}

    refitted = factorize(A, method, refit=True, **options).relative_error(A)
    plain = factorize(A, method, refit=False, **options).relative_error(A)

    assert refitted <= plain * (1 + 1e-4) + 1e-5


@pytest.mark.parametrize("method", LOW_RANK)
@given(small_matrices(), st.sampled_from([1, 2, 4, 8, 32]), st.booleans())
def test_error_is_never_below_the_floor_of_the_rank(method, case, nbits, refit):
    A, rank = case

    f = factorize(A, method, rank=rank, nbits=nbits, refit=refit)

    assert f.relative_error(A) >= naive.rank_floor(A.astype(float), rank) - 1e-6


@pytest.mark.parametrize("method", PUBLISHED)
@given(small_matrices())
def test_many_bits_reach_what_the_rank_allows(method, case):
    A, rank = case

    f = factorize(A, **options_of(method, rank=rank, nbits=32, nbits_R=32))

    floor = naive.rank_floor(A.astype(float), rank)
    if method == "nq":
        assert f.relative_error(A) == 0.0
    elif method == "lplr":  # exact where the rank is full
        assert rank < min(A.shape) or f.relative_error(A) < 1e-3
    else:
        assert f.relative_error(A) == pytest.approx(floor, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("method", PUBLISHED)
@pytest.mark.parametrize("scale", ["matrix", "column"])
@pytest.mark.parametrize(
    "A",
    [
        np.zeros((5, 4)),
        np.full((5, 4), -2.5),
        np.ones((1, 1)),
        np.arange(4.0)[None, :],
        np.arange(4.0)[:, None],
        np.eye(4) * 1e30,
        np.eye(4) * 1e-30,
        np.arange(12).reshape(4, 3),
        np.array([[True, False], [False, True]]),
    ],
    ids=["zeros", "constant", "one", "row", "column", "huge", "tiny", "integers", "booleans"],
)
def test_odd_matrices(method, scale, A):
    f = factorize(A, **options_of(method, rank=min(A.shape), nbits=8, scale=scale))

    assert f.relative_error(A) < 0.05
    assert np.isfinite(f.reconstruct()).all()
    assert f.reconstruct().shape == A.shape


def test_zero_matrix_is_exact():
    assert factorize(np.zeros((6, 5)), rank=2).relative_error(np.zeros((6, 5))) == 0.0
    assert factorize(np.ones((6, 5)), rank=2).relative_error(np.zeros((6, 5))) == np.inf


@pytest.mark.parametrize("method", LOW_RANK)
def test_budget_is_kept_but_for_ranges_and_padding(method):
    A = decaying(400, 96)

    f = factorize(A, method, bits=1.5, nbits=4, nbits_R=8)

    assert f.rank == rank_for_budget(400, 96, 4, 8, 1.5)
    assert 8 * (f.nbytes - 16) <= 1.5 * A.size + 7 * (400 + 96)


@pytest.mark.parametrize(("bits", "nbits"), [(1, 1), (2.9, 2), (8, 8), (12.0, 8), (16, 16), (40, 32)])
def test_budget_of_nq_is_its_width(bits, nbits):
    assert factorize(decaying(9, 8), "nq", bits=bits).quantizer_L.nbits == nbits


# --- What is better than what -----------------------------------------------------------------------------------------


def mean_error(A, **options):
    return np.mean([factorize(A, seed=seed, **options).relative_error(A) for seed in range(3)])


@pytest.mark.parametrize("nbits", [1, 2, 4])
@pytest.mark.parametrize("nbits_R", [4, 8])
def test_orthogonal_mixing_beats_gaussian(nbits, nbits_R):
    A = decaying(600, 80)
    options = {"method": "lsvd", "rank": 30, "nbits": nbits, "nbits_R": nbits_R}

    assert mean_error(A, sketch="orthogonal", **options) < mean_error(A, sketch="gaussian", **options)


def test_ranges_per_column_help_uneven_columns():
    A = decaying(600, 80, offset=0.02)
    options = {"method": "lsvd", "sketch": "none", "rank": 30, "nbits": 4}

    assert mean_error(A, scale="column", **options) < mean_error(A, scale="matrix", **options)


@pytest.mark.parametrize("scale", ["matrix", "column"])
@pytest.mark.parametrize(("nbits", "rank"), [(1, 30), (2, 30), (4, 15), (8, 15)])
def test_power_iterations_help(scale, nbits, rank):
    """At few bits only because the basis is rotated: its columns share a range, or at 1 bit two levels."""
    A = decaying(600, 80)
    errors = [mean_error(A, rank=rank, nbits=nbits, power_iters=q, scale=scale) for q in (0, 1, 2)]

    assert errors == sorted(errors, reverse=True)


# --- The same bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"method": "nq"}, {"rank": 9}, {"rank": 9, "power_iters": 2}, {"rank": 9, "sketch": "orthogonal"}]
    + [{"method": method, "rank": 9} for method in ("lsvd", "dsvd")],
)
def test_same_seed_same_bytes(options):
    A = decaying(120, 40)
    first, second, other = (factorize(A, seed=seed, **options) for seed in (3, 3, 4))

    for one, two in zip(arrays_of(first), arrays_of(second), strict=True):
        np.testing.assert_array_equal(one, two)
    drawn = options.get("method") not in {"nq", "dsvd"}
    assert drawn != np.array_equal(first.codes_L, other.codes_L)


PRINT_DIGESTS = """
import hashlib, sys
import numpy as np
from lplr_index.factorization import factorize
from lplr_index.linalg import least_squares, orthonormalise, single_threaded, singular_pairs
A = np.random.default_rng(0).standard_normal((700, 300)).astype(np.float32) * np.arange(1, 301) ** -0.5
for options in (
    {"method": "lplr"}, {"method": "lplr", "power_iters": 2}, {"method": "lplr", "sketch": "orthogonal"},
    {"method": "lsvd"}, {"method": "lsvd", "sketch": "orthogonal"}, {"method": "dsvd"},
):
    for matrix in (A, A[:200]):
        f = factorize(matrix, rank=100, nbits_R=32, scale="column", normalize_and_shift=True, **options)
        parts = (f.codes_L, f.codes_R, f.encoder, f.quantizer_L.vmin, np.array([f.alpha, f.beta]))
        print(options, hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
for options in ({"method": "caldera", "calibration": A[:50], "turns": 3}, {"method": "lq-lora", "turns": 3}):
    f = factorize(A[:200], rank=20, **options)
    parts = (f.codes_L, f.codes_R, f.codes_Q, np.array(f.errors))
    print(options["method"], hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
# float32 and codes hide most differences in the last bits of float64
with single_threaded():
    for result in (*singular_pairs(A, 100), least_squares(A[:, :100], A), orthonormalise(A.astype(np.float64))):
        print(hashlib.sha256(result.tobytes()).hexdigest())
"""


def test_same_bytes_on_any_number_of_threads():
    digests = {}
    for threads in ("1", "2"):
        variables = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", PRINT_DIGESTS], env=variables, capture_output=True, text=True, check=True
        )
        digests[threads] = run.stdout.splitlines()

    assert len(digests["1"]) == 18
    assert digests["1"] == digests["2"]


# --- Examples ---------------------------------------------------------------------------------------------------------


def test_docstrings_are_true():
    failed, attempted = doctest.testmod(door)

    assert failed == 0 < attempted


def test_page_is_true():
    failed, attempted = doctest.testfile(str(PAGE), module_relative=False)

    assert failed == 0 < attempted


@pytest.mark.slow
def test_table_of_the_page_is_what_the_benchmark_prints():
    """Up to what another BLAS does to codes next to a rounding boundary."""
    script = ROOT / "benchmarks" / "phantom.py"
    printed = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout.strip()
    head = printed.splitlines()[0]
    documented = head + PAGE.read_text("utf-8").partition(head)[2].partition("\n\n")[0]

    ours, theirs = ([float(each) for each in re.findall(r"\d+(?:\.\d+)?", text)] for text in (documented, printed))

    np.testing.assert_allclose(ours, theirs, atol=0.003)


# --- Bad input --------------------------------------------------------------------------------------------------------


MATRIX = decaying(12, 6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"A": [[1.0, np.nan]], "rank": 1}, "expected finite float32 numbers, got nan in row 0, column 1 of A"),
        ({"A": np.zeros((0, 4)), "rank": 1}, r"expected A with at least one row, got shape \(0, 4\)"),
        ({"A": np.zeros(4), "rank": 1}, r"expected A of shape \(n, d\), got shape \(4,\)"),
        ({"A": [["a"]], "rank": 1}, "expected A to hold float or integer numbers"),
        ({"method": "pca", "rank": 1}, f"expected method to be one of {', '.join(METHODS)}, got 'pca'"),
        ({"rank": 2, "turns": 3}, "expected no turns with method 'lplr', which takes rank, bits, .*shift, got 3"),
        ({"rnak": 2}, "expected no rnak with method 'lplr', which takes rank, .*, got 2"),
        ({"method": ["nq"]}, "expected method to be one of"),
        ({}, "expected either rank or bits, got rank=None and bits=None"),
        ({"rank": 2, "bits": 1}, "expected either rank or bits, got rank=2 and bits=1"),
        ({"rank": 7}, "expected rank to be an integer from 1 to 6, got 7"),
        ({"rank": 0}, "expected rank to be an integer from 1 to 6, got 0"),
        ({"rank": 2.0}, "expected rank to be an integer from 1 to 6, got 2.0"),
        ({"bits": 0.5}, "expected a budget of at least 2 bits per entry, for rank 1, got 0.5"),
        ({"bits": 0}, "expected bits to be a number above 0, got 0"),
        ({"bits": np.inf}, "expected bits to be a number above 0, got inf"),
        ({"bits": "1"}, "expected bits to be a number above 0, got '1'"),
        ({"method": "nq", "bits": 0.9}, "expected a budget of at least 1 bit per entry with method 'nq', got 0.9"),
        ({"method": "nq", "rank": 3}, "expected no rank with method 'nq', which keeps all 6 columns, got 3"),
        ({"method": "nq", "refit": True}, "expected no refit with method 'nq'"),
        ({"rank": 2, "nbits": 12}, "expected nbits to be one of 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, got 12"),
        ({"rank": 2, "nbits_R": 0}, "expected nbits_R to be one of"),
        (
            {"rank": 2, "sketch": "none"},
            "expected sketch to be one of gaussian, srht, sparse_jl, orthogonal for 'lplr'",
        ),
        ({"rank": 2, "sketch": "haar"}, "expected sketch to be one of .*, got 'haar'"),
        ({"rank": 2, "method": "dsvd", "sketch": "gaussian"}, "expected sketch to be one of none for 'dsvd'"),
        ({"rank": 2, "power_iters": -1}, "expected power_iters to be an integer >= 0, got -1"),
        ({"rank": 2, "method": "lsvd", "power_iters": 1}, "expected power_iters with method 'lplr' only"),
        ({"rank": 2, "scale": "row"}, "expected scale to be 'matrix' or 'column', got 'row'"),
        ({"rank": 2, "refit": 1}, "expected refit to be True, False or None, got 1"),
        ({"rank": 2, "seed": -1}, "expected seed to be an integer >= 0, got -1"),
        ({"rank": 2, "seed": None}, "expected seed to be an integer >= 0, got None"),
        ({"A": MATRIX * 1e6, "rank": 2, "nbits": 16}, r"expected values within \+-65504 for 16 bits"),
        ({"A": [[3e38, -3e38]], "method": "nq"}, "expected values whose range fits in float32, got -3e"),
        ({"A": np.full((4, 90), 3e38), "rank": 2}, "expected values whose range fits in float32"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        factorize(**{"A": MATRIX, **arguments})
