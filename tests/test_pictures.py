"""Pictures as matrices, and what they are compared with."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from commands import without
from lplr_index import decode_factors, factorize, write_factors
from lplr_index.attempts import SLACK, attempt
from lplr_index.errors import InputError, MissingDependencyError
from lplr_index.factorization import METHODS
from lplr_index.pictures import as_pixels, compare, compress_picture, contact_sheet, encode_within, likeness
from lplr_index.pictures.codecs import FORMATS
from lplr_index.pictures.codes import HEADER_BYTES, MATRIX_BYTES, Picture
from lplr_index.pictures.comparison import Entry
from lplr_index.pictures.sheet import decibels
from phantom import shepp_logan


def scene(height, width):
    """Return a smooth picture with edges and noise, grey."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    values = 120 + 60 * np.sin(x / 17) * np.cos(y / 23) + 50 * ((x - 40) ** 2 + (y - 60) ** 2 < 900)
    return np.clip(values + rng.normal(0, 4, values.shape), 0, 255).astype(np.uint8)


def colour_scene(height, width):
    """Return the scene and two shifted ones as red, green and blue."""
    grey = scene(height, width)
    return np.stack([grey, np.roll(grey, 9, 0), 255 - grey], axis=2)


def error(original, pixels):
    return float(np.square(original.astype(float) - pixels).mean())


# --- codes ---


@pytest.mark.parametrize("make", [scene, colour_scene])
@pytest.mark.parametrize("patch", [0, 8])
@pytest.mark.parametrize("shape", [(128, 160), (121, 163)])
def test_many_bits_give_the_picture_back(make, patch, shape):
    pixels = make(*shape)
    few, many = (compress_picture(pixels, bits, "lsvd", patch=patch, sketch="orthogonal") for bits in (1, 6))

    assert many.reconstruct().shape == pixels.shape
    assert many.reconstruct().dtype == np.uint8
    assert error(pixels, many.reconstruct()) < error(pixels, few.reconstruct())
    # Halved colour differences never come back: the coloured scene has noise in all of them.
    assert error(pixels, many.reconstruct()) < (20 if make is scene else 120)


def test_the_matrix_is_the_picture_as_published():
    """One channel a matrix, normalised and shifted, the rank that of the formula."""
    pixels = np.rint(255 * shepp_logan(200)).astype(np.uint8)
    picture = compress_picture(pixels, 1, "lplr", nbits=4, seed=3)
    f = factorize(pixels, "lplr", bits=1, nbits=4, normalize_and_shift=True, seed=3)

    (channel,) = picture.channels
    assert channel.rank == f.rank == 16
    np.testing.assert_array_equal(channel.codes_L, f.codes_L)
    assert (channel.alpha, channel.beta) == (f.alpha, f.beta)
    np.testing.assert_array_equal(picture.reconstruct(), np.clip(np.rint(f.reconstruct()), 0, 255).astype(np.uint8))


def test_rows_are_patches():
    """A picture whose patches are all the same is a matrix of rank one."""
    tile = scene(8, 8)
    pixels = np.tile(tile, (12, 15))

    picture = compress_picture(pixels, 0.5, "lsvd", patch=8, sketch="none", nbits=8, nbits_R=8)

    assert picture.channels[0].shape == (12 * 15, 64)
    assert np.abs(pixels.astype(int) - picture.reconstruct()).max() <= 1


def test_bytes_are_those_of_the_arrays_and_of_the_headers():
    grey, colour = (compress_picture(make(96, 128), 1) for make in (scene, colour_scene))

    assert grey.nbytes == HEADER_BYTES + MATRIX_BYTES + grey.channels[0].nbytes
    assert colour.nbytes == HEADER_BYTES + sum(MATRIX_BYTES + each.nbytes for each in colour.channels)
    assert [each.shape for each in colour.channels] == [(96, 128), (48, 64), (48, 64)]
    assert colour.bits_per_pixel == 8 * colour.nbytes / (96 * 128)


@pytest.mark.parametrize("make", [scene, colour_scene])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("patch", [0, 8])
def test_no_picture_takes_more_than_its_budget(make, method, patch):
    pixels = make(128, 192)
    sizes = []
    for bits in (0.2, 1, 2.3):
        tried = attempt(method, bits, lambda bits=bits: compress_picture(pixels, bits, method, patch=patch))
        if tried.code is None:
            assert "bit" in tried.reason or "has none as small" in tried.reason
        else:
            sizes.append(tried.code.bits_per_pixel / bits)

    assert max(sizes, default=0) <= SLACK
    assert method not in {"lplr", "lsvd", "dsvd"} or sizes[-1] > 0.8


def test_padding_that_does_not_fit_costs_rank():
    """Rank 3 of 4 bits takes 2 bytes a patch, not 1.5, a third more than asked; ranks 2 and 1 take one byte."""
    picture = compress_picture(scene(256, 256), 0.215, "lsvd", patch=8, nbits=4)

    assert picture.channels[0].rank == 2


def test_a_size_that_a_method_does_not_have_is_refused():
    with pytest.raises(InputError, match=r"at least 1 bit per entry with method 'nq', got 0\.5"):
        compress_picture(scene(64, 64), 0.5, "nq")
    with pytest.raises(InputError, match=r"expected a picture of 32 bytes, got .*: nq has none as small"):
        compress_picture(scene(16, 16), 1, "nq")


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((4, 4)), "dtype uint8, got float64"),
        (np.zeros((4, 4, 2), np.uint8), r"got uint8 of shape \(4, 4, 2\)"),
        (np.zeros((0, 4), np.uint8), r"got uint8 of shape \(0, 4\)"),
        (np.zeros(4, np.uint8), r"got uint8 of shape \(4,\)"),
    ],
)
def test_what_is_no_picture_is_refused(pixels, words):
    with pytest.raises(InputError, match=words):
        compress_picture(pixels, 1)


@pytest.mark.parametrize(("patch", "words"), [(1, "patch to be 0"), (-8, "patch"), (65, "patch"), (8.0, "patch")])
def test_what_is_no_patch_is_refused(patch, words):
    with pytest.raises(InputError, match=words):
        compress_picture(scene(64, 64), 1, patch=patch)


@pytest.mark.parametrize("bits", [0, -1, math.nan, 65])
def test_what_is_no_budget_is_refused(bits):
    with pytest.raises(InputError, match="expected bits per pixel above 0"):
        compress_picture(scene(64, 64), bits)


def test_three_equal_channels_are_grey():
    grey = scene(20, 30)

    np.testing.assert_array_equal(as_pixels(np.stack([grey] * 3, axis=2)), grey)
    assert as_pixels(colour_scene(20, 30)).shape == (20, 30, 3)


@pytest.mark.parametrize("make", [scene, colour_scene])
def test_a_picture_goes_to_a_file_and_back(tmp_path, make):
    picture = compress_picture(make(50, 71), 2, patch=8)
    write_factors(picture, tmp_path / "p.npz")

    np.testing.assert_array_equal(decode_factors(tmp_path / "p.npz"), picture.reconstruct())


# --- what they are compared with ---


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


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("make", [scene, colour_scene])
def test_a_format_gets_the_largest_file_that_fits(name, make):
    """Found once more by trying every quality."""
    pixels = make(64, 80)
    sizes = []
    for quality in range(101):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, name, quality=quality, **FORMATS[name])
        sizes.append(file.tell())
    allowed = sorted(sizes)[60]

    found = encode_within(pixels, name, allowed)

    assert found.nbytes == sizes[found.quality] <= allowed
    assert found.quality == 100 or sizes[found.quality + 1] > allowed
    assert found.pixels.shape == pixels.shape
    with pytest.raises(InputError, match=rf"expected at least [\d,]+ bytes for {name}, its smallest file, got 20"):
        encode_within(pixels, name, 20)


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


# --- the contact sheet ---


@pytest.mark.parametrize("make", [scene, colour_scene])
def test_a_sheet_holds_every_picture(tmp_path, make):
    pixels = make(60, 200)
    entries = compare(pixels, [1, 2], {"a": ("lplr", {}), "b": ("lsvd", {}), "c": ("dsvd", {})})
    contact_sheet(pixels, [*entries, Entry("d", 1, reason="none")], tmp_path / "s.png", title="scene")

    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.mode == ("L" if make is scene else "RGB")
        drawn = np.asarray(sheet)
    wanted = [pixels, *(each.pixels for each in entries if each.pixels is not None)]
    assert len(wanted) > 8
    for each in wanted:
        top, left = np.argwhere(np.all(drawn == each[0, 0], axis=2) if drawn.ndim == 3 else drawn == each[0, 0]).T
        assert any(np.array_equal(drawn[y : y + 60, x : x + 200], each) for y, x in zip(top, left, strict=True))


def test_a_large_picture_is_made_smaller(tmp_path):
    pixels = scene(400, 200)
    contact_sheet(pixels, [Entry("a", 1, 10, 30.0, 0.9, pixels=pixels)], tmp_path / "s.png", title="scene", side=100)

    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size[0] < 450
        assert sheet.size[1] < 300


@pytest.mark.parametrize("package", ["PIL", "skimage"])
def test_a_missing_package_is_named(monkeypatch, package):
    without(monkeypatch, package)

    with pytest.raises(MissingDependencyError, match=rf'{package}, which pip install "lplr_index\[compress\]"'):
        compare(colour_scene(32, 32), [1], {"a": ("lplr", {})})
