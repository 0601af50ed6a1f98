import numpy as np
import pytest

from lplr_index.blocks import Form
from lplr_index.errors import InputError, UnknownIdError
from lplr_index.rows import Rows

CODES = np.arange(70 * 3, dtype=np.uint8).reshape(70, 3)


def test_codes_come_back_by_place_and_by_id():
    rows = Rows.none(Form(nibbles=4, singles=1))
    rows.append(CODES[:40], None)
    rows.append(CODES[40:], np.arange(70, 40, -1) + 1000)

    assert len(rows) == 70
    np.testing.assert_array_equal(rows.codes(38, 5), CODES[38:43])
    np.testing.assert_array_equal(rows.codes_of(np.array([1070, 3, 1041])), CODES[[40, 3, 69]])
    with pytest.raises(UnknownIdError, match="expected ids that the index holds, got 40"):
        rows.codes_of(np.array([3, 40]))


def test_codes_and_ids_shrink_together():
    rows = Rows.none(Form(nibbles=4, singles=1))
    rows.append(CODES, None)

    rows.keep(np.arange(70) % 7 == 2)

    assert len(rows) == sum(piece.rows for piece in rows) == 10
    np.testing.assert_array_equal(rows.codes_of(np.array([2, 65])), CODES[[2, 65]])


@pytest.mark.parametrize("ids", [[5, 5], [1, 69], [-1, 7]])
def test_ids_that_cannot_be_taken_leave_no_codes_behind(ids):
    rows = Rows.none(Form(nibbles=4, singles=1))
    rows.append(CODES, None)

    with pytest.raises(InputError, match=r"expected .* got"):
        rows.append(CODES[:2], np.array(ids))
    assert len(rows) == rows.store.ntotal == 70
