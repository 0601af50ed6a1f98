"""settings.py: what an index was asked to be, and the bytes that follow. Bad arguments are in test_index.py."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lplr_index.errors import InputError
from lplr_index.metric import METRICS
from lplr_index.settings import METHODS, OF_MATRICES, Settings


def make(d=48, bits=2.0, metric="cosine", method="auto", rank=None, nbits=None, nbits_R=8, seed=0):
    return Settings.of(d, bits, metric, method, rank, nbits, nbits_R, seed)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"rank": 0, "nbits": 0, "nbits_R": 0, "code_bytes": 12, "code_size": 12}),
        ({"metric": "l2"}, {"code_bytes": 12, "code_size": 12}),
        ({"d": 384, "bits": 1}, {"code_bytes": 48, "code_size": 48}),
        ({"d": 384, "bits": 1, "metric": "l2"}, {"code_bytes": 48, "code_size": 48}),
        ({"d": 100, "bits": 1.0}, {"code_size": 12}),
        ({"d": 100, "bits": 0.99}, {"code_size": 12}),
        ({"d": 100, "bits": 0.95}, {"code_size": 11}),
        ({"method": "lplr"}, {"rank": 24, "nbits": 4, "nbits_R": 8, "code_bytes": 12, "code_size": 12}),
        ({"method": "lplr", "metric": "l2"}, {"rank": 20, "code_bytes": 10, "code_size": 12}),
        ({"method": "lplr", "bits": 5.0}, {"rank": 30, "nbits": 8, "code_size": 30}),
        ({"method": "lplr", "bits": 8.0}, {"rank": 48, "nbits": 8, "code_size": 48}),
        ({"method": "lplr", "bits": 8.0, "nbits": 4}, {"rank": 48, "nbits": 4, "code_size": 24}),
        ({"method": "lsvd", "rank": 7, "nbits": 3}, {"rank": 7, "nbits": 3, "code_bytes": 3}),
        ({"method": "lsvd", "rank": 7}, {"rank": 7, "nbits": 4, "code_bytes": 4}),
        ({"method": "dsvd", "nbits_R": 32}, {"nbits_R": 32}),
        ({"method": "nq", "bits": 3.9}, {"rank": 48, "nbits": 3, "code_size": 18}),
        ({"method": "nq", "bits": 3.0, "metric": "l2"}, {"rank": 48, "nbits": 2, "code_bytes": 12, "code_size": 14}),
        ({"method": "nq", "nbits": 8, "bits": 1.0}, {"nbits": 8, "code_size": 48}),
        ({"method": "nq", "rank": 48, "nbits": 1}, {"rank": 48}),
        ({"method": "nq", "d": 2, "bits": 32.0}, {"nbits": 8, "code_size": 2}),
        ({"d": 1, "bits": 64.0}, {"code_bytes": 8}),
        ({"d": 2, "bits": 32.0, "metric": "l2"}, {"code_size": 8}),
        ({"d": 2, "bits": 12.0, "metric": "l2"}, {"code_size": 3}),
    ],
)
def test_what_is_left_open_is_filled_in(asked, expected):
    settings = asdict(make(**asked))

    assert {key: settings[key] for key in expected} == expected


@pytest.mark.parametrize("method", OF_MATRICES)
def test_methods_of_factorize_alone_are_told_what_to_take(method):
    with pytest.raises(InputError) as caught:
        make(method=method)

    assert str(caught.value) == (
        f"expected method to be one of auto, lplr, lsvd, dsvd, nq, got {method!r}, which is for factorize: "
        "take auto, which finds more at the same bytes"
    )


@pytest.mark.parametrize("method", ["pq", "", None, ["caldera"], 3])
def test_other_methods_are_unknown(method):
    with pytest.raises(InputError, match=r"expected method to be one of auto, lplr, lsvd, dsvd, nq, got [^,]*$"):
        make(method=method)


@pytest.mark.parametrize(("d", "most"), [(1, "64"), (7, "9.14286"), (8, "8"), (384, "8")])
def test_a_row_of_any_dimension_may_have_eight_bytes(d, most):
    assert make(d, 64 / d if d < 8 else 8.0).code_size == max(8, d)
    with pytest.raises(InputError, match=f"at most {most}, got"):
        make(d, 64 / d + 0.01 if d < 8 else 8.01)


@given(
    d=st.integers(1, 3000),
    bits=st.floats(0.01, 8.0),
    metric=st.sampled_from(METRICS),
    method=st.sampled_from(METHODS),
    nbits=st.one_of(st.none(), st.integers(1, 8)),
)
def test_every_setting_fits_its_budget_and_passes_its_own_check(d, bits, metric, method, nbits):
    try:
        settings = make(d, bits, metric, method, nbits=None if method == "auto" else nbits)
    except InputError as err:
        assert "expected" in str(err)  # noqa: PT017 - no room is an answer, too
        return
    assert settings.checked() == settings
    if method != "nq" or nbits is None:
        assert settings.code_size <= bits * d / 8 + 1e-6
    if method == "auto":
        assert settings.code_size > bits * d / 8 - 1 - 1e-6
    assert settings.code_size - settings.code_bytes == (2 if metric == "l2" and method != "auto" else 0)


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("auto", {"code_size": 14}),
        ("auto", {"code_size": 11}),
        ("auto", {"code_bytes": 10}),
        ("auto", {"code_bytes": 13}),
        ("auto", {"code_bytes": 0, "code_size": 0}),
        ("auto", {"code_bytes": 49, "code_size": 49}),
        ("auto", {"rank": 3}),
        ("auto", {"nbits": 3}),
        ("auto", {"nbits_R": 8}),
        ("lplr", {"rank": 22}),
        ("lplr", {"nbits": 3}),
        ("lplr", {"nbits_R": 0}),
        ("lplr", {"code_bytes": 11, "code_size": 11}),
        ("nq", {"rank": 47}),
        ("nq", {"d": 47}),
        ("auto", {"d": 0}),
        ("auto", {"d": "48"}),
        ("auto", {"metric": "euclid"}),
        ("auto", {"method": "pq"}),
        ("auto", {"seed": -1}),
        ("auto", {"metric": "l2", "code_bytes": 11}),
        ("auto", {"metric": "l2", "code_bytes": 8}),
    ],
)
def test_settings_that_contradict_themselves(method, change):
    with pytest.raises(InputError, match="expected"):
        replace(make(method=method), **change).checked()


@pytest.mark.parametrize("metric", METRICS)
def test_older_files_count_scalars_beside_the_code(metric):
    now = make(metric=metric)

    apart = (2, 3) if metric == "l2" else (1,)  # the norm, and in version 1 the gain too

    for count in apart:
        assert replace(now, code_bytes=now.code_bytes - count).checked() == now


@pytest.mark.parametrize("bits", [2, 2.0, np.float64(2), np.float32(2), np.int64(2)])
def test_numbers_of_numpy_are_numbers(bits):
    assert make(d=np.int32(48), bits=bits, seed=np.uint8(0)) == make()
