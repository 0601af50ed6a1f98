"""What tests share: data with a low rank to find, seeded randomness, and repeatable Hypothesis runs.

numba's cache stays where it is, so that kernels compile in the first run and are read from disk in the next.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings

from lplr_index.vectors.formats import FORMATS
from vector_files import need

FloatMatrix = npt.NDArray[np.float32]

# The first example of a property may compile a kernel: neither its time nor its share of the time means anything.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("default"), derandomize=True)
# HYPOTHESIS_PROFILE=default looks for new counterexamples instead of running the same ones again.
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine, as those of LangChain's suite are, in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


class Vectors(NamedTuple):
    """Training, base and query vectors of one distribution; no row is in two of them."""

    xt: FloatMatrix
    xb: FloatMatrix
    xq: FloatMatrix


class MakeVectors(Protocol):
    """The type of the fixture ``make_vectors``."""

    def __call__(self, n: int, d: int, *, intrinsic: int = 10, seed: int = 0) -> FloatMatrix: ...


def low_rank_vectors(n: int, d: int, *, intrinsic: int = 10, seed: int = 0) -> FloatMatrix:
    """Return vectors that are neither random nor easy, float32 of shape (n, d).

    As in faiss's SyntheticDataset, a few intrinsic dimensions are bent through a sine.
    Noise fills the rest, and the spectrum decays as that of embeddings does, along axes that are not the coordinates'.
    Rows differ in length and their mean is not zero, so that no metric is equal to another.
    """
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((n, intrinsic))
    frequency = rng.uniform(0.1, 1.5, d)
    bent = np.sin(latent @ rng.standard_normal((intrinsic, d)) * frequency)
    noisy = bent + 0.1 * rng.standard_normal((n, d))
    axes, _ = np.linalg.qr(rng.standard_normal((d, d)))
    decay = np.arange(1, d + 1) ** -0.5
    centred = (noisy * decay) @ axes * rng.lognormal(sigma=0.25, size=(n, 1))
    return (centred + 0.1 * rng.standard_normal(d)).astype(np.float32)


@pytest.fixture(scope="module")
def scripts() -> Iterator[None]:
    """Let a module import the scripts of benchmarks/ by name, as they import each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """Give a generator that starts anew, with one seed, in every test."""
    return np.random.default_rng(20260817)


@pytest.fixture
def short_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store make segments of few rows, so that it flushes and merges all the time."""
    monkeypatch.setattr("lplr_index.store.merging.FLUSH_ROWS", 64)


@pytest.fixture(scope="session")
def make_vectors() -> MakeVectors:
    """Give ``low_rank_vectors``, for tests that need a size of their own."""
    return low_rank_vectors


@pytest.fixture(scope="session")
def vectors() -> Vectors:
    """Give 1500 training, 1000 base and 50 query vectors of 48 dimensions; read-only, as all tests share them.

    1000 is not a multiple of the block of 32 rows, and 48 is none of the powers of two.
    """
    x = low_rank_vectors(2550, 48)
    x.flags.writeable = False
    return Vectors(xt=x[:1500], xb=x[1500:2500], xq=x[2500:])


@pytest.fixture(params=FORMATS)
def suffix(request: pytest.FixtureRequest) -> str:
    """Every format of embedding files whose package is installed."""
    ending: str = request.param
    need(ending)
    return ending


@pytest.fixture
def x(rng: np.random.Generator) -> FloatMatrix:
    """Embeddings (101, 7) of small integers, which every format holds exactly, all rows different."""
    return (rng.permutation(101 * 100)[: 101 * 7].reshape(101, 7) % 101).astype(np.float32)
