"""Bits of rows that live."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.blocks import BLOCK
from lplr_index.container import mapped
from lplr_index.scanning import no_filter, pack_filter
from lplr_index.store.living import all_live, bits, count, died, killed, lives
from lplr_index.store.segments import read_live, write_live


@pytest.mark.parametrize("n", [1, 31, 32, 33, 200])
def test_rows_that_live(tmp_path, rng, n):
    mask = rng.random(n) < 0.5
    mask[0] = True
    live = pack_filter(mask)
    np.testing.assert_array_equal(bits(live, 0, n), mask)
    np.testing.assert_array_equal(bits(live, n // 3, n), mask[n // 3 :])
    np.testing.assert_array_equal(bits(live, 0, n // 2), mask[: n // 2])
    np.testing.assert_array_equal(lives(live, np.arange(-1, n)), [False, *mask])
    assert count(live, n) == mask.sum()
    with (tmp_path / write_live(tmp_path, "live-00000001", live).name).open("rb") as stream:
        np.testing.assert_array_equal(read_live(mapped(stream), n), live)
    fewer = killed(live, n, np.flatnonzero(mask)[:2])
    np.testing.assert_array_equal(died(live, fewer, n), np.flatnonzero(mask)[:2])
    assert live is not fewer
    assert count(live, n) == mask.sum()  # the old one is as it was: a search may be using it


def test_rows_that_all_live():
    assert count(no_filter(), 40) == count(all_live(40), 40) == 40
    assert bits(no_filter(), 3, 40).all()
    assert lives(no_filter(), np.array([-1, 0])).tolist() == [False, True]
    few = killed(no_filter(), 40, np.array([33, 33, 1]))
    assert count(few, 40) == 38
    assert died(no_filter(), few, 40).tolist() == [1, 33]
    assert died(few, no_filter(), 40).tolist() == []
    assert len(all_live(40)) == -(-40 // BLOCK)
