"""What a fresh process pays: nothing compiled before it is needed, nothing compiled twice, nothing stale."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lplr_index
from house import MODULES, Definition, below_package

KERNELS = {each.name: each for each in MODULES if each.is_island}

SEARCH = """
import json, pickle, sys
import numpy as np
import lplr_index

x = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
index = lplr_index.IndexLPLR(16, 4.0)
assert "numba" not in sys.modules, "numba was loaded before there was anything to compile"
index.train(x)
index.add(x)
found = index.search(x[:3], 5)[1]
"""
SAY = """
from lplr_index.kernels import scan_kernel

stats = scan_kernel().stats
print(json.dumps([sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), found.tolist()]))
"""
# Every kernel that is cached, by its file; nothing is compiled.
CACHED = """
import importlib, json, pickle, sys
from lplr_index import kernels

for name in sys.argv[2:]:
    importlib.import_module("lplr_index." + name)


def cached():
    return {f"{each.py_func.__module__}:{each.py_func.__qualname__}": each for each in kernels.cached_kernels()}
"""
USED = """
lplr_index.IndexLPLR(16, 4.0, "cosine", "nq").train(x)
index = lplr_index.IndexRefineLPLR(lplr_index.IndexLPLR(16, 4.0), refine_bits=4.0)
index.train(x)
index.add(x)
index.search(x[:3], 5)
from lplr_index.auto import Recipe
from lplr_index.coarse import Coarse
from lplr_index.training import train_auto, train_lists

asked = lplr_index.IndexLPLR(16, 4.0, "l2").settings
lists = train_lists(x, asked, Coarse(x[:3].copy(), "l2"), Recipe(stages=1, rounds=1))
index = lplr_index.IndexIVFLPLR.of_lists(asked, lists, None, 3, 3)
index.add(x)
index.search(x[:3], 5)

train_auto(x, 8, l2=False, seed=0, recipe=Recipe(stages=1, rounds=1))
for nbits_Q in (2, 3):
    lplr_index.factorize(x, "caldera", rank=0, nbits_Q=nbits_Q, turns=1)
from lplr_index.projection import IntegerProjection

IntegerProjection(x)(x[:3])
with open(sys.argv[1], "wb") as stream:
    pickle.dump({name: kernel.signatures for name, kernel in cached().items()}, stream)
"""
LOOK = """
with open(sys.argv[1], "rb") as stream:
    used = pickle.load(stream)
found = {}
for name, kernel in cached().items():
    for signature in used.get(name, ()):
        found[name] = kernel._cache.load_overload(signature, kernel.targetctx) is not None
print(json.dumps(found))
"""


def output(folder: Path, script: str, *arguments: str, **environment: str) -> str:
    """What a fresh process prints that has the package from below ``folder`` and a cache there."""
    surroundings = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**surroundings, "LPLR_INDEX_SIMD": "portable", **environment},
        cwd=folder,
    ).stdout


def searched(folder: Path) -> tuple[int, int, list[list[int]]]:
    """Cache hits and misses of the scan, and the ids found, of a fresh process."""
    hits, misses, found = json.loads(output(folder, SEARCH + SAY))
    return hits, misses, found


def copied(folder: Path) -> Path:
    """A folder with a copy of the package that a test may edit, and an empty cache."""
    shutil.copytree(
        Path(lplr_index.__file__).parent,
        folder / "lplr_index",
        ignore=shutil.ignore_patterns("__pycache__", "data"),  # vectors of some megabytes
    )
    (folder / "cache").mkdir()
    return folder


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Such a folder, once kernels of every file have been used."""
    folder = copied(tmp_path_factory.mktemp("warm"))
    output(folder, SEARCH + CACHED + USED, "used", *KERNELS)
    return folder


@contextlib.contextmanager
def edited(file: Path, text: str):
    """Have other text in the file, which is as it was afterwards, its time too: some numbas go by that."""
    before, times = file.read_bytes(), (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_text(text, "utf-8")
    yield
    file.write_bytes(before)
    os.utime(file, ns=times)


def test_a_second_process_compiles_nothing_and_an_edit_is_never_missed(warm):
    before = searched(warm)
    bounds = warm / "lplr_index" / "kernels" / "portable.py"
    text = bounds.read_text("utf-8")
    line = "            if passes(min("
    assert line in text
    with edited(bounds, text.replace(line, "            if r == 0 and passes(min(")):
        after = searched(warm)

    assert before[:2] == (1, 0)
    assert after[:2] == (0, 1)
    assert after[2] != before[2]
    assert all(number % 32 == 0 for row in after[2] for number in row if number >= 0)


def imported(file: str) -> dict[str, str]:
    """The kernel files that names in a kernel file come from."""
    return {
        alias.name: f"kernels.{alias.name}" if node.module == "lplr_index.kernels" else below_package(node.module)
        for node in ast.walk(KERNELS[file].tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lplr_index.kernels")
        for alias in node.names
    }


def below(file: str) -> set[str]:
    """A kernel file and all it imports."""
    return {file}.union(*(below(other) for other in imported(file).values()))


def names_in(node: ast.AST) -> set[str]:
    """Every name in a piece of code."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def made_from(kernel: str) -> set[str]:
    """The kernel files that may change what ``lplr_index.kernels.scan:sort_heaps`` does, by the names it uses."""
    file, _, name = kernel.removeprefix("lplr_index.").partition(":")
    definitions = {each.name: each for each in KERNELS[file].tree.body if isinstance(each, Definition)}
    stand_ins = {
        each.name: set.union(set(), *map(names_in, each.decorator_list)) for each in definitions.values()
    }  # what is an ``overload`` of something is compiled in its place
    names, todo = set(), [name.partition(".")[0]]
    while todo:
        here = todo.pop()
        more = names_in(definitions[here]) | {name for name, of in stand_ins.items() if here in of}
        more -= names
        names |= more
        todo += more & set(definitions)
    return {file}.union(*(below(other) for name, other in imported(file).items() if name in names))


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_compiled_again_where_a_file_they_are_made_from_changed(warm, name):
    file = warm / "lplr_index" / Path(*name.split(".")).with_suffix(".py")
    with edited(file, file.read_text("utf-8") + "# edited\n"):
        found = json.loads(output(warm, CACHED + LOOK, "used", *KERNELS))

    stale = {kernel for kernel, loaded in found.items() if not loaded}
    assert stale
    assert stale == {kernel for kernel in found if name in made_from(kernel)}


def test_a_kernel_of_every_file_was_looked_at(warm):
    found = json.loads(output(warm, CACHED + LOOK, "used", *KERNELS))

    assert all(found.values())
    assert set.union(*map(made_from, found)) == set(KERNELS)
    assert len(found) == len([*(warm / "cache").rglob("*.nbi")])  # an index a kernel


def test_without_a_folder_for_the_cache_there_is_one_sentence(tmp_path):
    """A file stands where each of the folders would: so it is for root too, who may write anywhere."""
    folder = copied(tmp_path)
    (folder / "lplr_index" / "kernels" / "__pycache__").write_bytes(b"")
    (folder / "file").write_bytes(b"")
    names = ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")

    with pytest.raises(subprocess.CalledProcessError) as failed:
        output(folder, SEARCH, **dict.fromkeys(names, str(folder / "file")))

    *_, last = failed.value.stderr.strip().splitlines()
    assert last.startswith("lplr_index.errors.WriteError: cannot keep compiled kernels: expected a folder in NUMBA")


def test_a_kernel_file_that_is_none_is_an_attribute_that_is_none():
    from lplr_index import kernels

    with pytest.raises(AttributeError, match=r"module 'lplr_index\.kernels' has no attribute 'absent'"):
        _ = kernels.absent
