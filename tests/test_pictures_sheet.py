"""pictures/sheet.py: every picture is on the sheet."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lplr_index.pictures import compare, contact_sheet
from lplr_index.pictures.comparison import Entry
from scenes import colour_scene, scene


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
