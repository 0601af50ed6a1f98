"""``warmup``: nothing is left to compile afterwards, and numba's ways of not caching are said in a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lplr_index
from lplr_index import compiling
from lplr_index.kernels import cache_folder, simd_level

WARMUP = """
import json, sys, warnings
from lplr_index import kernels, warmup
"""
WORK = """
import itertools, tempfile
from pathlib import Path
import numpy as np
from lplr_index import IndexIVFLPLR, IndexLPLR, IndexRefineLPLR, factorize, open_store, read_index, write_index
from lplr_index.coarse import Coarse
from lplr_index.projection import IntegerProjection

folder = Path(tempfile.mkdtemp())
x = (np.random.default_rng(1).standard_normal((40_000, 24)) / np.arange(1, 25)).astype(np.float32)
fixed = x.copy()
fixed.flags.writeable = False
np.save(folder / "x.npy", x[:300])


def use(index, x):
    index.train(x[:300])
    index.add(x[:300])
    for threads in (1, 2):
        index.search(x[:40], 5, threads=threads)
    index.search(x[:1], 5, filter=np.arange(300) % 2 == 0)
    index.range_search(x[:3], 0.5)
    index.reconstruct_batch([1])
    write_index(index, folder / "index")
    for mmap in (True, False):
        back = read_index(folder / "index", mmap=mmap)
        back.search(x[:3], 5)
        if type(back) is IndexLPLR:
            back.search(x[:3], 5, margin=4)
        back.range_search(x[:3], 0.5)
        back.reconstruct_n(0, 4)
        back.remove_ids([3])
        back.search(x[:3], 5)
        write_index(back, folder / "own ids")
        read_index(folder / "own ids", mmap=mmap).search(x[:3], 5)


def use_many(metric):
    index = IndexLPLR(24, 2.0, metric)
    index.train(x, x[:100])
    index.add_with_ids(x, np.arange(len(x))[::-1])
    for nq in (1, 3, 500):
        index.search(x[:nq], 3, threads=2)


def use_store(number, nlist, metric):
    with open_store(folder / f"{number}", 24, 2.0, metric, nlist=nlist, train_rows=None) as store:
        store.add(x[:300])
        store.train()
        store.add(x[300:340], np.arange(340, 300, -1))
        store.delete([3, 310])
        store.search(x[:3], 5)
        store.compact()
        store.search(x[:3], 5)
        store.search(x[:3], 5, filter=np.arange(30))
        store.range_search(x[:3], 0.5)
        store.reconstruct_batch([1])


Coarse.train = lambda x, nlist, metric, seed: Coarse(x[:nlist].copy(), metric)
sizes = [("auto", {"bits": bits}) for bits in (1.0, 2.0, 6.0)]
sizes += [("lplr", {"nbits": 3}), ("lsvd", {"nbits": 8, "nbits_R": 16}), ("dsvd", {"nbits": 5}), ("nq", {"nbits": 1})]
for metric in ("cosine", "ip", "l2"):
    for rows in (x, fixed, x.astype(np.float16)):
        for method, size in sizes:
            use(IndexLPLR(24, metric=metric, method=method, **size), rows)
        use(IndexRefineLPLR(IndexLPLR(24, 2.0, metric), refine_bits=2.0), rows)
    use(IndexRefineLPLR(IndexLPLR(24, 2.0, metric), originals=folder / "x.npy"), x)
    for rows in (x, fixed):
        use(IndexIVFLPLR(24, 2.0, metric, nlist=4), rows)
    use_store(f"flat {metric}", None, metric)
    use_store(f"lists {metric}", 4, metric)
use_many("cosine")
IntegerProjection(x)(x[:3])
for method in ("lplr", "lsvd", "dsvd"):
    factorize(x[:300], method, rank=4, nbits=4)
for nbits in (2, 3, 4):
    factorize(x[:300], "caldera", rank=4, nbits_Q=nbits, turns=1)
"""
COMPLETE = f"""{WARMUP}
warmup()
before = sum(kernels.compiled_and_loaded())
{WORK}
print(json.dumps([before, sum(kernels.compiled_and_loaded())]))
"""
COUNTS = f"""{WARMUP}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    done = warmup()
print(json.dumps([done._asdict(), [str(each.message) for each in caught]]))
"""


def said(script: str, **environment: str):
    """Return what a fresh process prints."""
    surroundings = {**os.environ, "PYTHONPATH": str(Path(lplr_index.__file__).parents[1]), **environment}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=surroundings)
    return json.loads(done.stdout)


def test_after_a_warmup_no_work_wants_another_kernel():
    """Every kind of arguments counts once, as compiled or as loaded: so it does not matter what is in the cache."""
    before, after = said(COMPLETE)

    assert before > 20
    assert after == before


@pytest.mark.slow
def test_a_fresh_process_compiles_nothing(tmp_path):
    first, _ = said(COUNTS, NUMBA_CACHE_DIR=str(tmp_path))
    files = sorted(tmp_path.rglob("*.nbc"))
    compiled, loaded = said(
        f"{WARMUP}{WORK}\nprint(json.dumps(kernels.compiled_and_loaded()))", NUMBA_CACHE_DIR=str(tmp_path)
    )

    # Of two threads that want a kernel at once one compiles it, and the other may find it in the cache.
    assert first["compiled"] + first["loaded"] == len(files)
    assert (compiled, loaded) == (0, len(files))
    assert sorted(tmp_path.rglob("*.nbc")) == files


def test_what_it_says():
    done, caught = said(COUNTS, NUMBA_CACHE_DIR="")

    assert caught == []
    assert done["cache"] == cache_folder()
    assert done["instruction_set"] == simd_level()
    assert done["seconds"] > 0


def test_a_cache_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    done, caught = said(COUNTS, NUMBA_CACHE_DIR=str(tmp_path / "file"))

    assert caught == [
        f"NUMBA_CACHE_DIR is {tmp_path / 'file'}, which cannot be written: kernels are kept in {done['cache']}"
    ]


def test_progress_is_told_of_every_step(monkeypatch):
    calls = []
    monkeypatch.setattr(compiling, "_steps", lambda _: [lambda: None] * 3)

    compiling.warmup(lambda *call: calls.append(call))

    assert calls == [("compiling", 0, 3), ("compiling", 1, 3), ("compiling", 2, 3)]
