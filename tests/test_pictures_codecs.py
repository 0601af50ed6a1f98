"""pictures/codecs.py: the largest file of a format that fits."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from lplr_index.errors import InputError
from lplr_index.pictures import encode_within
from lplr_index.pictures.codecs import FORMATS
from scenes import colour_scene, scene


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
