"""vectors/safetensors.py: what its library reads and writes, and bfloat16."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index.vectors import open_vectors
from lplr_index.vectors.safetensors import BrainFloats
from lplr_index.vectors.sink import DEFAULT_NAME
from lplr_index.vectors.writing import write_vectors
from vector_files import DTYPES, complaint, read_all, write_safetensors


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_library_of_safetensors_reads_what_is_written_and_writes_what_is_read(tmp_path, x, dtype):
    library = pytest.importorskip("safetensors.numpy")
    x = x.astype(dtype)
    write_vectors(tmp_path / "a.safetensors", x)
    np.testing.assert_array_equal(library.load_file(tmp_path / "a.safetensors")[DEFAULT_NAME], x)
    library.save_file({"other": x[:3], "emb": x}, tmp_path / "b.safetensors", metadata={"made": "by hand"})
    np.testing.assert_array_equal(read_all(tmp_path / "b.safetensors", "emb"), x.astype(np.float32))


def test_bfloat16_of_safetensors(tmp_path, x):
    x = x * np.float32(0.25) - 3
    x[0, 0] = 1e38
    bits = (x.view(np.uint32) >> 16).astype("<u2")
    exact = (bits.astype(np.uint32) << 16).view(np.float32)
    write_safetensors(tmp_path / "a.safetensors", "BF16", x.shape, bits.tobytes())
    with open_vectors(tmp_path / "a.safetensors") as file:
        assert isinstance(file, BrainFloats)
        assert file.dtype == np.float32
        np.testing.assert_array_equal(file.read(0, file.n), exact)
        np.testing.assert_array_equal(file.read(13, 14), exact[13:14])


def test_safetensors_that_are_no_vectors(tmp_path, x):
    path = tmp_path / "a.safetensors"
    data = x.tobytes()
    for more, message in [
        ({"dtype": "F8_E4M3"}, "got dtype F8_E4M3"),
        ({"dtype": ["F32"]}, "expected dtype, shape and data_offsets"),
        ({"shape": 7}, "expected dtype, shape and data_offsets"),
        ({"shape": [707]}, "got shape [707]"),
        ({"shape": [1 << 40, 7]}, "expected"),
        ({"shape": [-101, -7]}, "got shape (-101, -7)"),
        ({"shape": [101.0, 7]}, "expected dtype, shape and data_offsets"),
        ({"data_offsets": [0, len(data) + 1]}, "to lie inside"),
        ({"data_offsets": [-8, len(data) - 8]}, "to lie inside"),
        ({"data_offsets": [8, len(data)]}, "expected"),
        ({"data_offsets": [0]}, "expected dtype, shape and data_offsets"),
    ]:
        write_safetensors(path, "F32", x.shape, data, **more)
        assert message in complaint(path)
    for header in (b"[]", b"{}", b"[" * 100_000, b'{"emb": 3}', b'{"emb": {}}', b"\xff\xff"):
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        complaint(path)
