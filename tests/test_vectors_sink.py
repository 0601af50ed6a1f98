"""vectors/sink.py: every format's sink begins a file, takes rows, and finishes it."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.vectors.formats import FORMATS
from lplr_index.vectors.sink import DEFAULT_NAME
from vector_files import need, read_all


@pytest.mark.parametrize("cuts", [[], [1, 60], [50]])
def test_a_sink_takes_rows_as_they_come(tmp_path, suffix, x, cuts):
    form, path = FORMATS[suffix], tmp_path / f"a{suffix}"
    x = x.astype(form.dtype or np.float32)

    with path.open("w+b") as stream, form.sink(stream, *x.shape, x.dtype) as write:
        for rows in np.split(x, cuts):
            write(rows)

    np.testing.assert_array_equal(read_all(path), x.astype(np.float32))


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".safetensors"])
def test_a_matrix_has_a_name(tmp_path, suffix, x):
    need(suffix)
    path = tmp_path / f"a{suffix}"

    with path.open("w+b") as stream, FORMATS[suffix].sink(stream, *x.shape, x.dtype) as write:
        write(x)

    np.testing.assert_array_equal(read_all(path, DEFAULT_NAME), x)
