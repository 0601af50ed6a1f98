"""pictures/comparison.py: likeness by its definition, and entries for every method and budget."""

from __future__ import annotations

import numpy as np
import pytest

from commands import without
from lplr_index.errors import InputError, MissingDependencyError
from lplr_index.pictures import compare, likeness
from lplr_index.pictures.codecs import FORMATS
from lplr_index.pictures.codes import Picture
from lplr_index.pictures.sheet import decibels
from scenes import colour_scene, error, scene


def test_likeness_is_what_the_definition_says():
    a = scene(64, 64)
    b = np.clip(a.astype(int) + 3, 0, 255).astype(np.uint8)

    psnr, ssim = likeness(a, b)

    assert psnr == pytest.approx(10 * np.log10(255**2 / error(a, b)))
    assert 0.9 < ssim < 1
    assert likeness(a, a) == (None, pytest.approx(1))
    assert decibels(None) == "exact"
    assert decibels(psnr) == f"{psnr:.1f} dB"


def test_a_picture_too_small_to_compare_is_refused():
    with pytest.raises(InputError, match="at least 7 x 7 pixels"):
        likeness(scene(6, 20), scene(6, 20))


def test_formats_get_the_bytes_of_the_largest():
    entries = compare(scene(128, 128), [0.5, 1.5], {"a": ("lplr", {}), "b": ("nq", {}), "c": ("lplr", {"nbits": 4})})

    assert [(each.method, each.bits_per_pixel) for each in entries] == [
        (name, bits) for bits in (0.5, 1.5) for name in ("a", "b", "c", *FORMATS)
    ]
    for bits in (0.5, 1.5):
        here = {each.method: each for each in entries if each.bits_per_pixel == bits}
        most = max(here[name].nbytes for name in "abc")
        assert all(0.5 * most < here[name].nbytes <= most for name in FORMATS if here[name].nbytes)
    refused, made = entries[1], entries[0]
    assert (refused.nbytes, refused.psnr, refused.pixels) == (0, None, None)
    assert "at least 1 bit" in refused.reason
    assert isinstance(made.code, Picture)
    assert (made.psnr, made.ssim) == likeness(scene(128, 128), made.pixels)


def test_progress_is_told():
    told = []
    compare(scene(32, 32), [2], {"a": ("lplr", {})}, progress=lambda *about: told.append(about))

    assert told == [(0, 3, "a, 2 bits"), (1, 3, "JPEG, 2 bits"), (2, 3, "WebP, 2 bits")]


@pytest.mark.parametrize("package", ["PIL", "skimage"])
def test_a_missing_package_is_named(monkeypatch, package):
    without(monkeypatch, package)

    with pytest.raises(MissingDependencyError, match=rf'{package}, which pip install "lplr_index\[compress\]"'):
        compare(colour_scene(32, 32), [1], {"a": ("lplr", {})})
