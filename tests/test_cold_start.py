"""What a fresh process pays: nothing compiled before it is needed, nothing compiled twice, nothing stale."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lplr_index

SEARCH = """
import json, sys
import numpy as np
import lplr_index

x = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
index = lplr_index.IndexLPLR(16, 4.0)
assert "numba" not in sys.modules, "numba was loaded before there was anything to compile"
index.train(x)
index.add(x)
from lplr_index.kernels import scan_kernel

found = index.search(x[:3], 5)[1]
stats = scan_kernel().stats
print(json.dumps([sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), found.tolist()]))
"""


def searched(folder: Path, cache: Path, **environment: str) -> tuple[int, int, list[list[int]]]:
    """Cache hits and misses of the scan, and the ids found, of a fresh process with the package from ``folder``."""
    surroundings = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(cache), **environment}
    done = subprocess.run(
        [sys.executable, "-c", SEARCH], capture_output=True, text=True, check=True, env=surroundings, cwd=cache
    )
    hits, misses, found = json.loads(done.stdout)
    return hits, misses, found


@pytest.fixture
def package(tmp_path):
    """A copy of the package that a test may edit, and an empty cache."""
    shutil.copytree(
        Path(lplr_index.__file__).parent,
        tmp_path / "copy" / "lplr_index",
        ignore=shutil.ignore_patterns("__pycache__", "data"),  # vectors of some megabytes
    )
    (tmp_path / "cache").mkdir()
    return tmp_path / "copy", tmp_path / "cache"


def test_a_second_process_compiles_nothing_and_an_edit_is_never_missed(package):
    folder, cache = package
    first = searched(folder, cache, LPLR_INDEX_SIMD="portable")
    second = searched(folder, cache, LPLR_INDEX_SIMD="portable")
    bounds = folder / "lplr_index" / "kernels" / "bounds.py"
    text = bounds.read_text("utf-8")
    line = "if bound >= queries.affine[q + t, 2]:"
    assert line in text
    bounds.write_text(text.replace(line, "if r == 0 and bound >= queries.affine[q + t, 2]:"), "utf-8")
    third = searched(folder, cache, LPLR_INDEX_SIMD="portable")

    assert first[:2] == (0, 1)
    assert second[:2] == (1, 0)
    assert second[2] == first[2]
    assert third[:2] == (0, 1)
    assert third[2] != first[2]
    assert all(number % 32 == 0 for row in third[2] for number in row if number >= 0)


def test_without_a_folder_for_the_cache_there_is_one_sentence(package):
    """A file stands where each of the folders would: so it is for root too, who may write anywhere."""
    folder, cache = package
    (folder / "lplr_index" / "kernels" / "__pycache__").write_bytes(b"")
    nowhere = {name: str(cache / "file") for name in ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    (cache / "file").write_bytes(b"")

    with pytest.raises(subprocess.CalledProcessError) as failed:
        searched(folder, cache, **nowhere)

    *_, last = failed.value.stderr.strip().splitlines()
    assert last.startswith("lplr_index.errors.WriteError: cannot keep compiled kernels: expected a folder in NUMBA")


def test_a_kernel_file_that_is_none_is_an_attribute_that_is_none():
    from lplr_index import kernels

    with pytest.raises(AttributeError, match=r"module 'lplr_index\.kernels' has no attribute 'absent'"):
        _ = kernels.absent
