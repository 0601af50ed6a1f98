"""pictures/codes.py: pictures as matrices, within their budget, to a file and back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lplr_index import decode_factors, factorize, write_factors
from lplr_index.attempts import SLACK, attempt
from lplr_index.errors import InputError
from lplr_index.factorization import METHODS
from lplr_index.pictures import as_pixels, compress_picture
from lplr_index.pictures.codes import HEADER_BYTES, MATRIX_BYTES
from phantom import shepp_logan
from scenes import colour_scene, error, scene


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
